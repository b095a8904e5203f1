"""The embedded run store: SQLite in WAL mode with ``synchronous=FULL``, one writer, a few readers."""

from __future__ import annotations

import asyncio
import secrets
import sqlite3
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path

import structlog

from aitp_playground.errors import StoreUnavailable
from aitp_playground.events.vocabulary import TERMINAL_TYPES
from aitp_playground.sqlite.database import SqliteDatabase
from aitp_playground.store import leftovers, reads, scenarios, writes
from aitp_playground.store.chronicle_reads import ChronicleReads
from aitp_playground.store.failures import StoreFailures
from aitp_playground.store.owners import OwnerLock
from aitp_playground.store.port import (
    PAGE_BYTES,
    EventPage,
    KeptScenario,
    Leftover,
    Outbox,
    OutboxBatch,
    RunHeader,
    RunPage,
    RunRow,
    RunSummary,
    StoredEvent,
)
from aitp_playground.store.room import Room
from aitp_playground.store.rows import encode_json
from aitp_playground.store.schema import check, migrate

PING_SECONDS = 5.0
CLOSE_SECONDS = 10.0
#: How long a write waits for somebody else's lock. A backup may hold one for seconds; reads and the opening wait less.
WRITER_PATIENCE = 30.0
#: Runs removed in one transaction: a lowered retention must not hold up the appends of live runs.
PRUNE_AT_ONCE = 50

log = structlog.get_logger(__name__)


class SqliteRunStore(ChronicleReads):
    """A :class:`~aitp_playground.store.port.RunStore` in one file, or in memory (``:memory:``) while it is open.

    Several processes may use one file. Beyond ``max_waiting_events`` events or ``max_waiting_bytes`` bytes handed over
    and not yet committed, ``create``, ``append``, ``save_agent_log`` and ``save_batch`` fail with ``Overloaded``; what
    ends, cancels or removes a run by a call of its own is always taken. ``outbox``: the runs it creates are to be
    reported to a Control Plane. ``reserve_bytes``: disk kept for removals on a full one. Used from the event loop that
    opened it.
    """

    def __init__(
        self,
        database: str,
        *,
        state_dir: Path,
        outbox: bool = False,
        max_waiting_events: int = 50_000,
        max_waiting_bytes: int = 128 * 1024 * 1024,
        reader_threads: int = 4,
        reserve_bytes: int = 0,
    ) -> None:
        path = None if database == ":memory:" else Path(database).expanduser().absolute()
        self.failures = StoreFailures(path)
        self._owner = OwnerLock(state_dir / "owners")
        self.owner_id = self._owner.owner_id
        self._era = secrets.token_hex(8)
        self._outbox = outbox
        #: The database below, for what is no run: its size, its pages.
        self.database = SqliteDatabase(
            path,
            self.failures,
            name="store",
            what="the run history (RUN_HISTORY_DB)",
            max_events=max_waiting_events,
            max_bytes=max_waiting_bytes,
            readers=reader_threads,
            make_directory=True,
        )
        self.room = Room(self.database, reserve_bytes)

    async def open(self) -> None:
        """Raises ``StoreUnavailable``, also for a database of a later release. Works once: owner ids are not reused."""
        try:
            await self.database.open(check, self._prepare)
        except (StoreUnavailable, asyncio.CancelledError):
            self._owner.release()
            raise

    async def close(self) -> None:
        """Returns within about ``CLOSE_SECONDS`` plus the longest read; writes a stuck disk did not take are logged."""
        await self.room.close()
        if not await self.database.close(timeout=CLOSE_SECONDS):
            log.error("store.close_timed_out", waiting_events=self.database.pressure[0])
        self._owner.release()

    @property
    def pressure(self) -> tuple[int, float]:
        """See :attr:`SqliteDatabase.pressure`."""
        return self.database.pressure

    async def ping(self) -> None:
        """Writes a few pages and frees them, behind the writes that wait; longer than ``PING_SECONDS`` is a failure.

        Raises ``StoreUnavailable``; ``StoreDamaged`` once any read or write has met a damaged page.
        """
        if self.failures.damage is not None:
            raise self.failures.damage
        try:
            async with asyncio.timeout(PING_SECONDS):
                await self.database.write(writes.ping)
        except TimeoutError:
            raise StoreUnavailable(f"the run store did not take a write within {PING_SECONDS:.0f} s") from None

    # -- writes -------------------------------------------------------------------------------------------------------

    def create(self, header: RunHeader, scenario: KeptScenario | None = None) -> asyncio.Future[RunRow]:
        """See the port. ``inputs`` and ``fault_injection`` must be JSON-able (``TypeError`` at once)."""
        inputs, faults = encode_json(header.inputs), encode_json(header.fault_injection)
        work = partial(
            writes.create,
            header=header,
            scenario=scenario,
            inputs=inputs,
            faults=faults,
            owner=self._owner,
            outbox=self._outbox,
        )
        size = len(inputs) + len(faults) + (len(scenario.body) if scenario is not None else 0)
        return self.database.write(work, events=1, size=size)

    def append(self, run_id: str, events: Sequence[StoredEvent], summary: RunSummary) -> asyncio.Future[None]:
        """See the port."""
        events = tuple(events)
        work = partial(writes.append, run_id=run_id, events=events, summary=summary, era=self._era)
        # A run that cannot end on a full disk cannot be removed either.
        ends = any(event.type in TERMINAL_TYPES for event in events)
        size = sum([len(event.body) for event in events])
        return self.database.write(work, events=max(1, len(events)), size=size, always=ends)

    def request_cancel(self, run_id: str) -> asyncio.Future[None]:
        """See the port. Does nothing to a run that is over; fails with ``RunNotFound``."""
        return self.database.write(partial(writes.request_cancel, run_id=run_id), always=True)

    def save_agent_log(self, run_id: str, agent_id: str, text: str) -> asyncio.Future[None]:
        """See the port. Fails with ``RunNotFound``."""
        work = partial(writes.save_agent_log, run_id=run_id, agent_id=agent_id, text=text)
        return self.database.write(work, events=1, size=len(text))

    def adopt(self, run_id: str) -> asyncio.Future[bool]:
        """See the port. A run of a live owner, this one included, and a finished run cannot be adopted."""
        if self.database.path is None:
            return self.database.write(lambda _: False)
        return self.database.write(partial(writes.adopt, run_id=run_id, owner=self._owner), always=True)

    def delete(self, run_id: str) -> asyncio.Future[bool]:
        """See the port. Whether the run is over is the caller's to check."""
        return self.room.remove(partial(writes.delete, run_id=run_id))

    def prune(self, keep_finished: int) -> asyncio.Future[int]:
        """See the port. In several transactions when much must go; closing the store stops between two of them."""
        some = partial(writes.prune, keep_finished=keep_finished, at_most=PRUNE_AT_ONCE)
        return self.room.remove_in_steps(some, at_most=PRUNE_AT_ONCE)

    async def rebuild_summaries(self, fold: writes.Fold) -> int:
        """Make every summary again from header and events, a transaction a run; how many were wrong.

        ``fold`` runs in the writer's thread.
        """
        changed = 0
        for run_id in await self.database.read(reads.run_ids):
            changed += await self.database.write(partial(writes.rebuild_summary, run_id=run_id, fold=fold))
        return changed

    def claim_outbox(self, run_id: str) -> asyncio.Future[Outbox | None]:
        """See the port."""
        return self.database.write(partial(writes.claim_outbox, run_id=run_id, owner=self._owner))

    def save_batch(self, run_id: str, batch: OutboxBatch) -> asyncio.Future[None]:
        """See the port."""
        return self.database.write(
            partial(writes.save_batch, run_id=run_id, batch=batch), events=1, size=len(batch.body)
        )

    def settle_outbox(self, run_id: str, reported: int) -> asyncio.Future[None]:
        """See the port."""
        return self.database.write(partial(writes.settle_outbox, run_id=run_id, reported=reported))

    def leave(self, leftover: Leftover) -> asyncio.Future[None]:
        """See the port."""
        return self.database.write(partial(leftovers.leave, leftover=leftover))

    def name_leftover(self, leftover_id: str, name: str) -> asyncio.Future[None]:
        """See the port."""
        return self.database.write(partial(leftovers.name, leftover_id=leftover_id, name=name))

    def postpone_leftover(self, leftover_id: str, until: float) -> asyncio.Future[None]:
        """See the port."""
        return self.database.write(partial(leftovers.postpone, leftover_id=leftover_id, until=until))

    def forget_leftover(self, leftover_id: str) -> asyncio.Future[None]:
        """See the port."""
        return self.database.write(partial(leftovers.forget, leftover_id=leftover_id))

    def count_foreign(self, run_id: str) -> asyncio.Future[None]:
        """See the port."""
        return self.database.write(partial(leftovers.count_foreign, run_id=run_id))

    # -- reads --------------------------------------------------------------------------------------------------------

    async def get(self, run_id: str) -> RunRow | None:
        """See the port."""
        return await self.database.read(partial(reads.get, run_id=run_id))

    async def scenario(self, digest: str) -> bytes | None:
        """See the port."""
        return await self.database.read(partial(scenarios.kept, digest=digest))

    async def read(
        self,
        run_id: str,
        *,
        after: int = 0,
        limit: int = 1000,
        event_type: str | None = None,
        max_bytes: int = PAGE_BYTES,
    ) -> EventPage:
        """See the port. An unknown run has no events."""
        page = partial(reads.read, run_id=run_id, after=after, limit=limit, event_type=event_type, max_bytes=max_bytes)
        return await self.database.read(page)

    async def list_runs(
        self, *, limit: int, before: str | None = None, status: str | None = None, scenario_ref: str | None = None
    ) -> RunPage:
        """See the port."""
        page = partial(reads.list_runs, limit=limit, before=before, status=status, scenario_ref=scenario_ref)
        return await self.database.read(page)

    async def agent_log(self, run_id: str, agent_id: str) -> str | None:
        """See the port."""
        return await self.database.read(partial(reads.agent_log, run_id=run_id, agent_id=agent_id))

    async def orphans(self) -> list[RunRow]:
        """See the port. What is in memory dies with its owner: nothing is orphaned there."""
        if self.database.path is None:
            return []
        return await self.database.read(partial(reads.orphans, own_directory=self._owner.directory))

    async def to_cancel(self) -> list[str]:
        """See the port."""
        return await self.database.read(partial(reads.to_cancel, owner_id=self.owner_id))

    async def unreported(self) -> list[str]:
        """See the port."""
        directory = self._owner.directory
        return await self.database.read(partial(reads.unreported, own_id=self.owner_id, own_directory=directory))

    async def leftovers(self, run_id: str) -> list[Leftover]:
        """See the port."""
        return await self.database.read(partial(leftovers.of_run, run_id=run_id))

    async def leftovers_by_due(self, cp: str, *, linger: float, limit: int) -> list[tuple[float, Leftover]]:
        """See the port."""
        return await self.database.read(partial(leftovers.by_due, cp=cp, linger=linger, limit=limit))

    async def foreign_count(self, run_id: str) -> int:
        """See the port."""
        return await self.database.read(partial(leftovers.foreign_count, run_id=run_id))

    async def count_by_status(self) -> Mapping[str, int]:
        """See the port. All five statuses are there."""
        return await self.database.read(reads.count_by_status)

    def _prepare(self, connection: sqlite3.Connection) -> None:
        migrate(connection)
        connection.execute(f"PRAGMA busy_timeout={WRITER_PATIENCE * 1000:.0f}")
        if self.database.path is not None:
            self._owner.acquire()
        self.room.take_reserve()
