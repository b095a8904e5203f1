"""The circuit breaker of each webhook, in memory only: a restart closes them all."""

from __future__ import annotations

import asyncio
import random
from dataclasses import dataclass
from typing import Any, Literal

from aitp_playground.control_plane.wire.times import iso_time

OPENED_BY = 5
RESET_SECONDS = 60.0
JITTER_SECONDS = 30.0


@dataclass(slots=True)
class Breaker:
    """Opens after five failures in a row; then one delivery at a time probes, and the first that arrives closes it."""

    state: Literal["closed", "open", "half_open"] = "closed"
    failures: int = 0
    successes: int = 0
    opened_at: float | None = None
    probe_at: float | None = None

    def room(self, now: float, under_way: int, most: int) -> int:
        """How many deliveries may start now."""
        if self.state == "closed":
            return most - under_way
        return 1 if under_way == 0 and now >= (self.probe_at or 0) else 0

    def probe(self) -> None:
        """A delivery starts; through an open breaker it is a probe."""
        if self.state == "open":
            self.state = "half_open"

    def record(self, arrived: bool, now: float, scale: float) -> None:
        """How a delivery went. ``scale`` multiplies the pause before the next probe."""
        if arrived:
            self.state, self.failures, self.opened_at, self.probe_at = "closed", 0, None, None
            self.successes += 1
            return
        self.successes = 0
        self.failures += 1
        if self.state == "half_open" or self.failures == OPENED_BY:
            self.state, self.opened_at = "open", now
            self.probe_at = now + (RESET_SECONDS + random.uniform(0, JITTER_SECONDS)) * scale  # noqa: S311 - no secret

    def shown(self) -> dict[str, Any]:
        """The breaker as its route shows it."""
        return {
            "state": self.state,
            "failures": self.failures,
            "consecutiveSuccesses": self.successes,
            "openedAt": None if self.opened_at is None else iso_time(self.opened_at),
            "nextProbeAt": None if self.probe_at is None else iso_time(self.probe_at),
        }


class Breakers(dict[str, Breaker]):
    """By webhook id; hooks that never failed are not kept. ``changed`` is set when another delivery may start."""

    def __init__(self) -> None:
        super().__init__()
        self.changed = asyncio.Event()

    def of(self, hook: str) -> Breaker:
        """The hook's breaker, a closed one if it has none yet."""
        return self.get(hook) or Breaker()

    def record(self, hook: str, arrived: bool, now: float, scale: float) -> None:
        """How a delivery to ``hook`` went."""
        if not arrived or hook in self:
            self.setdefault(hook, Breaker()).record(arrived, now, scale)

    def reset(self, hook: str) -> None:
        """Close the hook's breaker and forget how its deliveries went."""
        self.pop(hook, None)
        self.changed.set()
