"""The registry: discovery, look-up and removal of agents, and the sweep of expired ones. Joining: ``enrolment.py``."""

from __future__ import annotations

import sqlite3
from typing import Any, Final
from urllib.parse import quote, urlsplit

import orjson
from aiohttp import web

from aitp_playground.control_plane.console import audit
from aitp_playground.control_plane.db import varchar
from aitp_playground.control_plane.events import storing
from aitp_playground.control_plane.events.bus import Frame
from aitp_playground.control_plane.routing import Route
from aitp_playground.control_plane.service import ControlPlane
from aitp_playground.control_plane.wire.answers import answer, attachment
from aitp_playground.control_plane.wire.errors import Refused
from aitp_playground.control_plane.wire.requests import number, query
from aitp_playground.control_plane.wire.times import iso_time, pg_time

SWEEP_SECONDS = 300.0

#: ``registered_at`` is set once and never moved: it is the order of discovery.
TABLES = (
    f"""CREATE TABLE IF NOT EXISTS agents (
        seq INTEGER PRIMARY KEY, {varchar("aid", 512, "NOT NULL UNIQUE")}, {varchar("display_name", 255, "NOT NULL")},
        handshake_endpoint TEXT NOT NULL, offered_caps TEXT NOT NULL, status TEXT NOT NULL,
        {varchar("namespace", 128, "NOT NULL")}, manifest TEXT NOT NULL, expires_at REAL NOT NULL,
        registered_at REAL NOT NULL, last_enrolled_at REAL NOT NULL, last_seen_at REAL)""",
    "CREATE INDEX IF NOT EXISTS agents_live ON agents (status, expires_at)",
)

_DISCOVERED: Final = "SELECT * FROM agents WHERE status = 'active' AND expires_at > :now"
_FILTERS: Final = {
    "capability": " AND EXISTS (SELECT 1 FROM json_each(offered_caps) WHERE value = :capability)",
    "aid": " AND aid = :aid",
    "display_name": " AND display_name = :display_name",
    "namespace": " AND namespace = :namespace",
}


async def discover(request: web.Request, cp: ControlPlane) -> web.Response:
    """``GET /api/registry/agents``: active, unexpired agents, oldest registration first. Dead ones are among them."""
    wanted = {
        "capability": query(request, "capability"),
        "aid": query(request, "aid"),
        "display_name": query(request, "displayName", "display_name"),
        "namespace": query(request, "namespace"),
    }
    sql = _DISCOVERED + "".join(clause for name, clause in _FILTERS.items() if wanted[name] is not None)
    values = {
        **wanted,
        "now": cp.clock(),
        "limit": number(request, "limit", 200, 1000),
        "offset": number(request, "offset", 0, 2**62, least=0),
    }
    rows = await cp.db.read(lambda c: c.execute(f"{sql} ORDER BY seq LIMIT :limit OFFSET :offset", values).fetchall())
    with_manifest = query(request, "include_manifest") == "true"
    return answer({"agents": [_listed(row, with_manifest) for row in rows]})


async def one(request: web.Request, cp: ControlPlane) -> web.Response:
    """``GET /api/registry/agents/{aid}``: whatever its status, and ``active`` until the sweep has passed."""
    shown = _shown(await _agent(request, cp))
    return answer(shown, headers={"Cache-Control": "public, max-age=30"})


async def manifest(request: web.Request, cp: ControlPlane) -> web.Response:
    """``GET /api/registry/agents/{aid}/manifest``: the envelope as it was registered."""
    row = await _agent(request, cp)
    return web.Response(
        text=row["manifest"], content_type="application/json", headers={"Cache-Control": "public, max-age=30"}
    )


async def export(request: web.Request, cp: ControlPlane) -> web.Response:
    """``GET /api/registry/agents/{aid}/export``: what is known of an agent, as a file."""
    row = await _agent(request, cp)
    known = {"exportedAt": iso_time(cp.clock()), "agent": _listed(row, with_manifest=True)}
    return attachment(f"agent-{row['aid']}.json", known)


async def deregister(request: web.Request, cp: ControlPlane) -> web.Response:
    """``DELETE /api/registry/agents/{aid}``: says the same, event included, however often it is asked."""
    aid, now = request.match_info["aid"], cp.clock()

    def work(conn: sqlite3.Connection) -> tuple[None, list[Frame]]:
        if conn.execute("UPDATE agents SET status = 'deregistered' WHERE aid = ?", (aid,)).rowcount == 0:
            raise _not_found()
        audit.record(conn, request, "agent.deregister", aid, now)
        return None, [announce(conn, "agent.deregistered", aid, now)]

    await cp.commit(work)
    return answer({"aid": aid, "status": "deregistered"})


def announce(conn: sqlite3.Connection, event_type: str, aid: str, at: float, **more: Any) -> Frame:
    """Store an event of the registry's own about ``aid``; to be published after the commit."""
    raw = {"type": event_type, "ts": iso_time(at), "aidA": aid, "source": storing.OWN, "payload": more}
    return storing.insert(conn, raw)


async def sweep(cp: ControlPlane) -> None:
    """Mark expired agents as such. Begins with the first ingest after start, as in a Control Plane."""
    await cp.awake.wait()
    while True:
        await cp.pause(SWEEP_SECONDS)
        await cp.commit(lambda conn: (None, _expire(conn, cp.clock())))


def _expire(conn: sqlite3.Connection, now: float) -> list[Frame]:
    gone = conn.execute(
        "UPDATE agents SET status = 'expired' WHERE status = 'active' AND expires_at <= ? RETURNING aid", (now,)
    ).fetchall()
    return [announce(conn, "agent.expired", row["aid"], now) for row in gone]


async def _agent(request: web.Request, cp: ControlPlane) -> sqlite3.Row:
    aid = request.match_info["aid"]
    row: sqlite3.Row | None = await cp.db.read(
        lambda conn: conn.execute("SELECT * FROM agents WHERE aid = ?", (aid,)).fetchone()
    )
    if row is None:
        raise _not_found()
    return row


def _not_found() -> Refused:
    return Refused(404, "agent not found", "NOT_FOUND")


def _shown(row: sqlite3.Row) -> dict[str, Any]:
    return {
        "aid": row["aid"],
        "displayName": row["display_name"],
        "handshakeEndpoint": row["handshake_endpoint"],
        "offeredCaps": orjson.loads(row["offered_caps"]),
        "status": row["status"],
        "registeredAt": pg_time(row["registered_at"]),
        "lastSeenAt": pg_time(row["last_seen_at"]),
        "manifestUrl": f"/api/registry/agents/{quote(row['aid'], safe='')}/manifest",
    }


def _listed(row: sqlite3.Row, with_manifest: bool) -> dict[str, Any]:
    listed = {
        **_shown(row),
        "namespace": row["namespace"],
        "lastEnrolledAt": pg_time(row["last_enrolled_at"]),
        "agentManifestHint": _hint(row["handshake_endpoint"]),
    }
    return {**listed, "manifestJson": row["manifest"]} if with_manifest else listed


def _hint(endpoint: str) -> str | None:
    parts = urlsplit(endpoint)
    return f"{parts.scheme}://{parts.netloc}/.well-known/aitp-manifest" if parts.netloc else None


ROUTES = (
    Route("GET", "/api/registry/agents", discover, auth="none"),
    Route("GET", "/api/registry/agents/{aid}", one, auth="none"),
    Route("GET", "/api/registry/agents/{aid}/manifest", manifest, auth="none"),
    Route("GET", "/api/registry/agents/{aid}/export", export),
    Route("DELETE", "/api/registry/agents/{aid}", deregister),
)
BACKGROUND = (sweep,)
