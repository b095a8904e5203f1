"""Webhooks: who is told of which events, and the state of the breaker before each."""

from __future__ import annotations

import secrets
import sqlite3
import uuid
from collections.abc import Mapping
from typing import Any
from urllib.parse import urlsplit

import orjson
from aiohttp import web

from aitp_playground.control_plane.console import audit
from aitp_playground.control_plane.events.reported import check_text
from aitp_playground.control_plane.routing import Route
from aitp_playground.control_plane.service import ControlPlane
from aitp_playground.control_plane.webhooks.targets import refused
from aitp_playground.control_plane.wire.answers import answer
from aitp_playground.control_plane.wire.errors import Broken, Refused
from aitp_playground.control_plane.wire.requests import body
from aitp_playground.control_plane.wire.times import pg_time
from aitp_playground.uuids import is_uuid

TABLES: tuple[str, ...] = (
    """
    CREATE TABLE IF NOT EXISTS webhooks (
        seq INTEGER PRIMARY KEY,
        id TEXT NOT NULL UNIQUE,
        url TEXT NOT NULL,
        events TEXT NOT NULL,
        secret TEXT NOT NULL,
        active INTEGER NOT NULL,
        created_at REAL NOT NULL,
        updated_at REAL NOT NULL
    )
    """,
)
_URL_LENGTH = 2048
_SECRET_LENGTH = 255
#: What the audit log shows in place of a secret. A Control Plane writes a patched one there in clear text; here no
#: route hands a secret out again, and nobody can have come to rely on that one.
_WITHHELD = "[withheld]"


async def create(request: web.Request, cp: ControlPlane) -> web.Response:
    """``POST /api/webhooks``: the only answer that shows the secret."""
    fields = _fields(await body(request))
    if "url" not in fields:
        raise Refused(400, "url is required", "BODY_INVALID")
    now = cp.clock()
    hook = {
        "id": str(uuid.uuid4()),
        "events": [],
        "secret": secrets.token_hex(16),
        "active": True,
        **fields,
        "created_at": now,
        "updated_at": now,
    }

    def insert(connection: sqlite3.Connection) -> None:
        connection.execute(
            "INSERT INTO webhooks (id, url, events, secret, active, created_at, updated_at)"
            " VALUES (:id, :url, :events, :secret, :active, :created_at, :updated_at)",
            {**hook, "events": _json(hook["events"])},
        )
        audit.record(
            connection, request, "webhook.create", str(hook["id"]), now, url=hook["url"], events=hook["events"]
        )

    await cp.db.write(insert)
    shown = {name: hook[name] for name in ("id", "url", "events", "secret", "active")}
    return answer({**shown, "createdAt": pg_time(now)}, 201)


async def list_hooks(_: web.Request, cp: ControlPlane) -> web.Response:
    """``GET /api/webhooks``, oldest first."""
    rows = await cp.db.read(lambda connection: connection.execute("SELECT * FROM webhooks ORDER BY seq").fetchall())
    return answer({"webhooks": [_shown(row) for row in rows]})


async def patch(request: web.Request, cp: ControlPlane) -> web.Response:
    """``PATCH /api/webhooks/{id}``: what is of the wrong type changes nothing.

    What is pending for a hook that is switched off stays until its next try, and fails there.
    """
    hook_id = _id(request)
    fields = _fields(await body(request))
    now = cp.clock()

    def update(connection: sqlite3.Connection) -> sqlite3.Row | None:
        stored = {**fields, "events": _json(fields["events"])} if "events" in fields else fields
        assignments = ", ".join(f"{name} = :{name}" for name in (*stored, "updated_at"))
        row: sqlite3.Row | None = connection.execute(
            f"UPDATE webhooks SET {assignments} WHERE id = :id RETURNING *",  # noqa: S608 - names of _fields only
            {**stored, "updated_at": now, "id": hook_id},
        ).fetchone()
        if row is not None:
            told = {**fields, "secret": _WITHHELD} if "secret" in fields else fields
            audit.record(connection, request, "webhook.update", hook_id, now, **told)
        return row

    row = await cp.db.write(update)
    if row is None:
        raise Refused(404, "webhook not found", "NOT_FOUND")
    shown = _shown(row)
    del shown["createdAt"]
    return answer(shown)


async def delete(request: web.Request, cp: ControlPlane) -> web.Response:
    """``DELETE /api/webhooks/{id}``: pending deliveries go with it."""
    hook_id = _id(request)

    def remove(connection: sqlite3.Connection) -> bool:
        if not connection.execute("DELETE FROM webhooks WHERE id = ?", (hook_id,)).rowcount:
            return False
        audit.record(connection, request, "webhook.delete", hook_id, cp.clock())
        return True

    if not await cp.db.write(remove):
        raise Refused(404, "webhook not found", "NOT_FOUND")
    cp.breakers.reset(hook_id)
    return answer({"id": hook_id, "deleted": True})


async def show_breaker(request: web.Request, cp: ControlPlane) -> web.Response:
    """``GET …/circuit-breaker``: closed for hooks that do not exist, too."""
    return answer(cp.breakers.of(_id(request)).shown())


async def reset_breaker(request: web.Request, cp: ControlPlane) -> web.Response:
    """``POST …/circuit-breaker/reset``: what waited is sent at once."""
    hook_id, now = _id(request), cp.clock()
    await cp.db.write(lambda conn: audit.record(conn, request, "webhook.circuit-breaker.reset", hook_id, now))
    cp.breakers.reset(hook_id)
    return answer(cp.breakers.of(hook_id).shown())


def _id(request: web.Request) -> str:
    hook_id = request.match_info["id"]
    if not is_uuid(hook_id):
        raise Broken("not a UUID")
    return hook_id.lower()


def _fields(received: Any) -> dict[str, Any]:
    """The settings in a body; those of another type are left out.

    Raises Refused for an address nobody could deliver to, Broken for what the database would not take.
    """
    if received is None:
        raise Broken("null is no webhook")
    given: Mapping[str, Any] = received if isinstance(received, dict) else {}
    fields: dict[str, Any] = {}
    if isinstance(given.get("url"), str) and given["url"]:
        fields["url"] = _url(given["url"])
    if isinstance(given.get("events"), list):
        fields["events"] = [kind for kind in given["events"] if isinstance(kind, str)]
    if isinstance(given.get("secret"), str):
        check_text(given["secret"], _SECRET_LENGTH)
        fields["secret"] = given["secret"]
    if isinstance(given.get("active"), bool):
        fields["active"] = given["active"]
    return fields


def _url(text: str) -> str:
    """Loopback addresses and plain http are fine: the receivers of a development Control Plane are on this machine."""
    check_text(text, _URL_LENGTH)
    try:
        parts = urlsplit(text)
        usable = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:
        usable = False
    if not usable:
        raise Refused(400, "url must be an http or https address", "URL_NOT_ALLOWED")
    if refused(parts.hostname or ""):
        raise Refused(400, "url must not be a link-local or metadata address", "URL_NOT_ALLOWED")
    return text


def _json(events: list[str]) -> str:
    return orjson.dumps(events).decode()


def _shown(row: sqlite3.Row) -> dict[str, Any]:
    return {
        "id": row["id"],
        "url": row["url"],
        "events": orjson.loads(row["events"]),
        "active": bool(row["active"]),
        "createdAt": pg_time(row["created_at"]),
        "updatedAt": pg_time(row["updated_at"]),
    }


ROUTES = (
    Route("POST", "/api/webhooks", create, idempotent=True),
    Route("GET", "/api/webhooks", list_hooks),
    Route("PATCH", "/api/webhooks/{id}", patch),
    Route("DELETE", "/api/webhooks/{id}", delete),
    Route("GET", "/api/webhooks/{id}/circuit-breaker", show_breaker),
    Route("POST", "/api/webhooks/{id}/circuit-breaker/reset", reset_breaker),
)
