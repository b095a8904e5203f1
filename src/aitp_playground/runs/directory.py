"""RunDirectory: the one door to runs: admission, lookup, activation, recovery. API and CLI talk only to this."""

from __future__ import annotations

import asyncio
import hashlib
import time
import uuid
from collections import deque
from collections.abc import Coroutine, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, TypeVar

import orjson
import structlog

from aitp_playground.actors import ActorError, ActorRef, ActorStopped, AskTimeout, MailboxFull, Supervisor
from aitp_playground.errors import (
    InvalidRequest,
    NotFound,
    Overloaded,
    PlaygroundError,
    RunNotFound,
    RunNotTerminal,
    Unauthorized,
)
from aitp_playground.events.model import EventDraft
from aitp_playground.runs.actor import RunActor
from aitp_playground.runs.awake import DELIVERY_TIMEOUT, AwakeRuns
from aitp_playground.runs.board import AgentRow
from aitp_playground.runs.concurrency import ignore_failure
from aitp_playground.runs.conductor import Conductor
from aitp_playground.runs.deliveries import Deliveries
from aitp_playground.runs.feed import Feed
from aitp_playground.runs.intake import telemetry_drafts
from aitp_playground.runs.log import EventLog, Observer
from aitp_playground.runs.messages import (
    Begin,
    CancelRun,
    Delivery,
    DeliveryFate,
    Interrupted,
    RunMessage,
    Telemetry,
)
from aitp_playground.runs.reader import RunReader
from aitp_playground.runs.requests import CancelOutcome, NewRun, Submitted
from aitp_playground.runs.services import RunServices
from aitp_playground.runs.state import RunState
from aitp_playground.scenarios.catalog import Catalog
from aitp_playground.scenarios.inputs import complete_inputs
from aitp_playground.scenarios.models import ResolvedScenario
from aitp_playground.store.port import TERMINAL, OutOfSequence, RunHeader

T = TypeVar("T")

log = structlog.get_logger(__name__)

CANCEL_WAIT = 3.0
TELEMETRY_TIMEOUT = 10.0
#: How often our running runs are looked at there: another process may have been asked to cancel one.
INTENT_POLL = 0.5
INTERRUPTED = "interrupted by a restart"
STOPPED = "the server was told to stop, and the run was not over within SHUTDOWN_GRACE_SECS ({:g} s)"
DEFECT = "internal error: the run's actor ended early; the server's log has the details"
#: Finished runs beyond the retention are removed each time this many have ended.
PRUNE_EVERY = 25


@dataclass(frozen=True, slots=True)
class _Live:
    """An unfinished run of this process. ``rescue``: its first actor ended too early, this one only ends it."""

    header: RunHeader
    ref: ActorRef[RunMessage]
    feed: Feed
    rescue: bool = False


class RunDirectory(RunReader):
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
        super().__init__(services.store, self._feed)
        self._catalog = catalog
        self._services = services
        self._settings = services.settings
        self._supervisor = supervisor
        self._observers = tuple(observers)
        self._live: dict[str, _Live] = {}
        self._waiting: deque[str] = deque()
        self._running: set[str] = set()
        self._opening = 0
        self._chores: set[asyncio.Task[Any]] = set()
        self._intents: asyncio.Task[None] | None = None
        self._draining: str | None = None
        self._ended_count = 0
        self._leaving: dict[str, ActorRef[RunMessage]] = {}
        self._awake = AwakeRuns(self._store, supervisor, self._observers)
        self.deliveries = Deliveries(self._store, self.append_late)

    # -- admission -----------------------------------------------------------------------------------------------------

    async def submit(self, request: NewRun) -> Submitted:
        """Check the request against the registry (ref, template, inputs, agent ids of faults), store the run as
        pending, start it when there is room. On disk before it returns. Raises ScenarioNotFound, TemplateNotFound,
        InputsInvalid, InvalidRequest, RegistryInvalid, Overloaded, StoreUnavailable."""
        resolved = await self._catalog.resolve(request.scenario_ref, request.template)
        header = self._header(request, resolved)
        if self._draining is not None:
            raise Overloaded(self._draining, retry_after=5)
        room = max(0, self._limit - len(self._running)) + self._settings.max_pending_runs
        if len(self._waiting) + self._opening >= room:
            raise Overloaded(f"{len(self._waiting)} runs are waiting already (MAX_PENDING_RUNS)", retry_after=1)
        self._opening += 1
        # Shielded: a caller that leaves meanwhile must not leave a stored run behind that nobody starts.
        return await asyncio.shield(self._chore(self._open(header, resolved)))

    async def _open(self, header: RunHeader, resolved: ResolvedScenario) -> Submitted:
        try:
            row = await self._store.create(header)
        finally:
            self._opening -= 1
        if row.header.run_id != header.run_id:
            if row.header.request_digest != header.request_digest:
                raise InvalidRequest(
                    "this Idempotency-Key was used for a different request; send a new key with a new request",
                    details={"run_id": row.header.run_id},
                )
            return Submitted(row, existing=True)
        self._activate(header, resolved=resolved)
        self._enqueue(header.run_id)
        return Submitted(row)

    def _header(self, request: NewRun, resolved: ResolvedScenario) -> RunHeader:
        known = {agent.id for agent in resolved.scenario.spec.agents}
        for kind, targets in request.fault_injection.items():
            for target in targets:
                if target not in known:
                    raise InvalidRequest(
                        f"fault_injection.{kind} names {target!r}, which is no agent of {resolved.ref}; "
                        f"its agents are {', '.join(sorted(known))}"
                    )
        return RunHeader(
            run_id=str(uuid.uuid4()),
            scenario_ref=resolved.ref,
            template=request.template,
            run_label=request.run_label,
            inputs=complete_inputs(resolved.scenario.spec.inputs.json_schema, request.inputs),
            fault_injection=dict(request.fault_injection),
            created_at=time.time(),
            idempotency_key=request.idempotency_key,
            request_digest=_digest(request) if request.idempotency_key is not None else None,
        )

    @property
    def _limit(self) -> int:
        return self._settings.max_concurrent_runs

    def _activate(
        self, header: RunHeader, *, resolved: ResolvedScenario | None = None, committed: int = 0, rescue: bool = False
    ) -> _Live:
        """``committed``: how many events are on disk. A run that has some is only ended, from there."""
        feed = Feed(committed)
        events = EventLog(header.run_id, self._store, feed, self._observers, RunState())

        async def conduct(run: ActorRef[RunMessage]) -> None:
            found = resolved or await self._catalog.resolve(header.scenario_ref, header.template)
            await Conductor(header, found, self._services).conduct(run)

        ref = self._supervisor.spawn(
            lambda: RunActor(header, events, self._store, conduct, ended=self._on_ended, crashed=self._on_crashed),
            name=f"run:{header.run_id}",
        )
        live = _Live(header, ref, feed, rescue)
        self._live[header.run_id] = live
        return live

    def _enqueue(self, run_id: str) -> None:
        self._waiting.append(run_id)
        self._admit()

    def _admit(self) -> None:
        while self._waiting and len(self._running) < self._limit and self._draining is None:
            run_id = self._waiting.popleft()
            if (live := self._live.get(run_id)) is not None:
                self._running.add(run_id)
                live.ref.tell(Begin())

    def _on_ended(self, run_id: str) -> None:
        """The terminal event is on disk: readers finish, the actor goes, the next run gets its place."""
        live = self._release(run_id)
        self._leaving[run_id] = live.ref
        self._chore(self._retire(run_id, live.ref))
        self._ended_count += 1
        if self._ended_count % PRUNE_EVERY == 0:
            ignore_failure(self._store.prune(self._settings.run_retention))

    def _release(self, run_id: str) -> _Live:
        live = self._live.pop(run_id)
        live.feed.close()
        self._running.discard(run_id)
        if run_id in self._waiting:
            self._waiting.remove(run_id)
        self._services.board.clear_run(run_id)
        self._admit()
        return live

    def _on_crashed(self, run_id: str) -> None:
        """A defect ended the run's actor, and its agents with it. Another actor writes the last event."""
        live = self._live[run_id]
        live.feed.close()
        if live.rescue:
            log.error("run.abandoned", run_id=run_id)  # the next start of the service ends it
            self._release(run_id)
        else:
            rescue = self._activate(live.header, committed=live.feed.committed, rescue=True)
            rescue.ref.tell(Interrupted(DEFECT))

    async def _retire(self, run_id: str, ref: ActorRef[RunMessage]) -> None:
        try:
            await ref.stop(timeout=5.0)
        finally:
            del self._leaving[run_id]

    def _chore(self, work: Coroutine[Any, Any, T]) -> asyncio.Task[T]:
        task = asyncio.create_task(work)
        self._chores.add(task)
        task.add_done_callback(self._chores.discard)
        return task

    @property
    def load(self) -> tuple[int, int]:
        """How many runs are going on, and how many wait for a place."""
        return len(self._running), len(self._waiting)

    # -- recovery and drain --------------------------------------------------------------------------------------------

    async def recover(self, *, adopt_pending: bool = True) -> int:
        """End the runs whose process died; start those it had not begun. How many were taken care of."""
        self._intents = asyncio.create_task(self._heed_intents())
        ignore_failure(self._store.prune(self._settings.run_retention))
        orphans = await self._store.orphans()
        for row in orphans:
            pending = row.summary.status == "pending" and not row.cancel_requested
            if (pending and not adopt_pending) or not await self._store.adopt(row.header.run_id):
                continue
            live = self._activate(row.header, committed=row.summary.event_count)
            if pending:
                self._enqueue(row.header.run_id)
            else:
                live.ref.tell(Interrupted(None if row.cancel_requested else INTERRUPTED))
        return len(orphans)

    async def _heed_intents(self) -> None:
        """Cancel runs of ours whose end was asked for through another process on the same database."""
        while True:
            await asyncio.sleep(INTENT_POLL)
            for run_id in list(self._running):
                with suppress(PlaygroundError):
                    row = await self._store.get(run_id)
                    live = self._live.get(run_id)
                    if live is not None and row is not None and row.cancel_requested and live.ref.alive:
                        live.ref.tell(CancelRun())

    @property
    def draining(self) -> str | None:
        """Why no new runs are taken, or None."""
        return self._draining

    async def drain(self, grace: float) -> None:
        """Take no new runs; give running ones ``grace`` seconds, then cancel them. Pending ones stay stored."""
        self._draining = "the server is shutting down"
        try:
            async with asyncio.timeout(grace):
                await self._running_done()
        except TimeoutError:
            reason = STOPPED.format(grace)
            ending = [self.cancel(run_id, reason) for run_id in list(self._running)]
            await asyncio.gather(*ending, return_exceptions=True)
        if self._intents is not None:
            self._intents.cancel()
            await asyncio.gather(self._intents, return_exceptions=True)
        await self._awake.close()
        await asyncio.gather(*self._chores, return_exceptions=True)

    async def _running_done(self) -> None:
        while self._running:
            feeds = [live.feed for run_id, live in self._live.items() if run_id in self._running]
            await asyncio.gather(*(feed.ended() for feed in feeds))
            await asyncio.sleep(0)

    def _feed(self, run_id: str) -> Feed | None:
        live = self._live.get(run_id)
        return None if live is None else live.feed

    # -- writing -------------------------------------------------------------------------------------------------------

    async def cancel(self, run_id: str, reason: str | None = None) -> CancelOutcome:
        """Ends a run; returns when it is over, or after about 3 s with the intent stored. Raises RunNotFound.

        ``reason``: a sentence that becomes the run's ``error``.
        """
        row = await self.row(run_id)
        if row.summary.status in TERMINAL:
            return CancelOutcome(run_id, row.summary.status, cancelled=False, reason="already terminal")
        intent = self._store.request_cancel(run_id)
        ignore_failure(intent)
        live = self._live.get(run_id)
        if live is not None:
            with suppress(ActorError):  # no answer in time, or the run ended this very moment: its row tells
                await live.ref.ask(CancelRun(reason), timeout=CANCEL_WAIT)
        status = (await self.row(run_id)).summary.status
        if status == "cancelled":
            return CancelOutcome(run_id, status, cancelled=True)
        if status in TERMINAL:
            return CancelOutcome(run_id, status, cancelled=False, reason="already terminal")
        await intent
        return CancelOutcome(run_id, status, cancelled=True)

    async def delete(self, run_id: str) -> None:
        """Raises RunNotFound, RunNotTerminal."""
        row = await self.row(run_id)
        if row.summary.status not in TERMINAL:
            raise RunNotTerminal(f"run {run_id} is {row.summary.status}; cancel it first (POST /runs/{run_id}/cancel)")
        if not await self._store.delete(run_id):
            raise RunNotFound(f"no run has the id {run_id!r}")
        self._views.forget(run_id)
        await self._awake.dismiss(run_id)
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
        live = self._live.get(run_id)
        if live is not None:
            fate: DeliveryFate = await live.ref.ask(Delivery(entry), timeout=DELIVERY_TIMEOUT)
            return fate
        # A run of ours is live until its end is on disk, so this row shows it.
        row = await self.row(run_id)
        if row.summary.status not in TERMINAL:
            raise Overloaded("another process conducts this run; deliver this again later", retry_after=30)
        if (leaving := self._leaving.get(run_id)) is not None:
            await leaving.join()
        return await self._awake.deliver(row.header, Delivery(entry))

    async def telemetry(self, token: str, emitter_seq: int, events: list[Mapping[str, Any]]) -> dict[str, Any]:
        """Take an agent's telemetry batch; the token fixes run and agent. On disk before it returns
        ``{"accepted": n, "emitter_seq": last}``. Raises Unauthorized, InvalidRequest, Overloaded."""
        count = self._services.metrics.telemetry_batch
        try:
            ref, agent_id = self._services.tokens.who(token)
            batch = telemetry_drafts(agent_id, emitter_seq, events)
            taken, last = await ref.ask(Telemetry(agent_id, batch), timeout=TELEMETRY_TIMEOUT)
        except (MailboxFull, AskTimeout):
            count("rejected")
            raise Overloaded("the run cannot take telemetry fast enough; send the batch again") from None
        except ActorError:
            count("rejected")
            raise Unauthorized("this telemetry token belongs to no agent of a running run") from None
        except PlaygroundError:
            count("rejected")
            raise
        count("accepted" if taken or not batch else "duplicate")
        return {"accepted": taken, "emitter_seq": last}

    # -- agents --------------------------------------------------------------------------------------------------------

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


def _digest(request: NewRun) -> str:
    parts = [request.scenario_ref, request.inputs, request.template, request.run_label, request.fault_injection]
    return hashlib.sha256(orjson.dumps(parts, option=orjson.OPT_SORT_KEYS)).hexdigest()
