"""Trust anchors: issuers that a namespace believes."""

from __future__ import annotations

import sqlite3
import uuid
from typing import Any, Final

from aiohttp import web

from aitp_playground.control_plane.console import audit
from aitp_playground.control_plane.db import varchar
from aitp_playground.control_plane.routing import Route
from aitp_playground.control_plane.service import ControlPlane
from aitp_playground.control_plane.wire.answers import CALLER, answer
from aitp_playground.control_plane.wire.errors import Broken, Refused
from aitp_playground.control_plane.wire.requests import body_object, query, text_or_none
from aitp_playground.control_plane.wire.times import pg_time
from aitp_playground.uuids import is_uuid

TABLES = (
    f"""CREATE TABLE IF NOT EXISTS trust_anchors (
        seq INTEGER PRIMARY KEY, id TEXT NOT NULL UNIQUE, {varchar("namespace", 128, "NOT NULL")},
        {varchar("issuer_url", 4096, "NOT NULL")}, {varchar("jwks_url", 4096)}, {varchar("label", 128)},
        {varchar("added_by", 128, "NOT NULL")}, created_at REAL NOT NULL, updated_at REAL NOT NULL,
        UNIQUE (namespace, issuer_url))""",
)

#: What a PATCH may change; null clears the optional ones.
_PATCHED: Final = {"issuerUrl": "issuer_url", "jwksUrl": "jwks_url", "label": "label"}


async def listing(request: web.Request, cp: ControlPlane) -> web.Response:
    """``GET /api/trust-anchors``: all, or those of ``namespace``; newest first."""
    namespace = query(request, "namespace")
    rows = await cp.db.read(
        lambda conn: conn.execute(
            "SELECT * FROM trust_anchors WHERE ?1 IS NULL OR namespace = ?1 ORDER BY seq DESC", (namespace,)
        ).fetchall()
    )
    return answer({"trustAnchors": [_shown(row) for row in rows]})


async def create(request: web.Request, cp: ControlPlane) -> web.Response:
    """``POST /api/trust-anchors``: 201.

    The anchor that exists already is an empty 500, where a 409 was meant: a Control Plane overlooks the database's
    reason, and clients have to look before they post.
    """
    given = await body_object(request)
    for name in ("issuerUrl", "jwksUrl"):
        if given.get(name) is not None or name == "issuerUrl":
            _check_url(name, given.get(name))
    now, anchor_id = cp.clock(), str(uuid.uuid4())
    values = {
        "id": anchor_id,
        "namespace": text_or_none(given.get("namespace")) or "default",
        "issuer_url": given["issuerUrl"],
        "jwks_url": given.get("jwksUrl"),
        "label": text_or_none(given.get("label")),
        "added_by": request[CALLER],
        "now": now,
    }

    def work(conn: sqlite3.Connection) -> sqlite3.Row:
        row: sqlite3.Row = conn.execute(
            """INSERT INTO trust_anchors (id, namespace, issuer_url, jwks_url, label, added_by, created_at, updated_at)
               VALUES (:id, :namespace, :issuer_url, :jwks_url, :label, :added_by, :now, :now) RETURNING *""",
            values,
        ).fetchone()
        about = {"namespace": values["namespace"], "issuerUrl": values["issuer_url"]}
        audit.record(conn, request, "trust-anchor.create", anchor_id, now, **about)
        return row

    return answer(_shown(await cp.db.write(work)), 201)


async def one(request: web.Request, cp: ControlPlane) -> web.Response:
    """``GET /api/trust-anchors/{id}``: without ``addedBy``."""
    anchor_id = _id(request)
    row = await cp.db.read(
        lambda conn: conn.execute("SELECT * FROM trust_anchors WHERE id = ?", (anchor_id,)).fetchone()
    )
    return answer(_shown(_found(row), anonymous=True))


async def change(request: web.Request, cp: ControlPlane) -> web.Response:
    """``PATCH /api/trust-anchors/{id}``: no URL is checked, the namespace stays."""
    given, anchor_id, now = await body_object(request), _id(request), cp.clock()
    changes = {column: given[name] for name, column in _PATCHED.items() if _settable(name, given)}

    def work(conn: sqlite3.Connection) -> sqlite3.Row:
        assigned = "".join(f", {column} = :{column}" for column in changes)
        row = conn.execute(
            f"UPDATE trust_anchors SET updated_at = :now{assigned} WHERE id = :id RETURNING *",  # noqa: S608 - our names
            {**changes, "now": now, "id": anchor_id},
        ).fetchone()
        audit.record(conn, request, "trust-anchor.update", anchor_id, now, fields=sorted(changes))
        return _found(row)

    return answer(_shown(await cp.db.write(work), anonymous=True))


async def remove(request: web.Request, cp: ControlPlane) -> web.Response:
    """``DELETE /api/trust-anchors/{id}``: 204, then 404."""
    anchor_id, now = _id(request), cp.clock()

    def work(conn: sqlite3.Connection) -> None:
        _found(conn.execute("DELETE FROM trust_anchors WHERE id = ? RETURNING id", (anchor_id,)).fetchone())
        audit.record(conn, request, "trust-anchor.delete", anchor_id, now)

    await cp.db.write(work)
    return web.Response(status=204)


def _check_url(name: str, value: Any) -> None:
    if not isinstance(value, str) or not value.startswith(("http://", "https://")):
        raise Refused(400, f"{name} must be an http(s) URL", "BODY_INVALID")


def _settable(name: str, given: dict[str, Any]) -> bool:
    return isinstance(given.get(name), str) or (name != "issuerUrl" and name in given and given[name] is None)


def _id(request: web.Request) -> str:
    anchor_id = request.match_info["id"]
    if not is_uuid(anchor_id):
        raise Broken("the id is no UUID")
    return anchor_id.lower()


def _found(row: sqlite3.Row | None) -> sqlite3.Row:
    if row is None:
        raise Refused(404, "trust anchor not found", "NOT_FOUND")
    return row


def _shown(row: sqlite3.Row, *, anonymous: bool = False) -> dict[str, Any]:
    shown = {
        "id": row["id"],
        "namespace": row["namespace"],
        "issuerUrl": row["issuer_url"],
        "jwksUrl": row["jwks_url"],
        "label": row["label"],
        # No Control Plane fetches the keys it has the address of.
        "jwksCachedAt": None,
        "addedBy": row["added_by"],
        "createdAt": pg_time(row["created_at"]),
        "updatedAt": pg_time(row["updated_at"]),
    }
    if anonymous:
        del shown["addedBy"]
    return shown


ROUTES = (
    Route("GET", "/api/trust-anchors", listing),
    Route("POST", "/api/trust-anchors", create, idempotent=True),
    Route("GET", "/api/trust-anchors/{id}", one),
    Route("PATCH", "/api/trust-anchors/{id}", change),
    Route("DELETE", "/api/trust-anchors/{id}", remove),
)
