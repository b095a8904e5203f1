"""Waiters: readers that wait for something to happen, each on a future of its own."""

from __future__ import annotations

import asyncio


class Waiters:
    """Who waits is woken once; whether that was what it waited for is its own to see."""

    def __init__(self) -> None:
        self._futures: set[asyncio.Future[None]] = set()

    def __len__(self) -> int:
        return len(self._futures)

    async def wait(self) -> None:
        """Return at the next ``wake``."""
        future = asyncio.get_running_loop().create_future()
        self._futures.add(future)
        try:
            await future
        finally:
            self._futures.discard(future)

    def wake(self) -> None:
        """Wake all that wait now."""
        for future in self._futures:
            if not future.done():
                future.set_result(None)
        self._futures.clear()
