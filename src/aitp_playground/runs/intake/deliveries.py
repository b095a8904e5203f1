"""DeliveryIntake: what a run has been told by the Control Plane, within bounds and each thing once."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Literal

from aitp_playground.errors import Overloaded
from aitp_playground.events.model import EventDraft
from aitp_playground.runs.state import RunState

#: Deliveries about other runs that become events; the rest is a number.
MOST_FOREIGN = 100
#: A Control Plane that delivers more is told to wait, so that a run never ends for the size of what it was told.
MAX_DELIVERIES = 10_000
MAX_DELIVERED_BYTES = 128 * 1024 * 1024

Verdict = Literal["append", "known", "count"]


class DeliveryIntake:
    """Part of a run's actor. ``count_foreign`` adds one to the number kept in the store."""

    def __init__(self, count_foreign: Callable[[], asyncio.Future[None]]) -> None:
        self._count_foreign = count_foreign
        self._counting: dict[str, asyncio.Future[None]] = {}
        self._bytes = 0

    def judge(self, entry: EventDraft, state: RunState) -> Verdict:
        """What is to be done with a delivery. Raises Overloaded when the run has been told too much."""
        if entry.id in state.delivered:
            return "known"
        if entry.fields.get("foreign") and state.foreign >= MOST_FOREIGN:
            return "count"
        full = len(state.delivered) >= MAX_DELIVERIES or self._bytes > MAX_DELIVERED_BYTES
        if full and entry.type == "cp.webhook.delivered":
            raise Overloaded("the run has been told too much to take more", retry_after=60)
        return "append"

    def appended(self, size: int) -> None:
        """A delivery became ``size`` bytes of the log."""
        self._bytes += size

    def count(self, delivery: str) -> tuple[asyncio.Future[None], bool]:
        """Count a delivery about another run, once, as far back as ids are remembered.

        When that is on disk, and whether this is its first copy.
        """
        known = self._counting.get(delivery)
        if known is not None and not (known.done() and known.exception()):
            return known, False
        counted = self._counting[delivery] = self._count_foreign()
        if len(self._counting) > MAX_DELIVERIES:
            del self._counting[next(iter(self._counting))]
        return counted, True
