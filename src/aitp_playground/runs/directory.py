"""RunDirectory: the one door to runs. API and CLI talk only to this; what is behind it does the work."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import suppress
from typing import Any, TypeVar

import structlog

from aitp_playground.actors import ActorError, ActorStopped, Supervisor
from aitp_playground.errors import (
    InvalidRequest,
    NotFound,
    Overloaded,
    RunNotFound,
    RunNotTerminal,
)
from aitp_playground.events.model import EventDraft
from aitp_playground.runs.board import AgentRow
from aitp_playground.runs.concurrency import ignore_failure
from aitp_playground.runs.feed import Feed
from aitp_playground.runs.id_tokens import IdTokenDesk
from aitp_playground.runs.intake.batches import TelemetryDoor
from aitp_playground.runs.intake.webhooks import Deliveries
from aitp_playground.runs.lifecycle import RunLifecycle
from aitp_playground.runs.log import Observer
from aitp_playground.runs.messages import CancelRun, DeliveryFate
from aitp_playground.runs.reader import RunReader
from aitp_playground.runs.recovery import Recovery
from aitp_playground.runs.requests import CancelOutcome, NewRun, RunView, Submitted
from aitp_playground.runs.services import RunServices
from aitp_playground.runs.submission import header_of
from aitp_playground.scenarios.catalog import Catalog
from aitp_playground.scenarios.models import ResolvedScenario
from aitp_playground.store.port import TERMINAL, KeptScenario, OutOfSequence, RunHeader, RunPage, RunRow, StoredEvent

T = TypeVar("T")

log = structlog.get_logger(__name__)

CANCEL_WAIT = 3.0
#: How often the end of a run that another process conducts is looked for. Seconds.
ELSEWHERE_POLL = 0.1
STOPPED = "the server was told to stop, and the run was not over within SHUTDOWN_GRACE_SECS ({:g} s)"


class RunDirectory:
    """See the module docstring. Every method raises the errors of :mod:`aitp_playground.errors`.

    ``observers`` see each event of each run once it is on disk (log line, metrics).
    """

    def __init__(
        self,
        catalog: Catalog,
        services: RunServices,
        supervisor: Supervisor,
        *,
        observers: Sequence[Observer] = (),
    ) -> None:
        self._catalog = catalog
        self._services = services
        self._store = services.store
        self._life = RunLifecycle(catalog, services, supervisor, observers)
        self.activations, self.admission = self._life.activations, self._life.admission
        self._recovery = Recovery(self._store, self.activations, resume=self._life.resume)
        self._telemetry = TelemetryDoor(services.tokens, services.metrics, services.tracing)
        self._reader = RunReader(self._store, self._feed)
        self.deliveries = Deliveries(self._store, self.append_late)

    # -- submitting ----------------------------------------------------------------------------------------------------

    async def submit(self, request: NewRun) -> Submitted:
        """Check the request against the registry (ref, template, inputs, agent ids of faults), store the run as
        pending, start it when there is room. On disk before it returns. Raises ScenarioNotFound, TemplateNotFound,
        InputsInvalid, InvalidRequest, RegistryInvalid, Overloaded, StoreUnavailable."""
        resolved, digest, body = await self._catalog.kept(request.scenario_ref, request.template)
        header = await header_of(request, resolved, digest)
        # Shielded: a caller that leaves meanwhile must not leave a stored run behind that nobody starts.
        opened = await asyncio.shield(self._life.chore(self._open(header, resolved, KeptScenario(digest, body))))
        tracing = self._services.tracing
        if tracing is not None and request.asked_by is not None and not opened.existing:
            tracing.link(header.run_id, request.asked_by)
        return opened

    async def _open(self, header: RunHeader, resolved: ResolvedScenario, kept: KeptScenario) -> Submitted:
        with self.admission.opening():
            row = await self._store.create(header, kept)
        if row.header.run_id != header.run_id:
            if row.header.request_digest != header.request_digest:
                raise InvalidRequest(
                    "this Idempotency-Key was used for a different request; send a new key with a new request",
                    details={"run_id": row.header.run_id},
                )
            return Submitted(row, existing=True)
        self._life.begin(header, resolved)
        return Submitted(row)

    @property
    def load(self) -> tuple[int, int]:
        """How many runs are going on, and how many wait for a place."""
        return self.admission.load

    # -- recovery and drain --------------------------------------------------------------------------------------------

    async def recover(self, *, adopt_pending: bool = True) -> int:
        """End the runs whose process died; start those it had not begun, if ``adopt_pending``. How many were taken care
        of; those of processes that die later follow within seconds."""
        ignore_failure(self._store.prune(self._services.settings.run_retention))
        return await self._recovery.start(adopt_pending=adopt_pending)

    @property
    def draining(self) -> str | None:
        """Why no new runs are taken, or None."""
        return self.admission.closed

    async def drain(self, grace: float) -> None:
        """Take no new runs; give running ones ``grace`` seconds, then cancel them. Pending ones stay stored."""
        self.admission.close("the server is shutting down")
        try:
            async with asyncio.timeout(grace):
                await self._running_done()
        except TimeoutError:
            ending = [self.cancel(run.header.run_id, STOPPED.format(grace)) for run in self.admission.running]
            await asyncio.gather(*ending, return_exceptions=True)
        await self._recovery.close()
        await self._life.close()

    async def _running_done(self) -> None:
        while running := self.admission.running:
            await asyncio.gather(*(run.feed.ended() for run in running))
            await asyncio.sleep(0)

    # -- reading -------------------------------------------------------------------------------------------------------

    async def row(self, run_id: str) -> RunRow:
        """See :meth:`RunReader.row`."""
        return await self._reader.row(run_id)

    async def view(self, run_id: str, *, events: bool = True, after: int = 0, limit: int | None = None) -> RunView:
        """See :meth:`RunReader.view`."""
        return await self._reader.view(run_id, events=events, after=after, limit=limit)

    async def scenario(self, run_id: str) -> tuple[str, bytes]:
        """See :meth:`RunReader.scenario`."""
        return await self._reader.scenario(run_id)

    def pages(
        self, run_id: str, *, after: int = 0, until: int, limit: int | None = None
    ) -> AsyncGenerator[tuple[StoredEvent, ...]]:
        """See :meth:`RunReader.pages`."""
        return self._reader.pages(run_id, after=after, until=until, limit=limit)

    async def output(self, run_id: str, seq: int) -> Any:
        """See :meth:`RunReader.output`."""
        return await self._reader.output(run_id, seq)

    async def list_runs(
        self, *, limit: int = 100, before: str | None = None, status: str | None = None, scenario_ref: str | None = None
    ) -> RunPage:
        """See :meth:`RunReader.list_runs`."""
        return await self._reader.list_runs(limit=limit, before=before, status=status, scenario_ref=scenario_ref)

    def stream(self, run_id: str, *, after: int = 0) -> AsyncGenerator[list[StoredEvent]]:
        """See :meth:`RunReader.stream`."""
        return self._reader.stream(run_id, after=after)

    def _feed(self, run_id: str) -> Feed | None:
        run = self.activations.get(run_id)
        return None if run is None or run.feed.closed else run.feed

    # -- writing -------------------------------------------------------------------------------------------------------

    async def cancel(self, run_id: str, reason: str | None = None) -> CancelOutcome:
        """Ends a run; returns when it is over, or after about 3 s with the intent stored. Raises RunNotFound.

        A run of another process is ended by that one, which looks for intents twice a second. Whichever is stored
        first counts, the intent or another end. ``reason``: a sentence that becomes the run's ``error``.
        """
        row = await self.row(run_id)
        if row.summary.status in TERMINAL:
            return CancelOutcome(run_id, row.summary.status, cancelled=False, reason="already terminal")
        intent = self._store.request_cancel(run_id)
        ignore_failure(intent)
        run = self.activations.get(run_id)
        if run is None and await self._recovery.take_over(run_id):
            run = self.activations.get(run_id)
        if run is not None and not run.over:
            with suppress(ActorError):  # no answer in time, or the run ended this very moment: its row tells
                await run.ref.ask(CancelRun(reason), timeout=CANCEL_WAIT)
        elif run is None:
            await intent
            with suppress(TimeoutError):
                async with asyncio.timeout(CANCEL_WAIT):
                    await self._ended_elsewhere(run_id)
        status = (await self.row(run_id)).summary.status
        if status == "cancelled":
            return CancelOutcome(run_id, status, cancelled=True)
        if status in TERMINAL:
            return CancelOutcome(run_id, status, cancelled=False, reason="already terminal")
        await intent
        return CancelOutcome(run_id, status, cancelled=True)

    async def _ended_elsewhere(self, run_id: str) -> None:
        while True:
            if (await self.row(run_id)).summary.status in TERMINAL:
                return
            await asyncio.sleep(ELSEWHERE_POLL)

    async def delete(self, run_id: str) -> None:
        """Raises RunNotFound, RunNotTerminal."""
        row = await self.row(run_id)
        if row.summary.status not in TERMINAL:
            raise RunNotTerminal(f"run {run_id} is {row.summary.status}; cancel it first (POST /runs/{run_id}/cancel)")
        if not await self._store.delete(run_id):
            raise RunNotFound(f"no run has the id {run_id!r}")
        self._reader.forget(run_id)
        if (run := self.activations.get(run_id)) is not None:
            self.activations.leave(run)
        if self._services.leftovers is not None:
            self._services.leftovers.wake()

    async def append_late(self, run_id: str, entry: EventDraft) -> DeliveryFate:
        """Put an event that may follow the end into a run's log, once per ``entry.id``; on disk before it returns.

        Raises RunNotFound, Overloaded, ActorError.
        """
        try:
            return await self._append_late(run_id, entry)
        except (ActorStopped, OutOfSequence):
            # The run ended this very moment, or somebody else wrote to its log: the next actor begins from disk.
            return await self._append_late(run_id, entry)

    async def _append_late(self, run_id: str, entry: EventDraft) -> DeliveryFate:
        run = self.activations.get(run_id)
        if run is None or run.over:
            # A run of ours is in the table until its end is on disk, so this row shows it.
            row = await self.row(run_id)
            if row.summary.status not in TERMINAL and self.activations.get(run_id) is None:
                raise Overloaded("another process conducts this run; deliver this again later", retry_after=30)
            header = row.header
        else:
            header = run.header
        return await self.activations.follow(header, entry)

    async def telemetry(
        self,
        token: str,
        emitter_seq: int,
        events: list[Mapping[str, Any]],
        spans: Sequence[Mapping[str, Any]] = (),
    ) -> dict[str, Any]:
        """See :meth:`TelemetryDoor.take`."""
        return await self._telemetry.take(token, emitter_seq, events, spans)

    @property
    def id_tokens(self) -> IdTokenDesk:
        """Where agents with an OIDC identity get their ID tokens."""
        return self._services.id_tokens

    # -- agents --------------------------------------------------------------------------------------------------------

    @property
    def at_rest(self) -> bool:
        """No run is conducted, and nothing that follows an end is still being done."""
        return not (len(self.activations) or self._life.chores)

    def agents(self) -> list[AgentRow]:
        """Agents of unfinished runs, and crashed ones for a minute."""
        return self._services.board.rows()

    async def agent_log(self, run_id: str, agent_id: str) -> str:
        """The worker's output, bounded and redacted. Raises RunNotFound, NotFound."""
        await self.row(run_id)
        text = self._services.board.output(run_id, agent_id)
        if text is None:
            text = await self._store.agent_log(run_id, agent_id)
        if text is None:
            raise NotFound(f"run {run_id} has no output of an agent {agent_id!r}")
        return text

    async def ping(self) -> None:
        """Raises StoreUnavailable."""
        await self._store.ping()
