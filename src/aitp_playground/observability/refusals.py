"""Requests that were turned away at the door, as log lines: enough to see who tries what, bounded whoever tries.

A line per refusal while there are few; of a flood one line a second says how many there were beside it.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Final

import structlog

#: Lines that may come at once, and how many a second after that.
BURST: Final = 20
PER_SECOND: Final = 1.0
_MAX_PATH: Final = 200

log = structlog.get_logger(__name__)


class Refusals:
    """``clock``: monotonic seconds."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._room = float(BURST)
        self._seen = clock()
        self._untold = 0

    def note(self, *, status: int, code: str, method: str, path: str, client: str, reason: str) -> None:
        """A refusal. ``path`` is without its query, which may hold secrets; ``reason`` is what the answer says."""
        now = self._clock()
        self._room = min(float(BURST), self._room + (now - self._seen) * PER_SECOND)
        self._seen = now
        if self._room < 1.0:
            self._untold += 1
            return
        self._room -= 1.0
        beside = {"untold": self._untold} if self._untold else {}
        self._untold = 0
        log.warning(
            "request.refused",
            status=status,
            code=code,
            method=method[:20],
            path=path[:_MAX_PATH],
            client=client,
            reason=reason,
            **beside,
        )
