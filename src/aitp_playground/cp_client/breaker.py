"""A circuit breaker, so that a dead Control Plane costs one time-out or two refusals and then nothing.

Libraries for this count failures of one kind and let the next caller try again after a pause. Here a time-out weighs
more than a refusal, and no caller is ever the one who tries: a task of the breaker's own asks for a sign of life.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable
from typing import Final, Literal

import structlog

from aitp_playground.backoff import doubling, shortened
from aitp_playground.cp_client.reasons import Reason

State = Literal["closed", "open"]

#: Seconds before the first probe, and the most between two.
FIRST_PAUSE: Final = 1.0
LONGEST_PAUSE: Final = 30.0
_REFUSALS: Final = 2

_log = structlog.get_logger(__name__)


class Breaker:
    """Closed: calls pass. Open: they do not, until ``probe`` says True.

    ``probe`` runs in the breaker's task and bounds its own time; raising counts as False and is logged. ``on_change``
    is told each new state in that task or in a caller's, must be quick and must not raise. :meth:`close` ends the task.
    """

    def __init__(
        self,
        probe: Callable[[], Awaitable[bool]],
        *,
        on_change: Callable[[State], None] = lambda _: None,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
        jitter: Callable[[float, float], float] = random.uniform,
    ) -> None:
        self._probe = probe
        self._on_change = on_change
        self._sleep = sleep
        self._jitter = jitter
        self._era = 0
        self._refusals = 0
        self._pauses = 0
        self._prober: asyncio.Task[None] | None = None
        self._ended = False
        self._state: State = "closed"

    @property
    def state(self) -> State:
        return self._state

    def admit(self) -> int | None:
        """A permit for one call, to be shown with its failure; None while open."""
        return self._era if self._state == "closed" else None

    def answered(self) -> None:
        """The Control Plane said something, be it an error: it is there.

        Only this, not a good probe, makes the pauses short again: a service whose health route alone is well would have
        a call run into a time-out every second.
        """
        if self._state == "closed":
            self._refusals = self._pauses = 0

    def failed(self, permit: int, reason: Reason) -> None:
        """A call ended so. News of a call that began before the breaker last closed is no news."""
        if permit != self._era or self._state == "open" or self._ended:
            return
        if reason in {"refused", "dns"}:
            self._refusals += 1
        if reason == "timeout" or self._refusals >= _REFUSALS:
            self._open(reason)

    async def close(self) -> None:
        """End the probing. The state stays as it is."""
        self._ended = True
        if self._prober is not None:
            self._prober.cancel()
            # Not awaited as such: then the prober's end could not be told from a cancellation of the caller.
            await asyncio.wait((self._prober,))

    def _open(self, reason: Reason) -> None:
        self._state = "open"
        _log.warning("cp_client.breaker_opened", reason=reason)
        self._prober = asyncio.create_task(self._probe_until_well(), name="cp-breaker-probe")
        self._on_change("open")

    async def _probe_until_well(self) -> None:
        well = False
        while not well:
            await self._sleep(self._pause())
            try:
                well = await self._probe()
            except Exception:  # noqa: BLE001 - logged; a fault must not leave the circuit open for good
                _log.exception("cp_client.probe_failed")
        self._era += 1
        self._refusals = 0
        self._state = "closed"
        _log.info("cp_client.breaker_closed")
        self._on_change("closed")

    def _pause(self) -> float:
        self._pauses += 1
        return shortened(doubling(FIRST_PAUSE, LONGEST_PAUSE)(self._pauses), self._jitter)
