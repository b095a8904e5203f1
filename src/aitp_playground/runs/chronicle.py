"""Chronicle: the events of all runs as one sequence, in the order of their commits; the stored ones, then live ones.

Whoever keeps up shares one read of the store with all others who do; who is behind reads for itself. Commits of other
processes on the same store are in it: their numbers come from the store.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncGenerator
from contextlib import suppress

from aitp_playground.runs.waiters import Waiters
from aitp_playground.store.chronicle_port import ChroniclePage, ChronicleStore, Position

#: How soon a commit of another process is seen. Seconds.
FOREIGN_POLL = 0.2
#: Bytes of events kept at hand for readers that keep up.
RECENT_BYTES = 1024 * 1024
PAGE = 1000


class Chronicle:
    """What is new is read as long as anybody follows. ``wake`` says that this process has committed something."""

    def __init__(self, store: ChronicleStore) -> None:
        self._store = store
        self._woken = asyncio.Event()
        self._recent: deque[tuple[Position, ChroniclePage]] = deque()  # with where each page began
        self._bytes = 0
        self._waiting = Waiters()
        self._followers = 0
        self._reading: asyncio.Task[None] | None = None
        self._at: Position | None = None  # how far it has come
        self._failure: Exception | None = None

    async def placed(self, position: Position) -> Position:
        """The position with the era that it has here."""
        return await self._store.chronicle_placed(position)

    async def head(self) -> Position:
        """Behind everything that is there now."""
        return await self._store.chronicle_head()

    async def since(self, at: float) -> Position:
        """Before what is of ``at`` (Unix seconds) or later."""
        return await self._store.chronicle_since(at)

    def wake(self) -> None:
        """Something was committed here."""
        self._woken.set()

    async def pages(self, after: Position, until: Position, run_id: str | None = None) -> AsyncGenerator[ChroniclePage]:
        """What is stored between two positions, of one run or of all."""
        while after < until:
            page = await self._store.chronicle(after, limit=PAGE, run_id=run_id)
            entries = tuple(entry for entry in page.entries if entry.position <= until)
            after = page.after
            yield ChroniclePage(entries, min(after, until), after < until, page.removed, page.forgotten)

    async def follow(self, after: Position, run_id: str | None = None) -> AsyncGenerator[ChroniclePage]:
        """What comes behind ``after``, without end, gap or double; a page may have no entries but removed runs.

        ``run_id``: only this run is of interest. What is behind is then read of it alone; what is new comes with that
        of others, who read it as well. Of removed runs it alone is told. Raises what the store raises.
        """
        self._followers += 1
        if self._reading is None or self._reading.done():
            self._begin()
        try:
            while True:
                page = self._at_hand(after) or await self._store.chronicle(after, limit=PAGE, run_id=run_id)
                if page.entries or page.removed or page.forgotten:
                    yield page
                if page.after > after:
                    after = page.after
                elif self._at is None or self._at <= after:  # else something came while the store was asked
                    await self._wait()
        finally:
            self._followers -= 1
            if not self._followers:
                await self.close()

    async def close(self) -> None:
        """Read no further. Whoever still follows waits for ever."""
        if (reading := self._reading) is not None:
            self._reading = None
            reading.cancel()
            await asyncio.gather(reading, return_exceptions=True)

    def _begin(self) -> None:
        self._recent.clear()
        self._bytes, self._at, self._failure = 0, None, None
        self._reading = asyncio.create_task(self._read(), name="chronicle")

    def _at_hand(self, after: Position) -> ChroniclePage | None:
        """What follows, out of what was read last; None when that is not known."""
        if after == self._at:
            return ChroniclePage((), after)
        for begin, page in self._recent:
            if begin <= after < page.after:
                later = tuple(entry for entry in page.entries if entry.position > after)
                return ChroniclePage(later, page.after, page.more)
        return None

    async def _wait(self) -> None:
        if self._failure is not None:
            raise self._failure
        await self._waiting.wait()

    async def _read(self) -> None:
        try:
            at = self._at = await self._store.chronicle_head()
            self._waiting.wake()
            while True:
                self._woken.clear()
                page = await self._store.chronicle(at, limit=PAGE)
                if page.after > at:
                    self._take(at, page)
                    at = page.after
                if not page.more:
                    with suppress(TimeoutError):
                        async with asyncio.timeout(FOREIGN_POLL):
                            await self._woken.wait()
        except Exception as failure:  # noqa: BLE001 - it is each follower's to raise
            self._failure = failure
        finally:
            self._waiting.wake()

    def _take(self, begin: Position, page: ChroniclePage) -> None:
        self._at = page.after
        # Which holes a reader is to be told of depends on where it is and on the run it asked for: at those, which are
        # rare among what is new, each asks the store.
        if not page.removed and not page.forgotten:
            self._recent.append((begin, page))
            self._bytes += _size(page)
        while self._bytes > RECENT_BYTES and len(self._recent) > 1:
            self._bytes -= _size(self._recent.popleft()[1])
        self._waiting.wake()


def _size(page: ChroniclePage) -> int:
    return sum(len(entry.event.body) for entry in page.entries)
