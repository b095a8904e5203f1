"""What administrators did, newest first."""

from __future__ import annotations

import sqlite3
import uuid
from typing import Any

import orjson
from aiohttp import web

from aitp_playground.control_plane.db import varchar
from aitp_playground.control_plane.routing import Route
from aitp_playground.control_plane.service import ControlPlane
from aitp_playground.control_plane.wire.answers import REQUEST_ID, answer
from aitp_playground.control_plane.wire.requests import number
from aitp_playground.control_plane.wire.times import pg_time

TABLES = (
    f"""CREATE TABLE IF NOT EXISTS audit (
        seq INTEGER PRIMARY KEY, id TEXT NOT NULL, action TEXT NOT NULL, {varchar("target_id", 512)},
        details TEXT NOT NULL, {varchar("request_id", 255)}, created_at REAL NOT NULL)""",
)


def record(
    conn: sqlite3.Connection, request: web.Request, action: str, target: str | None, at: float, **details: Any
) -> None:
    """Note an action (``webhook.delete``, …) in the transaction that does it."""
    conn.execute(
        "INSERT INTO audit (id, action, target_id, details, request_id, created_at) VALUES (?, ?, ?, ?, ?, ?)",
        (str(uuid.uuid4()), action, target, orjson.dumps(details).decode(), request.get(REQUEST_ID), at),
    )


async def entries(request: web.Request, cp: ControlPlane) -> web.Response:
    """``GET /api/audit``: ``limit`` and ``offset`` are its only filters."""
    limit = number(request, "limit", 100, 1000)
    offset = number(request, "offset", 0, 2**62, least=0)
    rows = await cp.db.read(
        lambda conn: conn.execute("SELECT * FROM audit ORDER BY seq DESC LIMIT ? OFFSET ?", (limit, offset)).fetchall()
    )
    shown = [_shown(row) for row in rows]
    return answer({"entries": shown, "count": len(shown)})


def _shown(row: sqlite3.Row) -> dict[str, Any]:
    return {
        "id": row["id"],
        "action": row["action"],
        # A Control Plane has the column and never fills it: who acted is not to be learned here.
        "actorId": None,
        "targetId": row["target_id"],
        "details": orjson.loads(row["details"]),
        "requestId": row["request_id"],
        "createdAt": pg_time(row["created_at"]),
    }


ROUTES = (Route("GET", "/api/audit", entries),)
