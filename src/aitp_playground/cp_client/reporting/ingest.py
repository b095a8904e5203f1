"""CpIngest: tells the Control Plane what happened in each run, in the background, exactly once.

The actor decides which runs have their turn; a child task a run does the sending (:mod:`.run_report`). What is to be
sent lies in the store's outbox, so the actor may die at any moment and another one, or another process, goes on.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any, ClassVar, Final

import structlog

from aitp_playground.actors import Actor, ActorError, Lane
from aitp_playground.backoff import doubling, shortened
from aitp_playground.cp_client.reasons import Reason
from aitp_playground.cp_client.reporting.backlog import Backlog
from aitp_playground.cp_client.reporting.run_report import Means, RunReport, Trouble
from aitp_playground.errors import Overloaded, RunNotFound
from aitp_playground.store.port import Outbox

#: Runs reported at once, and how many more when somebody waits for them.
AT_ONCE: Final = 4
MORE_WHEN_URGENT: Final = 16
#: Seconds: between two looks for runs that other processes, or a full disk, left unreported; and between two attempts.
SWEEP: Final = 60.0
FIRST_PAUSE: Final = 0.5
LONGEST_PAUSE: Final = 60.0
#: Runs amid their course whose report is remembered; of others it is looked up.
RESTING: Final = 64
#: Reports that settle and so take no place; more of them do, or a blocked Control Plane would collect them all.
SETTLING: Final = 64
#: Runs taken from one look into the outbox; the next look finds the others.
TAKEN: Final = 1000

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class ReportDue:
    """This run is over, or something happened to it after its end."""

    run_id: str


@dataclass(frozen=True, slots=True)
class Flush:
    """Report this run, over or not, ahead of others.

    Answer: None when the Control Plane has all that is in the log by now, else the reason class why it has not.
    """

    lane: ClassVar[Lane] = Lane.DATA

    run_id: str


@dataclass(frozen=True, slots=True)
class Found:
    """Runs that the outbox says are not reported."""

    run_ids: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Returned:
    """The Control Plane gave a sign of life: waits end now."""


@dataclass(frozen=True, slots=True)
class Drain:
    """Answered when nothing is being sent that has any prospect of arriving soon."""


IngestMessage = ReportDue | Flush | Found | Returned | Drain


@dataclass(slots=True, eq=False)
class _Waiter:
    """Somebody who asked for a flush. ``target``: the seq that must have arrived, once it is known."""

    answer: asyncio.Future[Reason | None]
    target: int | None = None

    def tell(self, reason: Reason | None) -> None:
        if not self.answer.done():
            self.answer.set_result(reason)


@dataclass(slots=True, eq=False)
class _Job:
    """A run to report. ``again``: more was asked for since it was last looked at. ``pausing``: after a failure."""

    report: RunReport
    waiters: list[_Waiter] = field(default_factory=list)
    again: bool = False
    pausing: bool = False
    failures: int = 0
    wake: asyncio.Event = field(default_factory=asyncio.Event)

    @property
    def idle(self) -> bool:
        """Nothing is under way for it now."""
        return self.pausing or self.report.settling

    def tell(self, reason: Reason | None) -> None:
        for waiter in self.waiters:
            waiter.tell(reason)
        self.waiters.clear()


class CpIngest(Actor[IngestMessage]):
    """See the module docstring. ``sweep`` False leaves what earlier processes did not report to others."""

    def __init__(self, means: Means, backlog: Backlog, *, sweep: bool = True) -> None:
        self._means = means
        self._backlog = backlog
        self._sweep = sweep
        self._waiting: dict[str, _Job] = {}
        self._active: dict[str, _Job] = {}
        self._resting: OrderedDict[str, RunReport] = OrderedDict()
        self._draining: list[asyncio.Future[None]] = []

    async def on_start(self) -> None:
        self._backlog.clear()
        if self._sweep:
            self.tasks.spawn(self._look_for_more(), name="sweep")

    async def on_message(self, message: IngestMessage) -> Any:
        match message:
            case ReportDue(run_id):
                self._job(run_id).again = True
            case Found(run_ids):
                for run_id in run_ids:
                    self._job(run_id)
            case Flush(run_id):
                return self._flush(run_id)
            case Returned():
                for job in self._active.values():
                    job.wake.set()
            case Drain():
                return self._drain()
        self._admit()
        return None

    # -- turns ---------------------------------------------------------------------------------------------------------

    def _job(self, run_id: str) -> _Job:
        job = self._active.get(run_id) or self._waiting.get(run_id)
        if job is None:
            report = self._resting.pop(run_id, None) or RunReport(run_id, self._means, on_settling=self._settling)
            job = self._waiting[run_id] = _Job(report)
            self._backlog.add(run_id)
        return job

    def _flush(self, run_id: str) -> asyncio.Future[Reason | None]:
        answer: asyncio.Future[Reason | None] = asyncio.get_running_loop().create_future()
        job = self._job(run_id)
        job.waiters.append(_Waiter(answer))
        job.wake.set()
        self._admit()
        return answer

    def _busy(self) -> int:
        settling = sum(job.report.settling for job in self._active.values())
        return len(self._active) - min(settling, SETTLING)

    def _admit(self) -> None:
        """Runs that somebody waits for come first, and find room when the others are held up."""
        urgent = [run_id for run_id, job in self._waiting.items() if job.waiters]
        patient = [run_id for run_id, job in self._waiting.items() if not job.waiters]
        for places, run_ids in ((AT_ONCE + MORE_WHEN_URGENT, urgent), (AT_ONCE, patient)):
            for run_id in run_ids[: max(0, places - self._busy())]:
                job = self._active[run_id] = self._waiting.pop(run_id)
                self.tasks.spawn(self._work(run_id, job), name=run_id)

    def _settling(self) -> None:
        """A report waits for a settling time to pass: others may take its place, and a shutdown does not wait."""
        self._admit()
        self._answer_drain()

    async def _work(self, run_id: str, job: _Job) -> None:
        try:
            while await self._go_on(run_id, job):
                pass
        except RunNotFound:
            job.tell(None)
        except Exception:
            # A fault of ours with one run must not keep the others; the next look into the outbox tries it again.
            log.exception("cp_ingest.fault", run_id=run_id)
            job.tell("bad_shape")
        finally:
            del self._active[run_id]
            self._backlog.remove(run_id)
        self._admit()
        self._answer_drain()

    async def _go_on(self, run_id: str, job: _Job) -> bool:
        """One step of a run's report; False when there is nothing more to do."""
        asking = [waiter for waiter in job.waiters if waiter.target is None]
        job.again = False
        try:
            outbox = await self._means.store.claim_outbox(run_id)
            if outbox is None:
                job.tell(None)
                return False
            self._aim(job, asking, outbox)
            unwanted = not outbox.over and not job.waiters
            if unwanted or outbox.reported >= outbox.event_count:
                if job.again or job.waiters:
                    return True
                if not outbox.over:
                    self._rest(run_id, job.report)
                return False
            trouble = await job.report.advance(outbox)
        except Overloaded as failure:  # StoreUnavailable is one
            log.warning("cp_ingest.store_unavailable", run_id=run_id, error=failure.message)
            await self._pause(job, 0.0)
            return True
        if trouble is None:
            job.failures = 0
        else:
            await self._face(job, trouble)
        return True

    def _rest(self, run_id: str, report: RunReport) -> None:
        """Keep what is known of a run that goes on: that a batch was not taken, say, spares the next flush a wait."""
        self._resting[run_id] = report
        if len(self._resting) > RESTING:
            self._resting.popitem(last=False)

    def _aim(self, job: _Job, asking: list[_Waiter], outbox: Outbox) -> None:
        """Whoever asked before the outbox was read waits for what is in it; who has got that is told."""
        for waiter in asking:
            waiter.target = outbox.event_count
        for waiter in [waiter for waiter in job.waiters if waiter.target is not None]:
            if waiter.target is not None and outbox.reported >= waiter.target:
                waiter.tell(None)
                job.waiters.remove(waiter)

    async def _face(self, job: _Job, trouble: Trouble) -> None:
        self._means.metrics.cp_ingest_retry()
        if trouble.stuck:
            job.tell(trouble.reason)
        await self._pause(job, trouble.wait)

    async def _pause(self, job: _Job, least: float) -> None:
        """Back off, with jitter; a flush, or a Control Plane that is back, ends the wait."""
        job.failures += 1
        delay = shortened(doubling(FIRST_PAUSE, LONGEST_PAUSE)(job.failures))
        job.pausing = True
        job.wake.clear()
        self._answer_drain()
        with suppress(TimeoutError):
            async with asyncio.timeout(max(delay, least)):
                await job.wake.wait()
        job.pausing = False

    # -- beginning and end ---------------------------------------------------------------------------------------------

    async def _look_for_more(self) -> None:
        while True:
            with suppress(Overloaded, ActorError):
                found = await self._means.store.unreported()
                if found:
                    self.ref.tell(Found(tuple(found[:TAKEN])))
            await asyncio.sleep(SWEEP)

    def _drain(self) -> asyncio.Future[None]:
        done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._draining.append(done)
        self._answer_drain()
        return done

    def _answer_drain(self) -> None:
        if not self._draining or not all(job.idle for job in self._active.values()):
            return
        for done in self._draining:
            if not done.done():
                done.set_result(None)
        self._draining.clear()
