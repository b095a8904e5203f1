"""How full a disk is, looked at where nobody waits: a network disk that is gone answers never."""

from __future__ import annotations

import asyncio
import math
import os
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Final

import structlog

#: Seconds between two looks, and after how many what was seen says nothing any more.
EVERY: Final = 10.0
STALE: Final = 60.0
_CLOSE_SECS: Final = 1.0

log = structlog.get_logger(__name__)


class DiskWatch:
    """The disk with one directory, looked at by a daemon thread, which may hang without the process doing so."""

    def __init__(
        self,
        directory: Path,
        *,
        look: Callable[[Path], os.statvfs_result] = os.statvfs,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._directory = directory
        self._look = look
        self._clock = clock
        self._seen: tuple[float, os.statvfs_result] | None = None
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._run, name="disk-watch", daemon=True)

    def start(self) -> None:
        """Begin to look. Without a thread to be had the disk stays unknown: that is no reason not to serve."""
        try:
            self._thread.start()
        except RuntimeError as failure:
            log.warning("disk.unwatched", path=str(self._directory), error=str(failure))

    async def close(self) -> None:
        """End the thread, unless the disk holds it."""
        self._ended.set()
        if self._thread.is_alive():
            await asyncio.to_thread(self._thread.join, _CLOSE_SECS)

    def free(self) -> float:
        """Bytes that are left for the service; NaN when nothing is known."""
        seen = self._latest()
        return math.nan if seen is None else seen.f_bavail * seen.f_frsize

    def size(self) -> float:
        """Bytes in all; NaN when nothing is known."""
        seen = self._latest()
        return math.nan if seen is None else seen.f_blocks * seen.f_frsize

    def _latest(self) -> os.statvfs_result | None:
        if self._seen is None or self._clock() - self._seen[0] > STALE:
            return None
        return self._seen[1]

    def _run(self) -> None:
        while not self._ended.is_set():
            try:
                self._seen = (self._clock(), self._look(self._directory))
            except OSError:
                self._seen = None  # gone, or not to be read: what it was is no answer
            self._ended.wait(EVERY)
