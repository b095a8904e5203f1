"""RunActor: the only writer of one run's log. Everything that happens to a run reaches it as a message."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Sequence
from typing import Any

import structlog

from aitp_playground.actors import Actor, ActorStopped
from aitp_playground.errors import Overloaded, StepError, StoreUnavailable, Unauthorized
from aitp_playground.events.model import EventDraft, draft
from aitp_playground.events.vocabulary import AFTER_TERMINAL
from aitp_playground.runs.concurrency import when_done
from aitp_playground.runs.ending import end_from_disk, last_words
from aitp_playground.runs.intake.deliveries import DeliveryIntake
from aitp_playground.runs.intake.telemetry import TelemetryIntake, within_step
from aitp_playground.runs.log import EventLog, most
from aitp_playground.runs.messages import (
    Begin,
    CancelFirst,
    CancelRun,
    CommitFailed,
    Conducted,
    Delivery,
    DeliveryFate,
    Interrupted,
    MoreEvents,
    Reached,
    Record,
    RunMessage,
    StepEvents,
    Stored,
    Telemetry,
)
from aitp_playground.runs.phases import Conducting, Ending, Over, Pending, Phase, Stopping
from aitp_playground.runs.views import stored_state
from aitp_playground.runs.window import StepWindow
from aitp_playground.runs.work import Conduct, why_it_fails
from aitp_playground.store.port import CancelComesFirst, RunHeader, RunStore

log = structlog.get_logger(__name__)

#: How many events of a batch were new, and the number of the last one.
Taken = tuple[int, int]


class RunActor(Actor[RunMessage]):
    """Owns one run's log. What takes time happens in the conductor, a child task that reports by message: cancel and
    telemetry always get through at once.

    ``conduct`` does the run's work and raises to fail it; without one, the run is only ended, or told what came after
    its end. ``resume``: begin from what is on disk. ``ended`` is called once, when a terminal event that this actor
    wrote, or found, is on disk.
    """

    def __init__(
        self,
        header: RunHeader,
        events: EventLog,
        store: RunStore,
        conduct: Conduct | None,
        *,
        ended: Callable[[], None],
        resume: bool = False,
    ) -> None:
        self._header = header
        self._log = events
        self._store = store
        self._conduct = conduct
        self._ended = ended
        self._resume = resume
        self._phase: Phase = Pending()
        #: Why the store did not take what was appended, from the first failed commit on.
        self._broken: str | None = None
        self._last_commit: asyncio.Future[None] | None = None
        self._window = StepWindow()
        self._telemetry = TelemetryIntake()
        self._deliveries = DeliveryIntake(lambda: store.count_foreign(header.run_id))
        self._cancelled = draft("run.cancelled")  # how it ends when a cancel got to the store before another end
        self._awaiting_end: list[asyncio.Future[str]] = []

    async def on_start(self) -> None:
        structlog.contextvars.bind_contextvars(run_id=self._header.run_id)
        if self._resume:
            self._log.state = await stored_state(self._store, self._header.run_id)
            if self._log.state.over:
                self._phase = Over()

    async def on_stop(self, _reason: BaseException | None) -> None:
        # Whoever writes to this log next begins from what is on disk: nothing of ours may still be on its way there.
        if self._last_commit is not None:
            await asyncio.wait([self._last_commit])

    async def on_message(self, message: RunMessage) -> Any:
        match message:
            case Record(drafts):
                self._refuse_when_broken()
                self._refuse_when_over(drafts)
                self._append(drafts)
            case Telemetry(agent_id, events):
                return self._take_telemetry(agent_id, events)
            case Delivery(entry):
                return self._take_delivery(entry)
            case Reached(agent_id, emitter_seq):
                return self._telemetry.reach(agent_id, emitter_seq)
            case Stored():
                return self._stored()
            case StepEvents(look_back):
                return self._window.events(look_back=look_back)
            case MoreEvents(seq):
                return self._window.beyond(seq)
            case Begin():
                self._begin()
            case Conducted(error):
                self._conclude(error)
            case CancelRun(reason):
                return self._cancel(draft("run.cancelled", error=reason))
            case Interrupted(error):
                self._interrupt(draft("run.cancelled") if error is None else draft("run.failed", error=error))
            case CommitFailed(reason):
                self._broke(reason)
            case CancelFirst():
                self._rewrite_end(self._cancelled)
        return None

    # -- the work ------------------------------------------------------------------------------------------------------

    def _begin(self) -> None:
        if self._conduct is None or not isinstance(self._phase, Pending):
            return
        self._append([draft("run.started", scenario_ref=self._header.scenario_ref, template=self._header.template)])
        task = self.tasks.spawn(why_it_fails(self._conduct, self.ref), name=f"conduct:{self._header.run_id}")
        task.add_done_callback(self._conducted)
        self._phase = Conducting(task)

    def _conducted(self, task: asyncio.Task[str | None]) -> None:
        """Whatever becomes of the conductor, the actor hears of it, also of one cancelled before its first step."""
        error = "the conductor was stopped" if task.cancelled() else task.result()
        with contextlib.suppress(ActorStopped):  # the service is going down: recovery ends the run
            self.ref.tell(Conducted(error))

    def _conclude(self, error: str | None) -> None:
        match self._phase:
            case Conducting():
                self._end(draft("run.complete") if error is None else draft("run.failed", error=error))
            case Stopping(terminal):
                self._end(terminal)
            case _:
                raise AssertionError(f"the conductor was not at work: {self._phase}")

    def _stop(self, terminal: EventDraft, *, full: bool = False) -> None:
        """The conductor is to dismiss its agents; then the run ends with ``terminal``. The first reason counts."""
        if isinstance(self._phase, Conducting):
            task, self._phase = self._phase.task, Stopping(terminal, full)
            task.cancel()

    # -- the log -------------------------------------------------------------------------------------------------------

    def _append(self, drafts: Sequence[EventDraft]) -> asyncio.Future[None]:
        appended = self._log.append(drafts)
        appended.commit.add_done_callback(self._notice_failed_commit)
        self._last_commit = appended.commit
        self._window.extend(appended.events, appended.stored)
        if self._log.too_long:
            self._stop(draft("run.failed", error=f"the run recorded more than {most()}"), full=True)
        return appended.commit

    def _stored(self) -> asyncio.Future[bool] | bool:
        if self._last_commit is None or self._last_commit.done():
            return False
        return when_done(self._last_commit, True, failed=True)

    def _notice_failed_commit(self, commit: asyncio.Future[None]) -> None:
        if commit.cancelled() or (failure := commit.exception()) is None:
            return
        with contextlib.suppress(ActorStopped):
            self.ref.tell(CancelFirst() if isinstance(failure, CancelComesFirst) else CommitFailed(str(failure)))

    def _refuse_when_broken(self) -> None:
        if self._broken is not None:
            raise StoreUnavailable(f"the store could not take events of this run: {self._broken}")

    def _refuse_when_over(self, drafts: Sequence[EventDraft]) -> None:
        if self._log.state.over and not all(entry.type in AFTER_TERMINAL for entry in drafts):
            raise StepError("the run is over; its log takes no more events of its own")

    # -- what comes from outside ---------------------------------------------------------------------------------------

    def _take_telemetry(self, agent_id: str, events: Sequence[tuple[int, EventDraft]]) -> asyncio.Future[Taken] | Taken:
        self._refuse_when_broken()
        if self._log.state.over:
            raise Unauthorized("the run is over; its log takes no more telemetry")
        if isinstance(self._phase, Stopping) and self._phase.full:
            raise Overloaded(f"the run has recorded more than {most()} and is ending", retry_after=60)
        last = self._telemetry.last(agent_id, events)
        fresh = [within_step(entry, self._log.state) for entry in self._telemetry.fresh(agent_id, events)]
        if not fresh:
            # What an agent sends again because no answer came may still be on its way to the disk.
            return (0, last) if self._last_commit is None else when_done(self._last_commit, (0, last))
        answer = when_done(self._append(fresh), (len(fresh), last))
        self._telemetry.took(agent_id, last)
        return answer

    def _take_delivery(self, entry: EventDraft) -> asyncio.Future[DeliveryFate] | DeliveryFate:
        self._refuse_when_broken()
        if isinstance(self._phase, Ending) and self._phase.rewritten:
            raise Overloaded("the run is being ended from what is on disk; deliver this again")
        match self._deliveries.judge(entry, self._log.state):
            case "known":
                # The first copy may still be on its way to the disk.
                return "duplicate" if self._last_commit is None else when_done(self._last_commit, "duplicate")
            case "count":
                counted, first = self._deliveries.count(str(entry.id))
                return when_done(counted, "counted" if first else "duplicate")
            case "append":
                before = self._log.size
                answer: asyncio.Future[DeliveryFate] = when_done(self._append([entry]), "stored")
                self._deliveries.appended(self._log.size - before)
                return answer

    # -- the end -------------------------------------------------------------------------------------------------------

    def _cancel(self, terminal: EventDraft) -> asyncio.Future[str] | str:
        if isinstance(self._phase, Over):
            return self._log.state.status
        self._cancelled = terminal
        future: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        self._awaiting_end.append(future)
        if isinstance(self._phase, Pending):
            self._end(terminal)
        self._stop(terminal)
        return future

    def _end(self, terminal: EventDraft) -> None:
        if self._broken is not None:
            self._rewrite_end(terminal)
            return
        self._phase = Ending()
        self._append(last_words(self._log.state, terminal)).add_done_callback(self._last_words_committed)

    def _last_words_committed(self, commit: asyncio.Future[None]) -> None:
        if not commit.cancelled() and commit.exception() is None:
            self._over()

    def _over(self) -> None:
        if isinstance(self._phase, Over):
            return
        self._phase = Over()
        for future in self._awaiting_end:
            if not future.done():
                future.set_result(self._log.state.status)
        self._awaiting_end.clear()
        self._ended()

    def _broke(self, reason: str) -> None:
        """The first failed commit ends the run; the later ones of the same gap are its echo."""
        if self._broken is not None:
            return
        self._broken = reason
        if isinstance(
            self._phase, Over
        ):  # what comes later may find the run removed, and the next actor begins from disk
            log.info("run.commit_failed", reason=reason)
            return
        log.error("run.commit_failed", reason=reason)
        terminal = draft("run.failed", error=f"the store could not take events: {reason}")
        match self._phase:
            case Conducting():
                self._stop(terminal)
            case Pending() if self._conduct is not None:
                self._rewrite_end(terminal)
            case Ending(rewritten=False):
                self._rewrite_end(draft("run.cancelled") if self._log.state.status == "cancelled" else terminal)
            case _:  # ending anyway
                pass

    def _interrupt(self, terminal: EventDraft) -> None:
        if isinstance(self._phase, Pending):
            self._rewrite_end(terminal)

    def _rewrite_end(self, terminal: EventDraft) -> None:
        self._phase = Ending(rewritten=True)
        self.tasks.spawn(self._end_when_possible(terminal), name=f"end:{self._header.run_id}")

    async def _end_when_possible(self, terminal: EventDraft) -> None:
        await end_from_disk(self._log, self._store, terminal)
        self._over()
