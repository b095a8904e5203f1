"""Sessions as handshake events tell them, their list, and the replay of one."""

from __future__ import annotations

import sqlite3
from collections.abc import Mapping
from typing import Any

import orjson
from aiohttp import web

from aitp_playground.control_plane.events import rows
from aitp_playground.control_plane.events.reported import ReportedEvent
from aitp_playground.control_plane.events.rows import Filter
from aitp_playground.control_plane.routing import Route
from aitp_playground.control_plane.service import ControlPlane
from aitp_playground.control_plane.wire.answers import answer, attachment
from aitp_playground.control_plane.wire.errors import Refused
from aitp_playground.control_plane.wire.requests import number, query, span
from aitp_playground.control_plane.wire.times import iso_time, pg_time

TABLES: tuple[str, ...] = (
    """
    CREATE TABLE IF NOT EXISTS sessions (
        seq INTEGER PRIMARY KEY,
        session_id TEXT NOT NULL UNIQUE,
        aid_a TEXT,
        aid_b TEXT,
        status TEXT NOT NULL DEFAULT 'started',
        grants TEXT NOT NULL DEFAULT '[]',
        run_id TEXT,
        boundary TEXT,
        error TEXT,
        started_at REAL NOT NULL,
        completed_at REAL,
        created_at REAL NOT NULL,
        updated_at REAL NOT NULL
    )
    """,
    "CREATE INDEX IF NOT EXISTS sessions_by_run ON sessions (run_id)",
    "CREATE INDEX IF NOT EXISTS sessions_by_aid_a ON sessions (aid_a)",
    "CREATE INDEX IF NOT EXISTS sessions_by_aid_b ON sessions (aid_b)",
    "CREATE INDEX IF NOT EXISTS sessions_by_creation ON sessions (created_at)",
)

LISTED = 200
_BOUNDARY_LENGTH = 32


# -- projection -------------------------------------------------------------------------------------------------------


def started(connection: sqlite3.Connection, event: ReportedEvent) -> None:
    """The only event that makes a session; a second one of the same id changes nothing."""
    boundary = event.field("boundary")
    boundary = boundary if isinstance(boundary, str) else None
    if event.session_id is None or len(boundary or "") > _BOUNDARY_LENGTH:
        return
    connection.execute(
        "INSERT OR IGNORE INTO sessions"
        " (session_id, aid_a, aid_b, run_id, boundary, started_at, created_at, updated_at)"
        " VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
        (
            event.session_id,
            event.aid_a,
            event.aid_b,
            event.run_id,
            boundary,
            event.ts,
            event.created_at,
            event.created_at,
        ),
    )


def complete(connection: sqlite3.Connection, event: ReportedEvent) -> None:
    """Updates a session that is there; the error of an earlier failure stays."""
    grants = None if event.grants is None else orjson.dumps(event.grants).decode()
    connection.execute(
        "UPDATE sessions SET status = 'complete', completed_at = ?, grants = coalesce(?, grants), updated_at = ?"
        " WHERE session_id = ?",
        (event.ts, grants, event.created_at, event.session_id),
    )


def failed(connection: sqlite3.Connection, event: ReportedEvent) -> None:
    """Updates a session that is there. When it failed is not kept, as the contract has it."""
    error = event.field("error")
    connection.execute(
        "UPDATE sessions SET status = 'failed', error = coalesce(?, error), updated_at = ? WHERE session_id = ?",
        (error if isinstance(error, str) else None, event.created_at, event.session_id),
    )


# -- routes -----------------------------------------------------------------------------------------------------------


async def list_sessions(request: web.Request, cp: ControlPlane) -> web.Response:
    """The newest 200 by creation; no paging."""
    status, run_id, aid = query(request, "status"), query(request, "runId", "run_id"), query(request, "aid")

    def find(connection: sqlite3.Connection) -> list[dict[str, Any]]:
        rows = connection.execute(
            "SELECT * FROM sessions WHERE (:status IS NULL OR status = :status)"
            " AND (:run_id IS NULL OR run_id = :run_id) AND (:aid IS NULL OR aid_a = :aid OR aid_b = :aid)"
            " ORDER BY seq DESC LIMIT :most",
            {"status": status, "run_id": run_id, "aid": aid, "most": LISTED},
        )
        return [shown(row) for row in rows]

    return answer({"sessions": await cp.db.read(find)})


async def get_session(request: web.Request, cp: ControlPlane) -> web.Response:
    """The session and its events, oldest first."""
    session_id = request.match_info["id"]
    return answer(_known(await cp.db.read(lambda connection: _with_events(connection, session_id))))


def _with_events(connection: sqlite3.Connection, session_id: str) -> dict[str, Any] | None:
    row = connection.execute("SELECT * FROM sessions WHERE session_id = ?", (session_id,)).fetchone()
    if row is None:
        return None
    events = rows.page(connection, Filter(session_id=session_id), limit=REPLAYED, order="ASC")
    return {"session": shown(row), "events": events}


def _known(found: dict[str, Any] | None) -> dict[str, Any]:
    if found is None:
        raise Refused(404, "session not found", "NOT_FOUND")
    return found


async def export(request: web.Request, cp: ControlPlane) -> web.Response:
    """The session and its events as a file."""
    session_id = request.match_info["id"]
    found = await cp.db.read(lambda connection: _with_events(connection, session_id))
    return attachment(f"session-{session_id}.json", {"exportedAt": iso_time(cp.clock()), **_known(found)})


REPLAYED = 10_000


async def replay(request: web.Request, cp: ControlPlane) -> web.Response:
    """A session's events, oldest first; an unknown session has none."""
    session_id = request.match_info["id"]
    since, until = span(request, "BAD_REQUEST")
    limit = number(request, "limit", 1000, REPLAYED)
    wanted = Filter(session_id=session_id, since=since, until=until)
    events = await cp.db.read(lambda connection: rows.page(connection, wanted, limit=limit, order="ASC"))
    return answer({"sessionId": session_id, "count": len(events), "events": events})


def shown(row: Mapping[str, Any] | sqlite3.Row) -> dict[str, Any]:
    """A session as it is listed."""
    return {
        "sessionId": row["session_id"],
        "aidA": row["aid_a"],
        "aidB": row["aid_b"],
        "status": row["status"],
        "grants": orjson.Fragment(row["grants"]),
        "runId": row["run_id"],
        "boundary": row["boundary"],
        "error": row["error"],
        "startedAt": pg_time(row["started_at"]),
        "completedAt": pg_time(row["completed_at"]),
        "createdAt": pg_time(row["created_at"]),
        "updatedAt": pg_time(row["updated_at"]),
    }


ROUTES = (
    Route("GET", "/api/sessions", list_sessions),
    Route("GET", "/api/sessions/{id}", get_session),
    Route("GET", "/api/sessions/{id}/replay", replay),
    Route("GET", "/api/sessions/{id}/export", export),
)
