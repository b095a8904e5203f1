"""Keeping an agent in a registry: an entry lives as long as the manifest that was registered."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Final

FIRST_PAUSE: Final = 2.0
LONGEST_PAUSE: Final = 60.0

Enrol = Callable[[], Awaitable[Mapping[str, Any]]]


class Enrolment:
    """Enrols, again when half of the manifest's life of ``ttl`` seconds is over, sooner after a failure.

    ``enrol`` answers as the agent's route does, for the Control Plane at ``url``. ``done``: it may be in the registry.
    """

    def __init__(
        self,
        enrol: Enrol,
        url: str,
        ttl: float,
        tell: Callable[[str], object],
        sleep: Callable[[float], Awaitable[object]] = asyncio.sleep,
    ) -> None:
        self._enrol = enrol
        self._url = url
        self._ttl = ttl
        self._tell = tell
        self._sleep = sleep
        self._listed = False
        self.done = False

    async def keep(self) -> None:
        """Until cancelled."""
        pause = FIRST_PAUSE
        while True:
            # An answer that is lost on its way may be one of success.
            before, self.done = self.done, True
            outcome = await self._enrol()
            if outcome.get("stage") == "enroll":  # the entry is made by the second exchange, which was not begun
                self.done = before
            if outcome.get("enrolled"):
                if not self._listed:
                    self._tell(f"enrolled at {outcome.get('registered_at')}")
                self._listed, pause = True, FIRST_PAUSE
                await self._sleep(self._ttl / 2)
                continue
            self._listed = False
            self._tell(f"not enrolled{self._why(outcome)}; the next attempt is in {pause:g} s")
            await self._sleep(pause)
            pause = min(2 * pause, LONGEST_PAUSE)

    def _why(self, outcome: Mapping[str, Any]) -> str:
        if (silence := unanswered(self._url, outcome.get("error"))) is not None:
            return f": {silence}. Is the Control Plane running, and is CP_BASE_URL its address?"
        parts = (outcome.get(name) for name in ("error", "stage", "status", "code"))
        return f" at {self._url} ({', '.join(str(part) for part in parts if part)})"


def unanswered(url: str, reason: str | None) -> str | None:
    """What a reason class that means no answer says about ``url``; None for those that tell of an answer."""
    match reason:
        case "refused" | "dns" | "breaker_open":
            return f"nothing answers at {url} ({reason})"
        case "timeout":
            return f"{url} does not answer in time ({reason})"
        case _:
            return None
