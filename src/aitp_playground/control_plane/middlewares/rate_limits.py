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
_UNKNOWN: Final = "unknown"
#: Addresses that are counted in one minute; a proxy's header can make up any number of them.
_MOST: Final = 10_000


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
        bucket, who, most = self._class(request)
        now = self._clock()
        window = int(now // WINDOW_SECONDS)
        if window != self._window or len(self._seen) >= _MOST:
            self._window = window
            self._seen.clear()
        self._seen[bucket, who] += 1
        if self._seen[bucket, who] > most:
            end = (window + 1) * WINDOW_SECONDS
            headers = {
                "Retry-After": str(int(end - now) + 1),
                "X-RateLimit-Limit": str(most),
                "X-RateLimit-Remaining": "0",
                "X-RateLimit-Reset": str(end),
            }
            raise Refused(429, "Too many requests", "RATE_LIMITED", headers=headers, bucket=bucket)

    def _class(self, request: web.Request) -> tuple[str, str, int]:
        caller = request.get(CALLER)
        if caller is not None:
            return "key", caller, PER_KEY
        # Who is not told apart by a proxy in front shares one bucket with everybody else.
        address = request.headers.get("X-Forwarded-For", "").partition(",")[0].strip() or _UNKNOWN
        return ("enroll", address, PER_ENROLL) if request.path == ENROLL else ("public", address, PER_ADDRESS)
