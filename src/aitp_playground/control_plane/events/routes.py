"""Taking events in, and their history."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from typing import Any

from aiohttp import web

from aitp_playground.control_plane.events import rows, storing
from aitp_playground.control_plane.events.bus import Frame
from aitp_playground.control_plane.events.reported import ReportedEvent, read_event
from aitp_playground.control_plane.events.rows import Filter
from aitp_playground.control_plane.routing import Route
from aitp_playground.control_plane.service import ControlPlane
from aitp_playground.control_plane.wire.answers import answer
from aitp_playground.control_plane.wire.errors import Broken, Refused
from aitp_playground.control_plane.wire.requests import MAX_BATCH, body, number, query, span

MAX_EVENTS = 500


async def ingest(request: web.Request, cp: ControlPlane) -> web.Response:
    """``POST /api/events``: an array, or an object with ``events``; stored, projected and on disk when answered.

    One event that cannot be stored costs the batch. What is no object is passed over and not counted.
    """
    now = cp.clock()
    batch = [read_event(raw, now) for raw in _batch(await body(request, MAX_BATCH)) if isinstance(raw, dict)]
    if batch:
        await cp.commit(lambda connection: (None, _store(connection, batch, now)))
        cp.counters.events(len(batch))
    cp.awake.set()
    return answer({"ingested": len(batch)})


def _batch(received: Any) -> list[Any]:
    """The events of a body. Shapes without any are an empty batch; ``events`` that is no array is a failure."""
    found = received.get("events") if isinstance(received, dict) else received
    if isinstance(received, dict) and not isinstance(found, list | None):
        raise Broken("events is not an array")
    if not isinstance(found, list):
        return []
    if len(found) > MAX_EVENTS:
        raise Refused(413, f"a batch holds at most {MAX_EVENTS} events", "PAYLOAD_TOO_LARGE")
    return found


def _store(connection: sqlite3.Connection, batch: Sequence[ReportedEvent], now: float) -> list[Frame]:
    named = {aid for event in batch for aid in (event.aid_a, event.aid_b) if aid is not None}
    connection.executemany("UPDATE agents SET last_seen_at = ? WHERE aid = ?", [(now, aid) for aid in sorted(named)])
    return storing.store(connection, batch, now)


async def history(request: web.Request, cp: ControlPlane) -> web.Response:
    """``GET /api/events/history``: newest first; ``count`` is that of the page."""
    since, until = span(request, "FILTER_INVALID")
    wanted = Filter(
        type=query(request, "type"),
        aid=query(request, "aid"),
        session_id=query(request, "sessionId", "session_id"),
        run_id=query(request, "runId", "run_id"),
        since=since,
        until=until,
    )
    limit, offset = number(request, "limit", 100, 1000), number(request, "offset", 0, 2**53, least=0)
    found = await cp.db.read(lambda connection: rows.page(connection, wanted, limit=limit, offset=offset))
    return answer({"events": found, "count": len(found)})


ROUTES = (
    Route("POST", "/api/events", ingest, idempotent=True),
    Route("GET", "/api/events/history", history),
)
