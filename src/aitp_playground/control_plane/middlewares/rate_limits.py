"""The stock rate limits of a Control Plane. Off unless asked for: development goes faster than they allow."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from typing import Final

from aiohttp import web

from aitp_playground.control_plane.wire.answers import CALLER
from aitp_playground.control_plane.wire.errors import Refused

WINDOW_SECONDS: Final = 60
ENROLL: Final = "/api/registry/enroll"
#: Requests a minute: enrolments and other public requests of an address, requests with a key.
PER_ENROLL, PER_ADDRESS, PER_KEY = 5, 60, 600


class RateLimits:
    """Counts in windows of a minute. The well-known documents are outside."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._window = 0
        self._seen: Counter[tuple[str, str]] = Counter()

    def check(self, request: web.Request) -> None:
        """Count the request. Raises 429 ``RATE_LIMITED``, with ``Retry-After``, when it is one too many."""
        if request.path.startswith("/.well-known/"):
            return
        kind, who, most = self._class(request)
        now = self._clock()
        window = int(now // WINDOW_SECONDS)
        if window != self._window:
            self._window = window
            self._seen.clear()
        self._seen[kind, who] += 1
        if self._seen[kind, who] > most:
            wait = str(int((window + 1) * WINDOW_SECONDS - now) + 1)
            raise Refused(429, "Too many requests", "RATE_LIMITED", headers={"Retry-After": wait})

    def _class(self, request: web.Request) -> tuple[str, str, int]:
        caller = request.get(CALLER)
        if caller is not None:
            return "key", caller, PER_KEY
        address = request.remote or ""
        return ("enroll", address, PER_ENROLL) if request.path == ENROLL else ("public", address, PER_ADDRESS)
