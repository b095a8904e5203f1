"""Feed: what readers of a live run hang on. Events appear here when they are on disk, never before."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Sequence

from aitp_playground.store.port import StoredEvent

#: Events kept at hand for readers that keep up; who is further behind reads from the store.
RECENT = 512


class Feed:
    """The committed end of one run's log. A reader costs one waiting future; its position is its own."""

    def __init__(self, committed: int = 0) -> None:
        self.committed = committed
        self.closed = False
        self._recent: deque[StoredEvent] = deque(maxlen=RECENT)
        self._waiting: set[asyncio.Future[None]] = set()

    def publish(self, events: Sequence[StoredEvent]) -> None:
        """Show events that have been committed, in order.

        Some may have got to the disk unseen (by the actor this one's actor succeeds, or in a commit that was reported
        as failed); who has not read those must go to the store.
        """
        if events[0].seq != self.committed + 1:
            self._recent.clear()
        self._recent.extend(events)
        self.committed = events[-1].seq
        self._wake()

    def close(self) -> None:
        """Nothing more will come."""
        self.closed = True
        self._wake()

    def since(self, after: int) -> list[StoredEvent] | None:
        """Events with ``seq > after`` that are on disk; None when the reader is too far behind for what is at hand."""
        if after >= self.committed:
            return []
        missing = self.committed - after
        if missing > len(self._recent):
            return None
        return list(self._recent)[-missing:]

    async def wait(self, after: int) -> None:
        """Return once there is an event beyond ``after``, or nothing more will come."""
        while self.committed <= after and not self.closed:
            future = asyncio.get_running_loop().create_future()
            self._waiting.add(future)
            try:
                await future
            finally:
                self._waiting.discard(future)

    async def ended(self) -> None:
        """Return once nothing more will come."""
        while not self.closed:
            await self.wait(self.committed)

    def _wake(self) -> None:
        for future in self._waiting:
            if not future.done():
                future.set_result(None)
        self._waiting.clear()
