"""Feed: what readers of a live run hang on. Events appear here when they are on disk, never before."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence

from aitp_playground.runs.waiters import Waiters
from aitp_playground.store.port import StoredEvent

#: Events kept at hand for readers that keep up, and bytes of them; who is further behind reads from the store.
RECENT = 512
RECENT_BYTES = 512 * 1024


class Feed:
    """The committed end of one run's log. A reader costs one waiting future; its position is its own."""

    def __init__(self, committed: int = 0) -> None:
        self.committed = committed
        self.closed = False
        self._recent: deque[StoredEvent] = deque()
        self._bytes = 0
        self._waiting = Waiters()

    def publish(self, events: Sequence[StoredEvent]) -> None:
        """Show events that have been committed, in order.

        Some may have got to the disk unseen (by the actor this one's actor succeeds, or in a commit that was reported
        as failed); who has not read those must go to the store.
        """
        if events[0].seq != self.committed + 1:
            self._recent.clear()
            self._bytes = 0
        for event in events:
            self._recent.append(event)
            self._bytes += len(event.body)
        while len(self._recent) > RECENT or self._bytes > RECENT_BYTES:
            self._bytes -= len(self._recent.popleft().body)
        self.committed = events[-1].seq
        self._waiting.wake()

    def close(self) -> None:
        """Nothing more will come."""
        self.closed = True
        self._waiting.wake()

    @property
    def at_hand(self) -> tuple[int, int]:
        """How many events are kept, and how many bytes of them."""
        return len(self._recent), self._bytes

    @property
    def waiting(self) -> int:
        """How many readers wait for more."""
        return len(self._waiting)

    def since(self, after: int) -> list[StoredEvent] | None:
        """Events with ``seq > after`` that are on disk; None when the reader is too far behind for what is at hand.

        The events belong to the feed and cost the reader nothing.
        """
        if after >= self.committed:
            return []
        missing = self.committed - after
        if missing > len(self._recent):
            return None
        return list(self._recent)[-missing:]

    async def wait(self, after: int) -> None:
        """Return once there is an event beyond ``after``, or nothing more will come."""
        while self.committed <= after and not self.closed:
            await self._waiting.wait()

    async def ended(self) -> None:
        """Return once nothing more will come."""
        while not self.closed:
            await self.wait(self.committed)
