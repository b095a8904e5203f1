"""The statements that change something. Each function runs inside the writer's transaction and may run twice."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path

from aitp_playground.errors import RunNotFound
from aitp_playground.store.owners import OwnerLock, is_alive
from aitp_playground.store.port import (
    TERMINAL,
    CancelComesFirst,
    KeptScenario,
    Outbox,
    OutboxBatch,
    OutOfSequence,
    RunHeader,
    RunRow,
    RunStatus,
    RunSummary,
    StoredEvent,
)
from aitp_playground.store.rows import COLUMNS, run_row
from aitp_playground.store.scenarios import keep

#: Makes the summary of a run from its header and all its events.
Fold = Callable[[RunHeader, Iterable[StoredEvent]], RunSummary]

FINISHED = ", ".join(f"'{status}'" for status in sorted(TERMINAL))
#: Rows given to one statement. sqlite3 lets go of the interpreter lock and asks for it back once a statement, and with
#: a busy event loop getting it back is what costs. Old builds of SQLite take 999 variables, five a row.
_ROWS_AT_ONCE = (128, 32, 8, 1)
_OTHER_ENDS = TERMINAL - {"cancelled"}
_PING_BYTES = 16 * 1024


def create(
    connection: sqlite3.Connection,
    header: RunHeader,
    scenario: KeptScenario | None,
    inputs: str,
    faults: str,
    owner: OwnerLock,
    *,
    outbox: bool,
) -> RunRow:
    """Insert a pending run, or find the one that used the same idempotency key. ``inputs``, ``faults``: JSON."""
    if header.idempotency_key is not None:
        earlier = connection.execute(
            f"SELECT {COLUMNS} FROM runs WHERE idempotency_key = ?",  # noqa: S608 - a constant
            (header.idempotency_key,),
        ).fetchone()
        if earlier is not None:
            return run_row(earlier)
    if scenario is not None:
        keep(connection, scenario)
    inserted = connection.execute(
        f"INSERT INTO runs ({COLUMNS}, owner, owner_dir) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",  # noqa: S608
        (
            header.run_id,
            header.scenario_ref,
            header.template,
            header.run_label,
            inputs,
            faults,
            header.created_at,
            header.idempotency_key,
            header.request_digest,
            header.scenario_digest,
            "pending",
            0,
            None,
            None,
            0,
            owner.owner_id,
            str(owner.directory),
        ),
    )
    if outbox:
        connection.execute("INSERT INTO cp_cursors VALUES (?, 0)", (inserted.lastrowid,))
    return RunRow(header, RunSummary(run_id=header.run_id, status="pending"))


def append(
    connection: sqlite3.Connection, run_id: str, events: Sequence[StoredEvent], summary: RunSummary, era: str
) -> None:
    """``era`` is this process's own. Raises ``RunNotFound``, ``OutOfSequence``, ``CancelComesFirst``."""
    key, status, stored, finished_at = _find(connection, run_id)
    if [event.seq for event in events] != list(range(stored + 1, stored + 1 + len(events))):
        seqs = f"{events[0].seq} to {events[-1].seq}"
        raise OutOfSequence(f"events {seqs} do not continue run {run_id}: {stored + 1} is next", expected=stored + 1)
    if summary.run_id != run_id or summary.event_count != stored + len(events):
        raise OutOfSequence(
            f"the summary counts {summary.event_count} events of run {summary.run_id}, "
            f"with these run {run_id} has {stored + len(events)}",
            expected=stored + 1,
        )
    if summary.status != status and summary.status in _OTHER_ENDS and _cancel_requested(connection, key):
        raise CancelComesFirst(f"run {run_id} was cancelled before it could end as {summary.status}")
    _insert_events(connection, key, events)
    number = _number(connection, key, events, era)
    # This statement leaves every index alone, and is all that most appends need.
    connection.execute(
        "UPDATE runs SET event_count = ?, first_commit = coalesce(first_commit, ?),"
        " last_commit = coalesce(?, last_commit) WHERE key = ?",
        (summary.event_count, number, number, key),
    )
    if (summary.status, summary.finished_at) != (status, finished_at):
        _replace_summary(connection, key, summary)


def request_cancel(connection: sqlite3.Connection, run_id: str) -> None:
    """A run that is over has nothing left to cancel, and stays as it is. Raises ``RunNotFound``."""
    key, status, *_ = _find(connection, run_id)
    if status not in TERMINAL:
        connection.execute("UPDATE runs SET cancel_requested = 1 WHERE key = ?", (key,))


def save_agent_log(connection: sqlite3.Connection, run_id: str, agent_id: str, text: str) -> None:
    """Raises ``RunNotFound``."""
    key, *_ = _find(connection, run_id)
    connection.execute("INSERT OR REPLACE INTO agent_logs VALUES (?, ?, ?)", (key, agent_id, text))


def adopt(connection: sqlite3.Connection, run_id: str, owner: OwnerLock) -> bool:
    """Decided under the write lock, so that of several processes one succeeds."""
    row = connection.execute(
        f"SELECT key, owner, owner_dir FROM runs WHERE run_id = ? AND status NOT IN ({FINISHED})",  # noqa: S608
        (run_id,),
    ).fetchone()
    if row is None:
        return False
    key, former, directory = row
    if is_alive(former, owner.directory, Path(directory)):
        return False
    connection.execute(
        "UPDATE runs SET owner = ?, owner_dir = ? WHERE key = ?", (owner.owner_id, str(owner.directory), key)
    )
    return True


def delete(connection: sqlite3.Connection, run_id: str) -> bool:
    """What hangs on a run goes with it, by foreign keys. Its events go by a statement of their own: SQLite writes the
    pages that it empties to the log only where it may have to take a statement back, as one over several tables."""
    connection.execute("DELETE FROM events WHERE run_key = (SELECT key FROM runs WHERE run_id = ?)", (run_id,))
    return connection.execute("DELETE FROM runs WHERE run_id = ?", (run_id,)).rowcount > 0


def prune(connection: sqlite3.Connection, keep_finished: int, at_most: int) -> int:
    """Remove the oldest ``at_most`` of the finished runs that are too many."""
    finished = connection.execute(f"SELECT count(*) FROM runs WHERE status IN ({FINISHED})").fetchone()[0]  # noqa: S608
    surplus = min(at_most, max(0, finished - keep_finished))
    return connection.execute(
        f"DELETE FROM runs WHERE key IN (SELECT key FROM runs WHERE status IN ({FINISHED})"  # noqa: S608
        " ORDER BY finished_at, key LIMIT ?)",
        (surplus,),
    ).rowcount


def claim_outbox(connection: sqlite3.Connection, run_id: str, owner: OwnerLock) -> Outbox | None:
    """Decided under the write lock, as :func:`adopt` is; an unfinished run of a dead owner is left to that."""
    row = connection.execute(
        "SELECT key, owner, owner_dir, status, runs.event_count, coalesce(reported, 0),"
        " first_seq, last_seq, cp_batches.event_count, cp_batches.idempotency_key, body, given_up"
        " FROM runs LEFT JOIN cp_cursors ON cp_cursors.run_key = key LEFT JOIN cp_batches ON cp_batches.run_key = key"
        " WHERE run_id = ?",
        (run_id,),
    ).fetchone()
    if row is None:
        return None
    key, former, directory, status, event_count, reported, first, last, count, batch_key, body, given_up = row
    over = status in TERMINAL
    if former != owner.owner_id:
        if not over or is_alive(former, owner.directory, Path(directory)):
            return None
        connection.execute(
            "UPDATE runs SET owner = ?, owner_dir = ? WHERE key = ?", (owner.owner_id, str(owner.directory), key)
        )
    batch = None
    if body is not None:
        batch = OutboxBatch(first=first, last=last, count=count, key=batch_key, body=body, given_up=given_up)
    return Outbox(reported=reported, event_count=event_count, over=over, batch=batch)


def save_batch(connection: sqlite3.Connection, run_id: str, batch: OutboxBatch) -> None:
    """Raises ``RunNotFound``."""
    key, *_ = _find(connection, run_id)
    connection.execute("INSERT OR IGNORE INTO cp_cursors VALUES (?, 0)", (key,))
    connection.execute(
        "INSERT OR REPLACE INTO cp_batches VALUES (?, ?, ?, ?, ?, ?, ?)",
        (key, batch.first, batch.last, batch.count, batch.key, batch.body, batch.given_up),
    )


def settle_outbox(connection: sqlite3.Connection, run_id: str, reported: int) -> None:
    """Raises ``RunNotFound``."""
    key, *_ = _find(connection, run_id)
    connection.execute(
        "INSERT INTO cp_cursors VALUES (?, ?) ON CONFLICT DO UPDATE SET reported = max(reported, excluded.reported)",
        (key, reported),
    )
    connection.execute("DELETE FROM cp_batches WHERE run_key = ?", (key,))


def ping(connection: sqlite3.Connection) -> None:
    """Take some pages and give them back: a full disk refuses, a read-only one too."""
    connection.execute("INSERT INTO pings (filler) VALUES (zeroblob(?))", (_PING_BYTES,))
    connection.execute("DELETE FROM pings")


def rebuild_summary(connection: sqlite3.Connection, run_id: str, fold: Fold) -> bool:
    """Fold a run's events again; whether its summary changed. The count is what is stored, whatever the fold says.

    False for a run that is gone.
    """
    found = connection.execute(f"SELECT {COLUMNS}, key FROM runs WHERE run_id = ?", (run_id,)).fetchone()  # noqa: S608
    if found is None:
        return False
    *columns, key = found
    row = run_row(tuple(columns))
    count = connection.execute("SELECT count(*) FROM events WHERE run_key = ?", (key,)).fetchone()[0]
    summary = replace(fold(row.header, _events(connection, key)), run_id=run_id, event_count=count)
    if summary == row.summary:
        return False
    _replace_summary(connection, key, summary)
    return True


def _find(connection: sqlite3.Connection, run_id: str) -> tuple[int, RunStatus, int, float | None]:
    row: tuple[int, RunStatus, int, float | None] | None = connection.execute(
        "SELECT key, status, event_count, finished_at FROM runs WHERE run_id = ?", (run_id,)
    ).fetchone()
    if row is None:
        raise RunNotFound(f"no run {run_id}")
    return row


def _cancel_requested(connection: sqlite3.Connection, key: int) -> bool:
    row: tuple[int] = connection.execute("SELECT cancel_requested FROM runs WHERE key = ?", (key,)).fetchone()
    return bool(row[0])


def _insert_events(connection: sqlite3.Connection, key: int, events: Sequence[StoredEvent]) -> None:
    done = 0
    for width in _ROWS_AT_ONCE:
        while len(events) - done >= width:
            values: list[object] = []
            for event in events[done : done + width]:
                values += (key, event.seq, event.type, event.ts, event.body)
            places = ", ".join(["(?, ?, ?, ?, ?)"] * width)
            connection.execute(f"INSERT INTO events VALUES {places}", values)  # noqa: S608
            done += width


def _number(connection: sqlite3.Connection, key: int, events: Sequence[StoredEvent], era: str) -> int | None:
    """Give this append its place among all (:mod:`aitp_playground.store.chronicle`); None for an empty one."""
    if not events:
        return None
    number = connection.execute(
        "INSERT INTO commits (run_key, first_seq, last_seq) VALUES (?, ?, ?)", (key, events[0].seq, events[-1].seq)
    ).lastrowid
    connection.execute("INSERT OR IGNORE INTO eras VALUES (?, ?)", (number, era))
    return number


def _replace_summary(connection: sqlite3.Connection, key: int, summary: RunSummary) -> None:
    connection.execute(
        "UPDATE runs SET status = ?, event_count = ?, finished_at = ?, proof = ? WHERE key = ?",
        (summary.status, summary.event_count, summary.finished_at, summary.proof, key),
    )


def _events(connection: sqlite3.Connection, key: int) -> Iterator[StoredEvent]:
    rows = connection.execute("SELECT seq, type, ts, body FROM events WHERE run_key = ? ORDER BY seq", (key,))
    return (StoredEvent(*row) for row in rows)
