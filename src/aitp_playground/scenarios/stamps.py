"""Telling one state of a file from another."""

from __future__ import annotations

import time
from pathlib import Path

#: ``(mtime_ns, size, inode)``; None for a path that is not there.
Stamp = tuple[int, int, int] | None
_UNSETTLED: Stamp = (-1, -1, -1)
# A file written twice within one tick of the file system's clock shows one mtime for both contents.
_CLOCK_TICK_NS = 50_000_000


def stamp(path: Path) -> Stamp:
    """What tells this state of a file or directory from another."""
    try:
        seen = path.stat()
    except (OSError, ValueError):
        return None
    return seen.st_mtime_ns, seen.st_size, seen.st_ino


def settled_stamp(path: Path) -> Stamp:
    """:func:`stamp`, or one that never compares equal while the file's clock could not tell a second write."""
    seen = stamp(path)
    return _UNSETTLED if seen is not None and time.time_ns() - seen[0] < _CLOCK_TICK_NS else seen
