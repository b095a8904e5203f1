"""The statements about what runs left at a Control Plane. Writes run inside the writer's transaction, maybe twice."""

from __future__ import annotations

import json
import sqlite3
from typing import Any

from aitp_playground.errors import RunNotFound
from aitp_playground.store.port import Leftover

_COLUMNS = "id, cp, left.run_id, kind, name, url, events, secret, tries"


def leave(connection: sqlite3.Connection, leftover: Leftover) -> None:
    """Once per id. Raises ``RunNotFound``."""
    values = (leftover.id, leftover.cp, leftover.kind, leftover.name, leftover.url, leftover.secret)
    done = connection.execute(
        "INSERT OR IGNORE INTO cp_leftovers (id, cp, kind, name, url, secret, events, run_id)"
        " SELECT ?, ?, ?, ?, ?, ?, ?, run_id FROM runs WHERE run_id = ?",
        (*values, json.dumps(leftover.events), leftover.run_id),
    )
    if not done.rowcount:
        _find_run(connection, leftover.run_id)


def name(connection: sqlite3.Connection, leftover_id: str, name: str) -> None:
    """Note what the Control Plane calls it; without effect when it has been forgotten meanwhile."""
    connection.execute("UPDATE cp_leftovers SET name = ? WHERE id = ?", (name, leftover_id))


def postpone(connection: sqlite3.Connection, leftover_id: str, until: float) -> None:
    """One try more has failed."""
    connection.execute("UPDATE cp_leftovers SET tries = tries + 1, next_try = ? WHERE id = ?", (until, leftover_id))


def forget(connection: sqlite3.Connection, leftover_id: str) -> None:
    """It is not there any more, or never was."""
    connection.execute("DELETE FROM cp_leftovers WHERE id = ?", (leftover_id,))


def count_foreign(connection: sqlite3.Connection, run_id: str) -> None:
    """Raises ``RunNotFound``."""
    connection.execute(
        "INSERT INTO cp_foreign VALUES (?, 1) ON CONFLICT DO UPDATE SET deliveries = deliveries + 1",
        (_find_run(connection, run_id),),
    )


def of_run(connection: sqlite3.Connection, run_id: str) -> list[Leftover]:
    """Oldest first."""
    query = f"SELECT {_COLUMNS} FROM cp_leftovers AS left WHERE run_id = ? ORDER BY key"  # noqa: S608 - a constant
    return [_leftover(row) for row in connection.execute(query, (run_id,))]


def by_due(connection: sqlite3.Connection, cp: str, linger: float, limit: int) -> list[tuple[float, Leftover]]:
    """What outlived its run, or will once ``linger`` is over. A run that is gone has lingered long enough."""
    rows = connection.execute(
        f"SELECT {_COLUMNS}, max(next_try, coalesce(runs.finished_at + ?, 0)) AS due"  # noqa: S608 - a constant
        " FROM cp_leftovers AS left LEFT JOIN runs ON runs.run_id = left.run_id"
        " WHERE cp = ? AND (runs.key IS NULL OR runs.finished_at IS NOT NULL) ORDER BY due, left.key LIMIT ?",
        (linger, cp, limit),
    ).fetchall()
    return [(row[-1], _leftover(row[:-1])) for row in rows]


def foreign_count(connection: sqlite3.Connection, run_id: str) -> int:
    """Nothing for an unknown run."""
    row = connection.execute(
        "SELECT deliveries FROM cp_foreign WHERE run_key = (SELECT key FROM runs WHERE run_id = ?)", (run_id,)
    ).fetchone()
    return 0 if row is None else int(row[0])


def _find_run(connection: sqlite3.Connection, run_id: str) -> int:
    row = connection.execute("SELECT key FROM runs WHERE run_id = ?", (run_id,)).fetchone()
    if row is None:
        raise RunNotFound(f"no run {run_id}")
    return int(row[0])


def _leftover(row: tuple[Any, ...]) -> Leftover:
    leftover_id, cp, run_id, kind, name, url, events, secret, tries = row
    return Leftover(
        id=leftover_id,
        cp=cp,
        run_id=run_id,
        kind=kind,
        name=name,
        url=url,
        events=tuple(json.loads(events)),
        secret=secret,
        tries=tries,
    )
