"""The way to :class:`~aitp_playground.cp_client.reporting.ingest.CpIngest` for those who run things."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import Final

from aitp_playground.actors import ActorError, ActorRef, ActorStopped, AskTimeout, Restart, Supervisor
from aitp_playground.cp_client.breaker import State
from aitp_playground.cp_client.reporting.backlog import Backlog
from aitp_playground.cp_client.reporting.ingest import CpIngest, Drain, Flush, IngestMessage, ReportDue, Returned
from aitp_playground.cp_client.reporting.run_report import Means
from aitp_playground.events.model import RunEvent
from aitp_playground.events.vocabulary import AFTER_TERMINAL, TERMINAL_TYPES
from aitp_playground.store.port import StoredEvent

#: Seconds: what a shutdown grants to reports under way, and to their end.
GRACE: Final = 5.0
CLOSE_TIMEOUT: Final = 5.0


class Reporter:
    """Shows the actor the events of runs, and asks it."""

    def __init__(self, ref: ActorRef[IngestMessage], backlog: Backlog, patience: float) -> None:
        self._ref = ref
        self._patience = patience
        self.backlog = backlog

    def observe(self, event: RunEvent, _: StoredEvent) -> None:
        """See each event once it is on disk; those that end a run, or may follow its end, set the report off."""
        if event.type in TERMINAL_TYPES or event.type in AFTER_TERMINAL:
            with suppress(ActorError):  # the outbox knows of it all the same
                self._ref.tell(ReportDue(event.run_id))

    async def flush(self, run_id: str) -> str | None:
        """Return when the Control Plane has the run's events so far: None, or the reason class why it has not.

        Takes as long as one call to the Control Plane may take, and much less while it is known to be away.
        """
        try:
            reason: str | None = await self._ref.ask(Flush(run_id), timeout=self._patience)
        except (AskTimeout, ActorStopped):
            return "timeout"
        except ActorError:
            return "breaker_open"
        return reason

    def breaker_changed(self, state: State) -> None:
        """The breaker's state has changed; once it is closed there is nothing more to wait for."""
        if state == "closed":
            with suppress(ActorError):
                self._ref.tell(Returned())

    async def drain(self, grace: float) -> None:
        """Give what is under way ``grace`` seconds; what has no prospect of arriving is not waited for."""
        with suppress(ActorError):
            await self._ref.ask(Drain(), timeout=grace)


@asynccontextmanager
async def open_reporter(
    means: Means, *, sweep: bool = True, grace: float = GRACE, patience: float | None = None
) -> AsyncIterator[Reporter]:
    """Report runs while this is open. What is not through in the end stays in the outbox.

    The client of ``means`` tells the reporter its breaker's states. ``patience``: the seconds that a flush waits, those
    of one call by default. ``sweep`` False leaves what earlier processes did not report to a process that stays.
    """
    backlog, supervisor = Backlog(), Supervisor()
    ref = supervisor.spawn(lambda: CpIngest(means, backlog, sweep=sweep), name="cp-ingest", restart=Restart.ON_FAILURE)
    reporter = Reporter(ref, backlog, means.client.timeout if patience is None else patience)
    means.client.tell_states(reporter.breaker_changed)
    try:
        yield reporter
        await reporter.drain(grace)
    finally:
        await supervisor.close(CLOSE_TIMEOUT)
