"""Health, readiness, metrics, and what the Control Plane says of itself. Nobody needs a key for them."""

from __future__ import annotations

import sqlite3

from aiohttp import web

from aitp_playground.control_plane.console.counters import CONTENT_TYPE
from aitp_playground.control_plane.routing import WELL_KNOWN, Route
from aitp_playground.control_plane.service import ControlPlane
from aitp_playground.control_plane.trust.identity import NAME
from aitp_playground.control_plane.wire.answers import answer


async def _database_answers(cp: ControlPlane) -> bool:
    try:
        await cp.db.read(lambda conn: conn.execute("SELECT 1").fetchone())
    except sqlite3.Error:
        return False
    return True


async def health(_request: web.Request, cp: ControlPlane) -> web.Response:
    """``GET /api/health``: 503 when the database does not answer. The AID is that of the revocation list."""
    good = await _database_answers(cp)
    said = {"ok": good, "service": NAME, "aid": cp.identity.aid, "db": "ok" if good else "error"}
    return answer(said, 200 if good else 503)


async def ready(_request: web.Request, cp: ControlPlane) -> web.Response:
    """``GET /api/readyz``: a look at the database and at nothing else."""
    if await _database_answers(cp):
        return answer({"ready": True})
    return answer({"ready": False, "reason": "db", "error": "the database does not answer"}, 503)


async def metrics(_request: web.Request, cp: ControlPlane) -> web.Response:
    """``GET /api/metrics``: the Prometheus text form."""
    return web.Response(body=cp.counters.render(), headers={"Content-Type": CONTENT_TYPE})


async def manifest(_request: web.Request, cp: ControlPlane) -> web.Response:
    """``GET /.well-known/aitp-manifest``: the signed manifest, as its signer wrote it."""
    return web.Response(text=cp.identity.manifest, content_type="application/json")


ROUTES = (
    Route("GET", "/api/health", health, auth="none"),
    Route("GET", "/api/readyz", ready, auth="none"),
    Route("GET", "/api/metrics", metrics, auth="none"),
    *(Route("GET", f"{prefix}/aitp-manifest", manifest, auth="none") for prefix in WELL_KNOWN),
)
