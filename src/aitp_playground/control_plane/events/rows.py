"""The table of events: writing rows, and reading pages of them."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import orjson

from aitp_playground.control_plane.events.reported import ReportedEvent
from aitp_playground.control_plane.wire.times import pg_time

#: Every index ends in ts and, as all of SQLite's do, in the row's number: a page is read off it without sorting.
TABLES: tuple[str, ...] = (
    """
    CREATE TABLE IF NOT EXISTS events (
        seq INTEGER PRIMARY KEY,
        id TEXT NOT NULL,
        type TEXT NOT NULL,
        ts REAL NOT NULL,
        aid_a TEXT,
        aid_b TEXT,
        session_id TEXT,
        run_id TEXT,
        grants TEXT,
        payload TEXT NOT NULL,
        source TEXT NOT NULL,
        created_at REAL NOT NULL
    )
    """,
    "CREATE INDEX IF NOT EXISTS events_by_ts ON events (ts DESC)",
    "CREATE INDEX IF NOT EXISTS events_by_type ON events (type, ts DESC)",
    "CREATE INDEX IF NOT EXISTS events_by_aid_a ON events (aid_a, ts DESC) WHERE aid_a IS NOT NULL",
    "CREATE INDEX IF NOT EXISTS events_by_aid_b ON events (aid_b, ts DESC) WHERE aid_b IS NOT NULL",
    "CREATE INDEX IF NOT EXISTS events_by_session ON events (session_id, ts DESC) WHERE session_id IS NOT NULL",
    "CREATE INDEX IF NOT EXISTS events_by_run ON events (run_id, ts DESC) WHERE run_id IS NOT NULL",
)

_INSERT = """
    INSERT INTO events (id, type, ts, aid_a, aid_b, session_id, run_id, grants, payload, source, created_at)
    VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
"""
_COLUMNS = "e.id, e.type, e.ts, e.aid_a, e.aid_b, e.session_id, e.run_id, e.grants, e.payload, e.source, e.created_at"


@dataclass(frozen=True, slots=True, kw_only=True)
class Filter:
    """Which events; None does not restrict. ``since`` and ``until`` (epoch seconds) belong to the range."""

    type: str | None = None
    aid: str | None = None
    session_id: str | None = None
    run_id: str | None = None
    since: float | None = None
    until: float | None = None

    def conditions(self) -> tuple[str, list[Any]]:
        """SQL over ``events`` and its values, for everything but ``aid``."""
        terms = {
            "type = ?": self.type,
            "session_id = ?": self.session_id,
            "run_id = ?": self.run_id,
            "ts >= ?": self.since,
            "ts <= ?": self.until,
        }
        used = {term: value for term, value in terms.items() if value is not None}
        return " AND ".join(used) or "1", list(used.values())


def add(connection: sqlite3.Connection, events: Iterable[ReportedEvent]) -> None:
    """Insert ``events`` in order."""
    connection.executemany(_INSERT, map(_values, events))


def page(
    connection: sqlite3.Connection,
    wanted: Filter,
    *,
    limit: int,
    offset: int = 0,
    order: Literal["ASC", "DESC"] = "DESC",
) -> list[dict[str, Any]]:
    """Events by ``ts``, newest first unless told otherwise; those of one instant always as they came in.

    The rows of the page are chosen on an index alone, so that a far offset does not read the events it passes over.
    """
    where, values = wanted.conditions()
    chosen = f"SELECT seq, ts FROM events WHERE {where}"  # noqa: S608 - the terms are literals of this module
    if wanted.aid is not None:
        # Two ordered walks that SQLite merges; an OR would collect and sort every event of the agent.
        chosen = f"{chosen} AND aid_a = ? UNION {chosen} AND aid_b = ?"
        values = [*values, wanted.aid, *values, wanted.aid]
    rows = connection.execute(
        f"SELECT {_COLUMNS} FROM ({chosen} ORDER BY ts {order}, seq LIMIT ? OFFSET ?) AS k"  # noqa: S608 - as above
        f" JOIN events AS e ON e.seq = k.seq ORDER BY k.ts {order}, k.seq",
        [*values, limit, offset],
    )
    return [_shown(row) for row in rows]


def _values(event: ReportedEvent) -> Sequence[Any]:
    grants = None if event.grants is None else orjson.dumps(event.grants).decode()
    return (
        event.id,
        event.type,
        event.ts,
        event.aid_a,
        event.aid_b,
        event.session_id,
        event.run_id,
        grants,
        event.payload_json,
        event.source,
        event.created_at,
    )


def _shown(row: Sequence[Any]) -> dict[str, Any]:
    """A row as reads show it: every field there, database times. Stored JSON goes out as it is, unparsed."""
    return {
        "id": row[0],
        "type": row[1],
        "ts": pg_time(row[2]),
        "aidA": row[3],
        "aidB": row[4],
        "sessionId": row[5],
        "runId": row[6],
        "grants": None if row[7] is None else orjson.Fragment(row[7]),
        "payload": orjson.Fragment(row[8]),
        "source": row[9],
        "createdAt": pg_time(row[10]),
    }
