"""``Idempotency-Key``: the first answer, given again for a week. A table, and a middleware around the handlers.

It has the gaps of a Control Plane, because clients must cope with them: requests that arrive together under one key all
run; another body under a used key gets the old answer; refusals are kept as well.
"""

from __future__ import annotations

import sqlite3
from typing import Any

import orjson
from aiohttp import web
from aiohttp.typedefs import Handler

from aitp_playground.control_plane.service import ControlPlane
from aitp_playground.control_plane.wire.answers import refusal
from aitp_playground.control_plane.wire.errors import Refused, Unparseable

KEPT_SECONDS = 7 * 86_400
KEPT_STATUSES = frozenset({200, 201, 204, 400, 409, 422})
REPLAYED = "Idempotency-Replayed"

TABLES = (
    """CREATE TABLE IF NOT EXISTS idempotency (
        endpoint TEXT NOT NULL, key TEXT NOT NULL, status INTEGER NOT NULL, body BLOB NOT NULL,
        created_at REAL NOT NULL, PRIMARY KEY (endpoint, key)) WITHOUT ROWID""",
    "CREATE INDEX IF NOT EXISTS idempotency_age ON idempotency (created_at)",
)


async def once(request: web.Request, cp: ControlPlane, endpoint: str, handler: Handler) -> web.StreamResponse:
    """Answer as before when this endpoint has seen the request's key; else let ``handler`` answer and keep that.

    Raises 400 ``IDEMPOTENCY_KEY_INVALID``, and what is not kept: bodies that are no JSON, failures of the service.
    """
    key = request.headers.get("Idempotency-Key")
    if key is None:
        return await handler(request)
    if not 1 <= len(key) <= 255 or not key.isprintable():
        raise Refused(400, "Idempotency-Key must be 1 to 255 printable characters", "IDEMPOTENCY_KEY_INVALID")
    kept = await cp.db.read(lambda conn: _find(conn, endpoint, key, cp.clock() - KEPT_SECONDS))
    if kept is not None:
        return _replayed(kept["status"], kept["body"])
    try:
        response = await handler(request)
    except Unparseable:
        raise
    except Refused as refused:
        response = refusal(refused)
    if not isinstance(response, web.Response) or response.status not in KEPT_STATUSES:
        return response
    given = bytes(response.body or b"")  # type: ignore[arg-type]  # our answers hold bytes, never a payload
    stored = orjson.dumps(_as_jsonb(orjson.loads(given)))
    await cp.db.write(lambda conn: _keep(conn, endpoint, key, response.status, stored, cp.clock()))
    # A Control Plane knows a replay by comparing texts, and storing reorders keys: many first answers claim to be one.
    return response if stored == given else _replayed(response.status, stored)


def _replayed(status: int, stored: bytes) -> web.Response:
    return web.Response(status=status, body=stored, content_type="application/json", headers={REPLAYED: "true"})


def _find(conn: sqlite3.Connection, endpoint: str, key: str, oldest: float) -> Any:
    return conn.execute(
        "SELECT status, body FROM idempotency WHERE endpoint = ? AND key = ? AND created_at > ?",
        (endpoint, key, oldest),
    ).fetchone()


def _keep(conn: sqlite3.Connection, endpoint: str, key: str, status: int, stored: bytes, at: float) -> None:
    conn.execute("DELETE FROM idempotency WHERE created_at <= ?", (at - KEPT_SECONDS,))
    conn.execute(
        """INSERT INTO idempotency (endpoint, key, status, body, created_at) VALUES (?, ?, ?, ?, ?)
           ON CONFLICT DO NOTHING""",
        (endpoint, key, status, stored, at),
    )


def _as_jsonb(value: Any) -> Any:
    """Keys in the order of Postgres' jsonb: shorter ones first, then by bytes."""
    if isinstance(value, dict):
        ordered = sorted(value.items(), key=lambda item: (len(item[0].encode()), item[0].encode()))
        return {key: _as_jsonb(inner) for key, inner in ordered}
    return [_as_jsonb(inner) for inner in value] if isinstance(value, list) else value
