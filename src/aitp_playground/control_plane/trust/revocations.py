"""Revocation: entries that only ever grow, and the signed list of them."""

from __future__ import annotations

import sqlite3
from typing import Any

from aiohttp import web

from aitp_playground.control_plane.console import audit
from aitp_playground.control_plane.events import storing
from aitp_playground.control_plane.events.bus import Frame
from aitp_playground.control_plane.routing import WELL_KNOWN, Route
from aitp_playground.control_plane.service import ControlPlane
from aitp_playground.control_plane.trust.signed_list import CACHE_SECONDS
from aitp_playground.control_plane.wire.answers import answer
from aitp_playground.control_plane.wire.errors import Refused
from aitp_playground.control_plane.wire.requests import body_object
from aitp_playground.control_plane.wire.times import iso_time, parse_when, to_millisecond
from aitp_playground.uuids import is_uuid

MAX_REASON = 500
#: Versions of a UUID that are taken. The signer takes version 4 only, so any other that passes here leaves the list
#: unsigned, for everyone and for good; a Control Plane has the same trap.
_VERSIONS = "12345"

TABLES = (
    """CREATE TABLE IF NOT EXISTS revocations (
        seq INTEGER PRIMARY KEY, jti TEXT NOT NULL UNIQUE, revoked_at REAL NOT NULL,
        reason TEXT CHECK (instr(reason, char(0)) = 0), created_at REAL NOT NULL)""",
)


async def revoke(request: web.Request, cp: ControlPlane) -> web.Response:
    """``POST /api/revocation/entries``: 201 each time; the first entry for a jti stands, whatever later answers say."""
    jti, at, reason = _entry(await body_object(request), to_millisecond(cp.clock()))
    now = cp.clock()

    def work(conn: sqlite3.Connection) -> tuple[None, list[Frame]]:
        conn.execute(
            "INSERT INTO revocations (jti, revoked_at, reason, created_at) VALUES (?, ?, ?, ?) ON CONFLICT DO NOTHING",
            (jti.lower(), at, reason, now),
        )
        audit.record(conn, request, "revocation.add", jti, now, reason=reason)
        # Storing the event marks the TCT and what was delegated from it, as an ingested one does.
        told = {"jti": jti} if reason is None else {"jti": jti, "reason": reason}
        raw = {"type": "tct.revoked", "ts": iso_time(at), "source": storing.OWN, "payload": told}
        return None, [storing.insert(conn, raw)]

    await cp.commit(work)
    cp.signed_list.forget()
    return answer({"jti": jti, "revokedAt": iso_time(at), "reason": reason}, 201)


def _entry(given: dict[str, Any], now: float) -> tuple[str, float, str | None]:
    """The jti, when it was revoked (now, unless a date text says otherwise), and why."""
    jti, reason, when = given.get("jti"), given.get("reason"), given.get("revokedAt")
    if not isinstance(jti, str) or not is_uuid(jti, _VERSIONS):
        raise Refused(400, "jti must be a UUID", "JTI_INVALID")
    if reason is not None and not isinstance(reason, str):
        raise Refused(400, "reason must be a text", "BODY_INVALID")
    if reason is not None and len(reason) > MAX_REASON:
        raise Refused(400, f"reason exceeds {MAX_REASON} characters", "BODY_INVALID")
    if reason is not None and "\0" in reason:
        raise Refused(500, "the revocation could not be stored", "INSERT_FAILED")
    at = parse_when(when) if isinstance(when, str) and when else now
    if at is None:
        raise Refused(400, "revokedAt must be a date", "BODY_INVALID")
    return jti, at, reason


async def revocation_list(_request: web.Request, cp: ControlPlane) -> web.Response:
    """``GET /.well-known/aitp-revocation-list``: signed by the Control Plane, whoever issued the tokens."""
    cached = {"Cache-Control": f"public, max-age={CACHE_SECONDS:.0f}"}
    return web.Response(text=await cp.signed_list.current(), content_type="application/json", headers=cached)


ROUTES = (
    Route("POST", "/api/revocation/entries", revoke, idempotent=True),
    *(Route("GET", f"{prefix}/aitp-revocation-list", revocation_list, auth="none") for prefix in WELL_KNOWN),
)
