"""One thread that writes. What waits while a commit is under way becomes the next commit."""

from __future__ import annotations

import asyncio
import sqlite3
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

import structlog

from aitp_playground.sqlite.failures import Failures

T = TypeVar("T")
#: Runs inside a transaction it does not end. It may run twice (see :meth:`Writer._one_by_one`), so its only effect is
#: on the connection.
Work = Callable[[sqlite3.Connection], T]

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class _Operation:
    work: Work[Any]
    future: asyncio.Future[Any]
    events: int
    size: int
    always: bool


@dataclass(frozen=True, slots=True)
class _Outcome:
    future: asyncio.Future[Any]
    value: Any = None
    error: Exception | None = None


class Writer:
    """Takes operations from one event loop and commits them in the order given, in groups.

    ``guard`` runs before each group and raises when writing would be in vain; ``admit`` runs before it for what is not
    taken ``always``, and raises when there is room for nothing else. The connection is the writer's from now
    on; it closes it when it stops. ``name`` is the thread's. Raises ``RuntimeError`` when no thread can be started.
    """

    def __init__(
        self,
        connection: sqlite3.Connection,
        loop: asyncio.AbstractEventLoop,
        *,
        name: str,
        failures: Failures,
        max_events: int,
        max_bytes: int,
        guard: Callable[[], None] = lambda: None,
        admit: Callable[[], None] = lambda: None,
    ) -> None:
        self._connection = connection
        self._loop = loop
        self._guard = guard
        self._admit = admit
        self._failures = failures
        self._max_events = max_events
        self._max_bytes = max_bytes
        self._changed = threading.Condition()
        self._waiting: list[_Operation] = []
        self._events = 0
        self._bytes = 0
        self._stopping = False
        self._last_commit = 0.0
        self._begun: float | None = None
        # A daemon: a disk that hangs in fsync must not keep the process from ending.
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)
        self._thread.start()

    @property
    def backlog(self) -> int:
        """Events handed over and not yet committed."""
        return self._events

    @property
    def last_commit(self) -> float:
        """Seconds that the latest commit took; the one under way when it is longer already: a disk may hang."""
        begun = self._begun
        return self._last_commit if begun is None else max(self._last_commit, time.perf_counter() - begun)

    def submit(self, work: Work[T], *, events: int = 0, size: int = 0, always: bool = False) -> asyncio.Future[T]:
        """Queue ``work``; the future has its result once it is committed.

        ``events`` and ``size`` (bytes) count against the bounds; work of no weight is always taken, and so is any
        single piece when nothing waits. Beyond the bounds, and after the end, the future fails at once. What the work
        raised is undone, alone, and goes to its future. ``always``: it makes room, or cannot wait for any.
        """
        future: asyncio.Future[T] = self._loop.create_future()
        with self._changed:
            refusal = self._refusal(events, size)
            if refusal is None:
                self._events += events
                self._bytes += size
                self._waiting.append(_Operation(work, future, events, size, always))
                self._changed.notify()
        if refusal is not None:
            future.set_exception(refusal)
        return future

    def stop(self, timeout: float) -> bool:
        """Refuse new work, commit what waits, close the connection. Blocks; False when ``timeout`` seconds ran out."""
        with self._changed:
            self._stopping = True
            self._changed.notify()
        self._thread.join(timeout)
        return not self._thread.is_alive()

    def _refusal(self, events: int, size: int) -> Exception | None:
        if self._stopping:
            return self._failures.closed()
        full = self._events + events > self._max_events or self._bytes + size > self._max_bytes
        if full and self._events and (events or size):
            return self._failures.full(self._events)
        return None

    # -- in the thread ------------------------------------------------------------------------------------------------

    def _run(self) -> None:
        try:
            while group := self._take():
                self._begun = begun = time.perf_counter()
                outcomes = self._commit(group)
                self._last_commit, self._begun = time.perf_counter() - begun, None
                always = {operation.future for operation in group if operation.always}
                # That something could be removed does not say that anything else can be written.
                telling = [outcome for outcome in outcomes if outcome.error or outcome.future not in always]
                self._failures.after_commit([outcome.error for outcome in telling])
                # Before the answers: who has one may hand over the next piece at once.
                with self._changed:
                    self._events -= sum(operation.events for operation in group)
                    self._bytes -= sum(operation.size for operation in group)
                self._deliver(outcomes)
        finally:
            self._finish()

    def _take(self) -> list[_Operation]:
        with self._changed:
            self._changed.wait_for(lambda: self._waiting or self._stopping)
            group, self._waiting = self._waiting, []
            return group

    def _commit(self, group: Sequence[_Operation]) -> list[_Outcome]:
        refused: list[_Outcome] = []
        if not all(operation.always for operation in group):
            try:
                self._admit()
            except OSError as failure:
                error = self._failures.of_work(failure)
                refused = [_Outcome(operation.future, error=error) for operation in group if not operation.always]
                group = [operation for operation in group if operation.always]
        return refused + (self._admitted(group) if group else [])

    def _admitted(self, group: Sequence[_Operation]) -> list[_Outcome]:
        try:
            # Left behind by a group that could not be undone; a failure here is this group's again.
            self._roll_back()
            self._guard()
            outcomes = self._together(group)
            if outcomes is None:
                outcomes = self._one_by_one(group)
            if outcomes is None:
                outcomes = [outcome for operation in group for outcome in self._admitted([operation])]
        except Exception as failure:  # noqa: BLE001 - whatever it is, somebody waits for the answer
            outcomes = [_Outcome(operation.future, error=self._failures.of_work(failure)) for operation in group]
        try:
            self._roll_back()
        except sqlite3.Error as failure:
            log.error("sqlite.rollback_failed", error=str(failure))  # noqa: TRY400 - the message says it all
        return outcomes

    def _together(self, group: Sequence[_Operation]) -> list[_Outcome] | None:
        """One transaction, or None when a piece of work failed and nothing was written."""
        self._connection.execute("BEGIN IMMEDIATE")
        try:
            outcomes = [_Outcome(operation.future, operation.work(self._connection)) for operation in group]
        except Exception as failure:  # noqa: BLE001 - it belongs to one of them; the others are tried again without it
            self._roll_back()
            return [_Outcome(group[0].future, error=self._failures.of_work(failure))] if len(group) == 1 else None
        self._connection.execute("COMMIT")
        return outcomes

    def _one_by_one(self, group: Sequence[_Operation]) -> list[_Outcome] | None:
        """One transaction still, with a savepoint for each piece of work: only those that fail are left out.

        None when SQLite gave up the whole transaction, as it does when a piece of work fills the disk.
        """
        outcomes = []
        self._connection.execute("BEGIN IMMEDIATE")
        for operation in group:
            self._connection.execute("SAVEPOINT piece")
            try:
                outcomes.append(_Outcome(operation.future, operation.work(self._connection)))
            except Exception as failure:  # noqa: BLE001 - as above
                if not self._connection.in_transaction:
                    return None
                self._connection.execute("ROLLBACK TO piece")
                outcomes.append(_Outcome(operation.future, error=self._failures.of_work(failure)))
            self._connection.execute("RELEASE piece")
        self._connection.execute("COMMIT")
        return outcomes

    def _roll_back(self) -> None:
        if self._connection.in_transaction:
            self._connection.execute("ROLLBACK")

    def _deliver(self, outcomes: Sequence[_Outcome]) -> None:
        try:
            self._loop.call_soon_threadsafe(_settle, outcomes)
        except RuntimeError:
            log.warning("sqlite.loop_closed", undelivered=len(outcomes))

    def _finish(self) -> None:
        with self._changed:
            self._stopping = True
            left, self._waiting = self._waiting, []
        if left:
            self._deliver([_Outcome(operation.future, error=self._failures.closed()) for operation in left])
        try:
            # Somebody else's reader is no reason to wait for long: the next process folds the log in as well.
            self._connection.execute("PRAGMA busy_timeout=200")
            self._connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        except sqlite3.Error as failure:
            log.warning("sqlite.checkpoint_failed", error=str(failure))
        finally:
            self._connection.close()


def _settle(outcomes: Sequence[_Outcome]) -> None:
    for outcome in outcomes:
        if outcome.future.done():
            continue  # its waiter was cancelled; the write stands
        if outcome.error is not None:
            outcome.future.set_exception(outcome.error)
        else:
            outcome.future.set_result(outcome.value)
