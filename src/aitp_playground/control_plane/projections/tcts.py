"""TCTs as events report them, and as revocations mark them."""

from __future__ import annotations

import sqlite3
from typing import Any

import orjson
from aiohttp import web

from aitp_playground.control_plane.events.reported import ReportedEvent
from aitp_playground.control_plane.projections.claims import ClaimTooLarge, aid_of, jti_of, mapping, moment_of, texts_of
from aitp_playground.control_plane.routing import Route
from aitp_playground.control_plane.service import ControlPlane
from aitp_playground.control_plane.wire.answers import answer
from aitp_playground.control_plane.wire.requests import number, query
from aitp_playground.control_plane.wire.times import pg_time

TABLES: tuple[str, ...] = (
    """
    CREATE TABLE IF NOT EXISTS tcts (
        seq INTEGER PRIMARY KEY,
        jti TEXT NOT NULL UNIQUE,
        issuer TEXT NOT NULL,
        subject TEXT NOT NULL,
        audience TEXT NOT NULL,
        grants TEXT NOT NULL,
        binding_cnf TEXT,
        issued_at REAL NOT NULL,
        expires_at REAL,
        session_id TEXT,
        revoked_at REAL
    )
    """,
    "CREATE INDEX IF NOT EXISTS tcts_by_issue ON tcts (issued_at)",
)

_INSERT = """
    INSERT OR IGNORE INTO tcts
        (jti, issuer, subject, audience, grants, binding_cnf, issued_at, expires_at, session_id)
    VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)
"""


def issued(connection: sqlite3.Connection, event: ReportedEvent) -> None:
    """Add the TCTs of an event that are not known yet. An array wins over a single one, even an empty array."""
    several = event.field("tcts")
    for reported in several if isinstance(several, list) else [event.field("tct")]:
        try:
            row = _row(event, mapping(reported))
        except ClaimTooLarge:
            continue
        if row is not None:
            connection.execute(_INSERT, row)


def _row(event: ReportedEvent, reported: dict[str, Any]) -> tuple[Any, ...] | None:
    claims = mapping(reported["claims"]) if "claims" in reported else reported
    issuers = (aid_of(claims.get(name)) for name in ("iss", "issuer", "issuer_aid", "issuerAid"))
    issuer = next((aid for aid in issuers if aid is not None), None)
    jti, subject = jti_of(claims.get("jti")), aid_of(claims.get("sub"))
    if jti is None or issuer is None or subject is None:
        return None
    issued_at = moment_of(claims.get("iat"))
    return (
        jti,
        issuer,
        subject,
        aid_of(claims.get("aud")) or subject,
        texts_of(claims.get("grants")),
        _thumbprint(claims.get("cnf")) or _thumbprint(mapping(claims.get("binding")).get("cnf")),
        event.ts if issued_at is None else issued_at,
        moment_of(claims.get("exp")),
        event.session_id,
    )


def _thumbprint(confirmation: object) -> str | None:
    """Of a confirmation key (RFC 7800): ``{"jkt"}``, or the bare text that some reporters send."""
    value = mapping(confirmation).get("jkt") if isinstance(confirmation, dict) else confirmation
    return value if isinstance(value, str) and value else None


def revoke(connection: sqlite3.Connection, jti: str, at: float) -> None:
    """Mark a TCT that is known by now; a later report of it will not be marked. The first time stays."""
    connection.execute("UPDATE tcts SET revoked_at = ? WHERE jti = ? AND revoked_at IS NULL", (at, jti))


async def list_tcts(request: web.Request, cp: ControlPlane) -> web.Response:
    """Newest first. ``active`` is ``true`` in exactly this spelling or no filter at all."""
    wanted = {name: query(request, name) for name in ("issuer", "subject", "audience", "capability", "sessionId")}
    values = {
        **wanted,
        "now": cp.clock() if query(request, "active") == "true" else None,
        "limit": number(request, "limit", 100, 1000),
        "offset": number(request, "offset", 0, 2**53, least=0),
    }

    def find(connection: sqlite3.Connection) -> list[dict[str, Any]]:
        return [_shown(row) for row in connection.execute(_SELECT, values)]

    return answer({"tcts": await cp.db.read(find)})


_SELECT = """
    SELECT * FROM tcts
    WHERE (:issuer IS NULL OR issuer = :issuer)
        AND (:subject IS NULL OR subject = :subject)
        AND (:audience IS NULL OR audience = :audience)
        AND (:sessionId IS NULL OR session_id = :sessionId)
        AND (:capability IS NULL OR EXISTS (SELECT 1 FROM json_each(grants) WHERE value = :capability))
        AND (:now IS NULL OR revoked_at IS NULL AND (expires_at IS NULL OR expires_at > :now))
    ORDER BY issued_at DESC, seq DESC LIMIT :limit OFFSET :offset
"""


def _shown(row: sqlite3.Row) -> dict[str, Any]:
    return {
        "jti": row["jti"],
        "issuer": row["issuer"],
        "subject": row["subject"],
        "audience": row["audience"],
        "grants": orjson.Fragment(row["grants"]),
        "bindingCnf": row["binding_cnf"],
        "issuedAt": pg_time(row["issued_at"]),
        "expiresAt": pg_time(row["expires_at"]),
        "sessionId": row["session_id"],
        "revoked": row["revoked_at"] is not None,
        "revokedAt": pg_time(row["revoked_at"]),
    }


ROUTES = (Route("GET", "/api/tcts", list_tcts),)
