"""Recovery: runs whose process died, and runs whose end was asked for through another process."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import suppress

import structlog

from aitp_playground.actors import ActorError
from aitp_playground.errors import Overloaded, PlaygroundError, StoreDamaged
from aitp_playground.runs.activations import Activations, Purpose
from aitp_playground.runs.messages import CancelRun, Interrupted
from aitp_playground.store.port import RunRow, RunStore

log = structlog.get_logger(__name__)

#: How often another process's wish to end one of our runs is looked for, and dead processes' runs. Seconds.
INTENT_POLL = 0.5
ORPHAN_POLL = 3.0
INTERRUPTED = "interrupted by a restart"


class Recovery:
    """Looks into the store from time to time. ``resume`` takes a run that its process had not begun."""

    def __init__(self, store: RunStore, activations: Activations, *, resume: Callable[[RunRow], None]) -> None:
        self._store = store
        self._activations = activations
        self._resume = resume
        self._adopt_pending = False
        self._tasks: list[asyncio.Task[None]] = []

    async def start(self, *, adopt_pending: bool) -> int:
        """Take care of what dead processes left, now and from now on; how many runs it was now.

        ``adopt_pending``: also start those that had not begun. Raises StoreUnavailable.
        """
        self._adopt_pending = adopt_pending
        count = await self.sweep()
        self._tasks = [
            asyncio.create_task(self._repeat(self.heed_intents, INTENT_POLL), name="recovery:intents"),
            asyncio.create_task(self._repeat(self.sweep, ORPHAN_POLL), name="recovery:orphans"),
        ]
        return count

    async def close(self) -> None:
        """Look no more."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def sweep(self) -> int:
        """End the runs whose process died; start those it had not begun. How many were taken care of."""
        taken = 0
        for orphan in await self._store.orphans():
            if _waits(orphan) and not self._adopt_pending:
                continue
            if not await self._store.adopt(orphan.header.run_id):
                continue
            # Read again: its process may have gone on between the look and its death.
            row = await self._store.get(orphan.header.run_id)
            if row is not None:
                taken += 1
                self._take(row, pending=_waits(row) and self._adopt_pending)
        return taken

    async def take_over(self, run_id: str) -> bool:
        """End this run now if the process that conducted it is dead: its end has been asked for."""
        if not await self._store.adopt(run_id):
            return False
        row = await self._store.get(run_id)
        if row is not None:
            self._take(row, pending=False)
        return row is not None

    async def heed_intents(self) -> None:
        """Cancel runs of ours whose end was asked for through another process on the same database."""
        for run_id in await self._store.to_cancel():
            activation = self._activations.get(run_id)
            if activation is not None and not activation.over:
                with suppress(ActorError):
                    activation.ref.tell(CancelRun())

    def _take(self, row: RunRow, *, pending: bool) -> None:
        if self._activations.get(row.header.run_id) is not None:
            return
        with suppress(Overloaded):  # shutting down: the next process finds them again
            if pending:
                self._resume(row)
                return
            end = self._activations.begin(row.header, Purpose.END, committed=row.summary.event_count)
            end.ref.tell(Interrupted(None if row.cancel_requested else INTERRUPTED))

    async def _repeat(self, work: Callable[[], object], seconds: float) -> None:
        while True:
            await asyncio.sleep(seconds)
            try:
                await work()  # type: ignore[misc]
            except StoreDamaged as failure:
                log.error("recovery.given_up", error=failure.message)  # noqa: TRY400 - the message says it all
                return
            except PlaygroundError as failure:
                log.warning("recovery.failed", error=failure.message)


def _waits(row: RunRow) -> bool:
    """Whether it had not begun, and is to begin."""
    return row.summary.status == "pending" and not row.cancel_requested
