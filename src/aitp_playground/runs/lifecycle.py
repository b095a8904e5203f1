"""RunLifecycle: a run from its place in the queue to the last word in its log."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine, Sequence
from contextlib import suppress
from typing import Any, TypeVar

import structlog

from aitp_playground.actors import ActorRef, ActorStopped, Supervisor
from aitp_playground.errors import PlaygroundError
from aitp_playground.runs.activations import Activation, Activations, Purpose
from aitp_playground.runs.admission import Admission
from aitp_playground.runs.concurrency import ignore_failure
from aitp_playground.runs.conducting.conductor import Conductor
from aitp_playground.runs.log import Observer
from aitp_playground.runs.messages import Begin, CancelRun, Interrupted, RunMessage
from aitp_playground.runs.services import RunServices
from aitp_playground.scenarios.catalog import Catalog
from aitp_playground.scenarios.models import ResolvedScenario
from aitp_playground.store.port import RunHeader, RunRow

T = TypeVar("T")

log = structlog.get_logger(__name__)

DEFECT = "internal error: the run's actor ended early; the server's log has the details"
#: Finished runs beyond the retention are removed each time this many have ended.
PRUNE_EVERY = 25


class RunLifecycle:
    """Ties who may write (:class:`Activations`) to who has a place (:class:`Admission`)."""

    def __init__(
        self, catalog: Catalog, services: RunServices, supervisor: Supervisor, observers: Sequence[Observer]
    ) -> None:
        self._catalog = catalog
        self._services = services
        self._store = services.store
        settings = services.settings
        self.activations = Activations(self._store, supervisor, observers, ended=self._on_ended, gone=self._on_gone)
        self.admission = Admission(
            at_once=settings.max_concurrent_runs, waiting=settings.max_pending_runs, begin=self._on_admitted
        )
        self.chores: set[asyncio.Task[Any]] = set()
        self._ended_count = 0

    def begin(self, header: RunHeader, resolved: ResolvedScenario) -> None:
        """Give a run that was just stored its turn."""
        self.admission.enter(self._activation(header, resolved))

    async def close(self) -> None:
        """End every actor and wait for what still goes on."""
        await self.activations.close()
        await asyncio.gather(*self.chores, return_exceptions=True)

    def _activation(
        self, header: RunHeader, resolved: ResolvedScenario | None = None, *, committed: int = 0
    ) -> Activation:
        async def conduct(run: ActorRef[RunMessage]) -> None:
            await Conductor(header, resolved or await self._restored(header), self._services).conduct(run)

        return self.activations.begin(header, Purpose.CONDUCT, conduct=conduct, committed=committed)

    async def _restored(self, header: RunHeader) -> ResolvedScenario:
        """What the run was started from, also when its files have changed since."""
        body = None if header.scenario_digest is None else await self._store.scenario(header.scenario_digest)
        if body is None:  # stored by an earlier release
            return await self._catalog.resolve(header.scenario_ref, header.template)
        return self._catalog.restored(body)

    def resume(self, row: RunRow) -> None:
        """Give a stored run that had not begun its turn."""
        self.admission.enter(self._activation(row.header, committed=row.summary.event_count))

    def _on_admitted(self, run: Activation, waited: bool) -> None:
        if waited:
            self.chore(self._begin_unless_cancelled(run))
        else:
            run.ref.tell(Begin())

    async def _begin_unless_cancelled(self, run: Activation) -> None:
        """Its end may have been asked for through another process while it waited: then nothing is launched for it."""
        row: RunRow | None = None
        with suppress(PlaygroundError):
            row = await self._store.get(run.header.run_id)
        with suppress(ActorStopped):
            run.ref.tell(CancelRun() if row is not None and row.cancel_requested else Begin())

    def _on_ended(self, run: Activation) -> None:
        """The terminal event is on disk: the actor goes, the next run gets its place."""
        self._release(run)
        self.activations.leave(run)
        self._ended_count += 1
        if self._ended_count % PRUNE_EVERY == 0:
            ignore_failure(self._store.prune(self._services.settings.run_retention))

    def _on_gone(self, run: Activation) -> None:
        """A defect ended the run's actor, and its agents with it. Another actor writes the last event."""
        if run.over:
            return
        self._release(run)
        if run.purpose is Purpose.END:
            log.error("run.abandoned", run_id=run.header.run_id)  # the next start of the service ends it
            return
        end = self.activations.begin(run.header, Purpose.END, committed=run.feed.committed)
        end.ref.tell(Interrupted(DEFECT))

    def _release(self, run: Activation) -> None:
        self._services.board.clear_run(run.header.run_id)
        self.admission.leave(run)

    def chore(self, work: Coroutine[Any, Any, T]) -> asyncio.Task[T]:
        """Work that goes on when nobody waits for it, and is over before :meth:`close` returns."""
        task = asyncio.create_task(work)
        self.chores.add(task)
        task.add_done_callback(self.chores.discard)
        return task
