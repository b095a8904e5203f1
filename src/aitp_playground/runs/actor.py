"""RunActor: the only writer of one run's log. Everything that happens to a run reaches it as a message."""

from __future__ import annotations

import asyncio
import contextlib
from collections import defaultdict
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, TypeVar

import structlog

from aitp_playground.actors import Actor, ActorError, ActorRef, ActorStopped
from aitp_playground.errors import Overloaded, PlaygroundError, RunNotFound, StepError, StoreUnavailable, Unauthorized
from aitp_playground.events.model import EventDraft, RunEvent, draft
from aitp_playground.events.vocabulary import AFTER_TERMINAL
from aitp_playground.runs.log import EventLog
from aitp_playground.runs.messages import (
    Begin,
    CancelRun,
    CommitFailed,
    Conducted,
    Delivery,
    DeliveryFate,
    Interrupted,
    Reached,
    Record,
    RunMessage,
    StepEvents,
    Telemetry,
)
from aitp_playground.runs.state import RunState
from aitp_playground.runs.views import stored_state
from aitp_playground.store.port import RunHeader, RunStore

log = structlog.get_logger(__name__)

#: Events of one step that ``expect`` can look at; a step that produces more is checked against the last ones.
STEP_WINDOW = 10_000
#: A run that records more than this is ended.
MAX_EVENTS = 100_000
#: And so is one that records more bytes: two hundred steps with the largest outputs fit.
MAX_BYTES = 512 * 1024 * 1024
#: Deliveries about other runs that become events; the rest is a number.
MOST_FOREIGN = 100
#: A Control Plane that delivers more is told to wait: its zeal must not end the run for the size of its log.
MAX_DELIVERIES = 10_000
MAX_DELIVERED_BYTES = MAX_BYTES // 4
#: How many events of a batch were new, and the number of the last one.
Taken = tuple[int, int]
T = TypeVar("T")
Conduct = Callable[[ActorRef[RunMessage]], Awaitable[None]]


class RunActor(Actor[RunMessage]):
    """Owns the log of one run. What takes time happens in the conductor, a child task that reports by message, so that
    cancel and telemetry always get through at once.

    ``conduct`` does the run's work and raises to fail it. ``ended`` is called once, when the terminal event is on disk;
    ``crashed`` instead, when a defect ends the actor before.
    """

    def __init__(
        self,
        header: RunHeader,
        events: EventLog,
        store: RunStore,
        conduct: Conduct,
        *,
        ended: Callable[[str], None],
        crashed: Callable[[str], None],
    ) -> None:
        self._header = header
        self._log = events
        self._store = store
        self._conduct = conduct
        self._ended = ended
        self._crashed = crashed
        self._conducting: asyncio.Task[str | None] | None = None
        self._ending: asyncio.Task[None] | None = None
        self._last_commit: asyncio.Future[None] | None = None
        self._cancelled = False
        self._broken: str | None = None
        self._overflowed = False
        self._window: list[RunEvent] = []
        self._emitted: defaultdict[str, int] = defaultdict(int)
        self._reaching: list[tuple[str, int, asyncio.Future[None]]] = []
        self._awaiting_end: list[asyncio.Future[str]] = []
        self._on_disk = events.state.over
        self._counting: dict[str, asyncio.Future[None]] = {}
        self._delivered_bytes = 0

    async def on_start(self) -> None:
        structlog.contextvars.bind_contextvars(run_id=self._header.run_id)

    async def on_stop(self, reason: BaseException | None) -> None:
        # Whoever writes to this log next begins from what is on disk: nothing of ours may still be on its way there.
        if self._last_commit is not None:
            await asyncio.wait([self._last_commit])
        if isinstance(reason, Exception) and not self._on_disk:
            self._crashed(self._header.run_id)

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
                return self._reach(agent_id, emitter_seq)
            case StepEvents():
                return tuple(self._window)
            case Begin():
                self._begin()
            case Conducted(error):
                self._conducting = None
                self._end(self._verdict(error))
            case CancelRun():
                return self._cancel()
            case Interrupted(error):
                self._end_from_disk(draft("run.cancelled") if error is None else draft("run.failed", error=error))
            case CommitFailed(reason):
                self._broke(reason)
        return None

    # -- the work ------------------------------------------------------------------------------------------------------

    def _begin(self) -> None:
        if self._log.state.status != "pending" or self._conducting is not None:
            return
        self._append([draft("run.started", scenario_ref=self._header.scenario_ref, template=self._header.template)])
        self._conducting = self.tasks.spawn(self._supervise_conductor(), name=f"conduct:{self._header.run_id}")
        self._conducting.add_done_callback(self._conducted)

    async def _supervise_conductor(self) -> str | None:
        """Why the run fails, None when it does not."""
        try:
            await self._conduct(self.ref)
        except PlaygroundError as failure:
            return failure.message
        except Exception as failure:
            log.exception("run.conductor_failed")
            # Of the kernel's errors the text says which actor kept the run waiting; others may quote anything.
            what = str(failure) if isinstance(failure, ActorError) else type(failure).__name__
            return f"internal error: {what}; the server's log has the details"
        return None

    def _conducted(self, task: asyncio.Task[str | None]) -> None:
        """Whatever becomes of the conductor, the actor hears of it, also of one cancelled before its first step."""
        error = "the conductor was stopped" if task.cancelled() else task.result()
        with contextlib.suppress(ActorStopped):  # the service is going down: recovery ends the run
            self.ref.tell(Conducted(error))

    def _verdict(self, error: str | None) -> EventDraft:
        if self._cancelled:
            return draft("run.cancelled")
        if self._overflowed:
            return draft("run.failed", error=f"the run recorded more than {_most()}")
        if self._broken is not None:
            return draft("run.failed", error=f"the store could not take events: {self._broken}")
        return draft("run.complete") if error is None else draft("run.failed", error=error)

    # -- the log -------------------------------------------------------------------------------------------------------

    def _append(self, drafts: Sequence[EventDraft]) -> asyncio.Future[None]:
        events, commit = self._log.append(drafts)
        commit.add_done_callback(self._notice_failed_commit)
        self._last_commit = commit
        for event in events:
            if event.type == "step.started":
                self._window.clear()
            self._window.append(event)
        del self._window[:-STEP_WINDOW]
        if (self._log.state.seq > MAX_EVENTS or self._log.size > MAX_BYTES) and not self._overflowed:
            self._overflowed = True
            if self._conducting is not None:
                self._conducting.cancel()
        return commit

    def _notice_failed_commit(self, commit: asyncio.Future[None]) -> None:
        if commit.cancelled() or (failure := commit.exception()) is None:
            return
        with contextlib.suppress(ActorStopped):
            self.ref.tell(CommitFailed(str(failure)))

    def _refuse_when_broken(self) -> None:
        if self._broken is not None:
            raise StoreUnavailable(f"the store could not take events of this run: {self._broken}")

    def _refuse_when_over(self, drafts: Sequence[EventDraft]) -> None:
        if self._log.state.over and not all(entry.type in AFTER_TERMINAL for entry in drafts):
            raise StepError("the run is over; its log takes no more events of its own")

    def _take_telemetry(self, agent_id: str, events: Sequence[tuple[int, EventDraft]]) -> asyncio.Future[Taken] | Taken:
        self._refuse_when_broken()
        if self._log.state.over:
            raise Unauthorized("the run is over; its log takes no more telemetry")
        if self._overflowed:
            raise Overloaded(f"the run has recorded more than {_most()} and is ending", retry_after=60)
        seen = self._emitted[agent_id]
        fresh = [_within_step(entry, self._log.state) for number, entry in events if number > seen]
        last = max(seen, events[-1][0]) if events else seen
        if not fresh:
            # What an agent sends again because no answer came may still be on its way to the disk.
            return (0, last) if self._last_commit is None else _when_done(self._last_commit, (0, last))
        answer = _when_done(self._append(fresh), (len(fresh), last))
        self._emitted[agent_id] = last
        self._answer_reached()
        return answer

    def _take_delivery(self, entry: EventDraft) -> asyncio.Future[DeliveryFate] | DeliveryFate:
        self._refuse_when_broken()
        if self._ending is not None and not self._on_disk:
            raise Overloaded("the run is being ended from what is on disk; deliver this again")
        state = self._log.state
        if entry.id in state.delivered:
            # The first copy may still be on its way to the disk.
            return "duplicate" if self._last_commit is None else _when_done(self._last_commit, "duplicate")
        if entry.fields.get("foreign") and state.foreign >= MOST_FOREIGN:
            return self._count_foreign(str(entry.id))
        full = len(state.delivered) >= MAX_DELIVERIES or self._delivered_bytes > MAX_DELIVERED_BYTES
        if full and entry.type == "cp.webhook.delivered":
            raise Overloaded("the run has been told too much to take more", retry_after=60)
        before = self._log.size
        answer: asyncio.Future[DeliveryFate] = _when_done(self._append([entry]), "stored")
        self._delivered_bytes += self._log.size - before
        return answer

    def _count_foreign(self, delivery: str) -> asyncio.Future[DeliveryFate]:
        """Each delivery once, as far back as ids are remembered."""
        known = self._counting.get(delivery)
        if known is not None and not (known.done() and known.exception()):
            return _when_done(known, "duplicate")
        counted = self._counting[delivery] = self._store.count_foreign(self._header.run_id)
        if len(self._counting) > MAX_DELIVERIES:
            del self._counting[next(iter(self._counting))]
        return _when_done(counted, "counted")

    def _reach(self, agent_id: str, emitter_seq: int) -> asyncio.Future[None] | None:
        if self._emitted[agent_id] >= emitter_seq:
            return None
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._reaching.append((agent_id, emitter_seq, future))
        return future

    def _answer_reached(self) -> None:
        still = []
        for agent_id, emitter_seq, future in self._reaching:
            if self._emitted[agent_id] < emitter_seq:
                still.append((agent_id, emitter_seq, future))
            elif not future.done():
                future.set_result(None)
        self._reaching = still

    # -- the end -------------------------------------------------------------------------------------------------------

    def _cancel(self) -> asyncio.Future[str] | str:
        if self._on_disk:
            return self._log.state.status
        future: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        self._awaiting_end.append(future)
        if not self._log.state.over and not self._cancelled:
            self._cancelled = True
            if self._conducting is not None:
                self._conducting.cancel()
            else:
                self._end(draft("run.cancelled"))
        return future

    def _end(self, terminal: EventDraft) -> None:
        if self._broken is not None:
            self._end_from_disk(terminal)
        elif not self._log.state.over and self._ending is None:
            self._append(self._last_words(terminal)).add_done_callback(self._last_words_committed)

    def _last_words(self, terminal: EventDraft) -> list[EventDraft]:
        """The terminal event, after the end of a step it cuts short: every step that starts ends."""
        state = self._log.state
        if state.current_step is None:
            return [terminal]
        error = terminal.fields.get("error", "the run was cancelled")
        return [draft("step.failed", step_id=state.current_step, error=error, **state.step_labels), terminal]

    def _last_words_committed(self, commit: asyncio.Future[None]) -> None:
        if not commit.cancelled() and commit.exception() is None:
            self._over()

    def _over(self) -> None:
        if self._on_disk:
            return
        self._on_disk = True
        for future in self._awaiting_end:
            if not future.done():
                future.set_result(self._log.state.status)
        self._awaiting_end.clear()
        self._ended(self._header.run_id)

    def _broke(self, reason: str) -> None:
        """The first failed commit ends the run; the later ones of the same gap are its echo."""
        if self._broken is not None:
            return
        self._broken = reason
        log.error("run.commit_failed", reason=reason)
        if self._on_disk:
            return  # it was about what came after the end; nothing more is taken, and the next actor begins from disk
        if self._conducting is not None:
            self._conducting.cancel()
        else:
            self._end(self._verdict(None))

    def _end_from_disk(self, terminal: EventDraft) -> None:
        if self._ending is None:
            self._ending = self.tasks.spawn(self._end_when_possible(terminal), name=f"end:{self._header.run_id}")

    async def _end_when_possible(self, terminal: EventDraft) -> None:
        """Go back to what is on disk and end the run from there, as soon as the store takes writes again."""
        delay = 0.1
        while True:
            try:
                self._log.state = await stored_state(self._store, self._header.run_id)
                if not self._log.state.over:
                    await self._log.append(self._last_words(terminal))[1]
            except RunNotFound:
                log.warning("run.gone")
                break
            except Overloaded:  # StoreUnavailable is one
                await asyncio.sleep(delay)
                delay = min(delay * 2, 5.0)
            else:
                break
        self._over()


def _most() -> str:
    return f"{MAX_EVENTS} events, or {MAX_BYTES} bytes of them"


def _within_step(entry: EventDraft, state: RunState) -> EventDraft:
    """What bears the mark of the step in progress gets its labels. What only falls into its time does not: anybody may
    call an agent while a step is under way."""
    if state.current_step is None or entry.fields.get("step_id") != state.current_step:
        return entry
    labels = {name: state.step_labels[name] for name in ("agent", "capability") if name in state.step_labels}
    return EventDraft(entry.type, {**labels, **entry.fields}, entry.id, entry.ts)


def _when_done(commit: asyncio.Future[None], value: T) -> asyncio.Future[T]:
    answer: asyncio.Future[T] = commit.get_loop().create_future()

    def settle(done: asyncio.Future[None]) -> None:
        if answer.done():
            return
        failure = None if done.cancelled() else done.exception()
        if failure is not None:
            answer.set_exception(failure)
        else:
            answer.set_result(value)

    commit.add_done_callback(settle)
    return answer
