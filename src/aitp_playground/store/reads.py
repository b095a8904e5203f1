"""The statements that only look. Each function gets a connection for itself while it runs."""

from __future__ import annotations

import sqlite3
from pathlib import Path
from typing import Any, get_args

from aitp_playground.errors import InvalidRequest
from aitp_playground.store.owners import is_alive, sweep
from aitp_playground.store.port import PAGE_BYTES, EventPage, RunPage, RunRow, RunStatus, StoredEvent
from aitp_playground.store.rows import COLUMNS, decode_cursor, encode_cursor, run_row
from aitp_playground.store.writes import FINISHED


def get(connection: sqlite3.Connection, run_id: str) -> RunRow | None:
    """One run by its id."""
    row = connection.execute(f"SELECT {COLUMNS} FROM runs WHERE run_id = ?", (run_id,)).fetchone()  # noqa: S608 - a constant
    return None if row is None else run_row(row)


def read(
    connection: sqlite3.Connection,
    run_id: str,
    after: int,
    limit: int,
    event_type: str | None = None,
    max_bytes: int = PAGE_BYTES,
) -> EventPage:
    """A page of events; an unknown run has none. Rows are fetched one by one, so that no more than a page is held."""
    narrowed, wanted = ("", ()) if event_type is None else (" AND type = ?", (event_type,))
    rows = connection.execute(
        "SELECT seq, type, ts, body FROM events"  # noqa: S608 - a constant
        f" WHERE run_key = (SELECT key FROM runs WHERE run_id = ?) AND seq > ?{narrowed} ORDER BY seq LIMIT ?",
        (run_id, after, *wanted, _bounded(limit) + 1),
    )
    events: list[StoredEvent] = []
    size, more = 0, False
    for row in rows:
        size += len(row[3])
        if len(events) == limit or (events and size > max_bytes):
            more = True
            break
        events.append(StoredEvent(*row))
    rows.close()
    return EventPage(tuple(events), events[-1].seq if events else after, more)


def list_runs(
    connection: sqlite3.Connection, limit: int, before: str | None, status: str | None, scenario_ref: str | None
) -> RunPage:
    """Newest first. The place of a cursor is a value, not a count, so runs that come or go elsewhere do not move it."""
    conditions, values = ["1"], list[Any]()
    if status is not None:
        conditions.append("status = ?")
        values.append(status)
    if scenario_ref is not None:
        conditions.append("scenario_ref = ?")
        values.append(scenario_ref)
    if before is not None:
        conditions.append("(created_at, key) < (?, ?)")
        values += decode_cursor(before)
    rows = connection.execute(
        f"SELECT {COLUMNS}, key FROM runs WHERE {' AND '.join(conditions)}"  # noqa: S608 - constants; values are bound
        " ORDER BY created_at DESC, key DESC LIMIT ?",
        (*values, _bounded(limit) + 1),
    ).fetchall()
    page = tuple(run_row(row[:-1]) for row in rows[:limit])
    following = encode_cursor(page[-1].header.created_at, rows[limit - 1][-1]) if len(rows) > limit else None
    return RunPage(page, following)


def agent_log(connection: sqlite3.Connection, run_id: str, agent_id: str) -> str | None:
    """The kept output of an agent."""
    row = connection.execute(
        "SELECT text FROM agent_logs WHERE run_key = (SELECT key FROM runs WHERE run_id = ?) AND agent_id = ?",
        (run_id, agent_id),
    ).fetchone()
    return None if row is None else row[0]


def orphans(connection: sqlite3.Connection, own_directory: Path) -> list[RunRow]:
    """Unfinished runs of dead owners, oldest first; also removes dead owners' lock files."""
    rows = connection.execute(
        f"SELECT {COLUMNS}, owner, owner_dir FROM runs WHERE status NOT IN ({FINISHED}) ORDER BY created_at, key"  # noqa: S608
    ).fetchall()
    owners = {(owner, directory) for *_, owner, directory in rows}
    dead = {owner for owner, directory in owners if not is_alive(owner, own_directory, Path(directory))}
    sweep(own_directory)
    return [run_row(row[:-2]) for row in rows if row[-2] in dead]


def to_cancel(connection: sqlite3.Connection, owner_id: str) -> list[str]:
    """See the port."""
    rows = connection.execute(
        f"SELECT run_id FROM runs WHERE status NOT IN ({FINISHED}) AND cancel_requested AND owner = ?",  # noqa: S608
        (owner_id,),
    )
    return [run_id for (run_id,) in rows]


def unreported(connection: sqlite3.Connection, own_id: str, own_directory: Path) -> list[str]:
    """See the port. A store in memory holds no lock, so its own id is known by comparison."""
    rows = connection.execute(
        "SELECT run_id, owner, owner_dir FROM cp_cursors JOIN runs ON key = run_key"  # noqa: S608 - constants
        f" WHERE reported < event_count AND status IN ({FINISHED}) ORDER BY finished_at, key"
    ).fetchall()
    others = {(owner, directory) for _, owner, directory in rows if owner != own_id}
    alive = {owner for owner, directory in others if is_alive(owner, own_directory, Path(directory))}
    return [run_id for run_id, owner, _ in rows if owner not in alive]


def count_by_status(connection: sqlite3.Connection) -> dict[str, int]:
    """Every status is there, also those that no run has."""
    found = dict(connection.execute("SELECT status, count(*) FROM runs GROUP BY status").fetchall())
    return {status: found.get(status, 0) for status in get_args(RunStatus)}


def run_ids(connection: sqlite3.Connection) -> list[str]:
    """All of them, oldest first."""
    return [run_id for (run_id,) in connection.execute("SELECT run_id FROM runs ORDER BY key")]


def _bounded(limit: int) -> int:
    if limit < 1:
        raise InvalidRequest("'limit' must be at least 1")
    return limit
