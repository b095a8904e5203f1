"""Pinned keys: the public key a namespace expects an AID to have."""

from __future__ import annotations

import re
import sqlite3
from typing import Any

from aiohttp import web

from aitp_playground.control_plane.console import audit
from aitp_playground.control_plane.db import varchar
from aitp_playground.control_plane.routing import Route
from aitp_playground.control_plane.service import ControlPlane
from aitp_playground.control_plane.wire.answers import CALLER, answer
from aitp_playground.control_plane.wire.errors import Refused
from aitp_playground.control_plane.wire.requests import body_object, query, text_or_none
from aitp_playground.control_plane.wire.times import parse_when, pg_time

#: 32 bytes as base64url without padding: Ed25519 only, the 33 bytes of a P-256 point do not fit.
_PUBKEY = re.compile(r"[A-Za-z0-9_-]{43}")
_DEFAULT = "default"

TABLES = (
    f"""CREATE TABLE IF NOT EXISTS pinned_keys (
        seq INTEGER PRIMARY KEY, {varchar("namespace", 128, "NOT NULL")}, {varchar("aid", 512, "NOT NULL")},
        pubkey TEXT NOT NULL, {varchar("label", 128)}, expires_at REAL, {varchar("added_by", 128, "NOT NULL")},
        created_at REAL NOT NULL, updated_at REAL NOT NULL, UNIQUE (namespace, aid))""",
)


async def listing(request: web.Request, cp: ControlPlane) -> web.Response:
    """``GET /api/pinned-keys``: a list; with ``aid`` the one row itself, then of namespace ``default`` by default."""
    namespace, aid = query(request, "namespace"), query(request, "aid")
    if aid is not None:
        row = await cp.db.read(lambda conn: _row(conn, namespace or _DEFAULT, aid))
        return answer(_shown(_found(row)))
    rows = await cp.db.read(
        lambda conn: conn.execute(
            "SELECT * FROM pinned_keys WHERE ?1 IS NULL OR namespace = ?1 ORDER BY seq DESC", (namespace,)
        ).fetchall()
    )
    return answer({"pinnedKeys": [_shown(row) for row in rows]})


async def upsert(request: web.Request, cp: ControlPlane) -> web.Response:
    """``POST /api/pinned-keys``: 201, also when it replaces; what it leaves out is cleared.

    The key is not compared with the AID, and no expiry ends anything by itself: both are left to readers, as in a
    Control Plane.
    """
    given, now = await body_object(request), cp.clock()
    values = {**_pin(given), "added_by": request[CALLER], "now": now}

    def work(conn: sqlite3.Connection) -> sqlite3.Row:
        row: sqlite3.Row = conn.execute(
            """INSERT INTO pinned_keys (namespace, aid, pubkey, label, expires_at, added_by, created_at, updated_at)
               VALUES (:namespace, :aid, :pubkey, :label, :expires_at, :added_by, :now, :now)
               ON CONFLICT (namespace, aid) DO UPDATE SET pubkey = excluded.pubkey, label = excluded.label,
                   expires_at = excluded.expires_at, added_by = excluded.added_by, updated_at = excluded.updated_at
               RETURNING *""",
            values,
        ).fetchone()
        audit.record(conn, request, "pinned-key.upsert", values["aid"], now, namespace=values["namespace"])
        return row

    return answer(_shown(await cp.db.write(work)), 201)


async def remove(request: web.Request, cp: ControlPlane) -> web.Response:
    """``DELETE /api/pinned-keys?aid=``: 204, then 404; 400 without an AID."""
    aid, namespace, now = query(request, "aid"), query(request, "namespace") or _DEFAULT, cp.clock()
    if aid is None:
        raise Refused(400, "aid is required", "BAD_REQUEST")

    def work(conn: sqlite3.Connection) -> None:
        _found(_row(conn, namespace, aid))
        conn.execute("DELETE FROM pinned_keys WHERE namespace = ? AND aid = ?", (namespace, aid))
        audit.record(conn, request, "pinned-key.delete", aid, now, namespace=namespace)

    await cp.db.write(work)
    return web.Response(status=204)


def _pin(given: dict[str, Any]) -> dict[str, Any]:
    aid, pubkey, expires = given.get("aid"), given.get("pubkey"), text_or_none(given.get("expiresAt"))
    if not isinstance(aid, str) or not aid:
        raise Refused(400, "aid is required", "BODY_INVALID")
    if not isinstance(pubkey, str) or not _PUBKEY.fullmatch(pubkey):
        raise Refused(400, "pubkey must be 43 base64url characters", "BODY_INVALID")
    expires_at = parse_when(expires)
    if expires and expires_at is None:
        raise Refused(400, "expiresAt must be a date", "BODY_INVALID")
    return {
        "namespace": text_or_none(given.get("namespace")) or _DEFAULT,
        "aid": aid,
        "pubkey": pubkey,
        "label": text_or_none(given.get("label")),
        "expires_at": expires_at,
    }


def _row(conn: sqlite3.Connection, namespace: str, aid: str) -> sqlite3.Row | None:
    row: sqlite3.Row | None = conn.execute(
        "SELECT * FROM pinned_keys WHERE namespace = ? AND aid = ?", (namespace, aid)
    ).fetchone()
    return row


def _found(row: sqlite3.Row | None) -> sqlite3.Row:
    if row is None:
        raise Refused(404, "pinned key not found", "NOT_FOUND")
    return row


def _shown(row: sqlite3.Row) -> dict[str, Any]:
    return {
        "namespace": row["namespace"],
        "aid": row["aid"],
        "pubkey": row["pubkey"],
        "label": row["label"],
        "expiresAt": pg_time(row["expires_at"]),
        "addedBy": row["added_by"],
        "createdAt": pg_time(row["created_at"]),
        "updatedAt": pg_time(row["updated_at"]),
    }


ROUTES = (
    Route("GET", "/api/pinned-keys", listing),
    Route("POST", "/api/pinned-keys", upsert, idempotent=True),
    Route("DELETE", "/api/pinned-keys", remove),
)
