"""Figures for a console. Session figures go by when the Control Plane heard of them, the others by the event's time."""

from __future__ import annotations

import sqlite3
from dataclasses import dataclass
from typing import Any

from aiohttp import web

from aitp_playground.control_plane.projections import sessions
from aitp_playground.control_plane.routing import Route
from aitp_playground.control_plane.service import ControlPlane
from aitp_playground.control_plane.wire.answers import answer
from aitp_playground.control_plane.wire.requests import query
from aitp_playground.control_plane.wire.times import pg_time

HOUR = 3600
DAY = 24 * HOUR
RECENT = 10
TOP = 10


@dataclass(frozen=True, slots=True)
class _Range:
    """``seconds`` back from now, charted in buckets of ``bucket`` seconds."""

    seconds: int
    bucket: int


_RANGES = {"1h": _Range(HOUR, 60), "24h": _Range(DAY, HOUR), "7d": _Range(7 * DAY, DAY), "30d": _Range(30 * DAY, DAY)}


async def overview(request: web.Request, cp: ControlPlane) -> web.Response:
    """``GET /api/dashboard/overview``: a range that is not known means 24 hours."""
    asked = query(request, "range")
    name = asked if asked in _RANGES else "24h"
    since = cp.clock() - _RANGES[name].seconds

    def find(connection: sqlite3.Connection) -> dict[str, Any]:
        return {
            "range": name,
            "kpis": _kpis(connection, since),
            "recentSessions": _recent(connection),
            "charts": {
                "handshakesByBoundary": _boundaries(connection),
                "handshakesOverTime": _over_time(connection, since, _RANGES[name].bucket),
                "topCapabilities": _capabilities(connection, since),
            },
        }

    return answer(await cp.db.read(find))


def _kpis(connection: sqlite3.Connection, since: float) -> dict[str, int]:
    row = connection.execute(_KPIS, {"since": since}).fetchone()
    return {name: row[name] for name in row.keys()}  # noqa: SIM118 - a Row iterates over its values


_KPIS = """
    SELECT
        (SELECT count(*) FROM agents WHERE status = 'active') AS agentsRegistered,
        (SELECT count(*) FROM sessions) AS handshakesTotal,
        (SELECT count(*) FROM sessions WHERE created_at >= :since) AS handshakesInRange,
        (SELECT count(*) FROM sessions WHERE created_at >= :since AND status = 'complete') AS handshakesSuccessInRange,
        (SELECT count(*) FROM events WHERE type = 'capability.invoked' AND ts >= :since)
            AS capabilityInvocationsInRange,
        (SELECT count(*) FROM sessions WHERE status = 'started') AS activeSessions,
        (SELECT count(*) FROM deliveries) AS pendingWebhookDeliveries
"""


def _recent(connection: sqlite3.Connection) -> list[dict[str, Any]]:
    names = ("sessionId", "aidA", "aidB", "status", "grants", "boundary", "startedAt", "completedAt")
    rows = connection.execute("SELECT * FROM sessions ORDER BY seq DESC LIMIT ?", (RECENT,))
    return [{name: shown[name] for name in names} for shown in map(sessions.shown, rows)]


def _boundaries(connection: sqlite3.Connection) -> list[dict[str, Any]]:
    """Of all sessions, whatever the range."""
    rows = connection.execute(
        "SELECT coalesce(boundary, 'unknown') AS boundary, count(*) AS count FROM sessions"
        " GROUP BY 1 ORDER BY 2 DESC, 1"
    )
    return [dict(row) for row in rows]


def _over_time(connection: sqlite3.Connection, since: float, bucket: int) -> list[dict[str, Any]]:
    """Starts and completions added up, so a handshake that succeeds counts twice, as in a Control Plane."""
    rows = connection.execute(
        "SELECT CAST(ts / :bucket AS INTEGER) * :bucket AS bucket, count(*) AS count FROM events"
        " WHERE type IN ('handshake.started', 'handshake.complete') AND ts >= :since GROUP BY 1 ORDER BY 1",
        {"bucket": bucket, "since": since},
    )
    return [{"bucket": pg_time(row["bucket"]), "count": row["count"]} for row in rows]


def _capabilities(connection: sqlite3.Connection, since: float) -> list[dict[str, Any]]:
    rows = connection.execute(
        "SELECT payload ->> '$.capability' AS capability, count(*) AS count FROM events"
        " WHERE type = 'capability.invoked' AND ts >= ? AND capability IS NOT NULL"
        " GROUP BY 1 ORDER BY 2 DESC, 1 LIMIT ?",
        (since, TOP),
    )
    return [dict(row) for row in rows]


async def agents(_: web.Request, cp: ControlPlane) -> web.Response:
    """``GET /api/dashboard/agents``: every agent that ever registered, with its counts of all time."""

    def find(connection: sqlite3.Connection) -> list[dict[str, Any]]:
        return [
            {
                "aid": row["aid"],
                "displayName": row["display_name"],
                "status": row["status"],
                "registeredAt": pg_time(row["registered_at"]),
                "lastSeenAt": pg_time(row["last_seen_at"]),
                "handshakesAsInitiator": row["initiated"],
                "handshakesAsResponder": row["responded"],
                "capabilityInvocations": row["invoked"],
            }
            for row in connection.execute(_AGENTS)
        ]

    return answer({"agents": await cp.db.read(find)})


_AGENTS = """
    SELECT agents.*,
        (SELECT count(*) FROM sessions WHERE aid_a = agents.aid) AS initiated,
        (SELECT count(*) FROM sessions WHERE aid_b = agents.aid) AS responded,
        coalesce(calls.count, 0) AS invoked
    FROM agents
    LEFT JOIN (SELECT aid_a, count(*) AS count FROM events WHERE type = 'capability.invoked' GROUP BY aid_a) AS calls
        ON calls.aid_a = agents.aid
    ORDER BY agents.registered_at
"""


ROUTES = (
    Route("GET", "/api/dashboard/overview", overview),
    Route("GET", "/api/dashboard/agents", agents),
)
