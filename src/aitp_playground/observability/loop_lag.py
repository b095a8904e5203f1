"""How late the event loop is: what is due waits for whatever holds it, and this measures for how long."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import Final, Never

from aitp_playground.actors import Actor

#: Seconds between two wakings. What holds the loop for longer is always seen, what is shorter sometimes.
EVERY: Final = 0.1
#: The worst of at least so many seconds is told: longer than most intervals at which metrics are asked for.
WINDOW: Final = 30.0


class LoopLag:
    """The worst lateness of the last :data:`WINDOW` seconds, of up to twice as many; one actor writes."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._due: float | None = None
        self._begun = clock()
        self._worst = self._worst_before = 0.0

    @property
    def seconds(self) -> float:
        """What is overdue this moment counts: who asks may have come to its turn before the measure."""
        overdue = 0.0 if self._due is None else self._clock() - self._due
        self._turn()
        return max(self._worst_before, self._worst, overdue)

    def ask(self, seconds: float) -> None:
        """The measure is to be woken in so many seconds."""
        self._due = self._clock() + seconds

    def woken(self) -> None:
        """It was."""
        if self._due is not None:
            self._turn()
            self._worst = max(self._worst, self._clock() - self._due)
            self._due = None

    def _turn(self) -> None:
        """Begin a new window when the present one is full."""
        full = int((self._clock() - self._begun) // WINDOW)
        if full:
            self._worst_before, self._worst = (self._worst if full == 1 else 0.0), 0.0
            self._begun += full * WINDOW


class LoopWatch(Actor[Never]):
    """Sleeps, and notes how much longer than asked; an actor so that its failure is seen and it is begun again."""

    def __init__(self, lag: LoopLag, sleep: Callable[[float], Awaitable[None]] = asyncio.sleep) -> None:
        self._lag = lag
        self._sleep = sleep

    async def on_start(self) -> None:
        self.tasks.spawn(self._watch(), name="sleep")

    async def _watch(self) -> None:
        while True:
            self._lag.ask(EVERY)
            await self._sleep(EVERY)
            self._lag.woken()
