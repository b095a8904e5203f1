"""Delegations as events report them, the tree they form, and how revocation runs down it."""

from __future__ import annotations

import hashlib
import sqlite3
import uuid
from typing import Any

import orjson
from aiohttp import web

from aitp_playground.control_plane.events.reported import ReportedEvent
from aitp_playground.control_plane.projections.claims import (
    ClaimTooLarge,
    aid_of,
    jti_of,
    jws_claims,
    mapping,
    moment_of,
    texts_of,
)
from aitp_playground.control_plane.routing import Route
from aitp_playground.control_plane.service import ControlPlane
from aitp_playground.control_plane.wire.answers import answer
from aitp_playground.control_plane.wire.errors import Refused
from aitp_playground.control_plane.wire.requests import number, query
from aitp_playground.control_plane.wire.times import pg_time
from aitp_playground.uuids import is_uuid

TABLES: tuple[str, ...] = (
    """
    CREATE TABLE IF NOT EXISTS delegations (
        seq INTEGER PRIMARY KEY,
        jti TEXT NOT NULL UNIQUE,
        parent_jti TEXT NOT NULL,
        delegator TEXT NOT NULL,
        delegatee TEXT NOT NULL,
        scope TEXT NOT NULL,
        issued_at REAL NOT NULL,
        expires_at REAL,
        revoked_at REAL,
        revoked_reason TEXT
    )
    """,
    "CREATE INDEX IF NOT EXISTS delegations_by_parent ON delegations (parent_jti)",
)

_INSERT = """
    INSERT OR IGNORE INTO delegations (jti, parent_jti, delegator, delegatee, scope, issued_at, expires_at)
    VALUES (?, ?, ?, ?, ?, ?, ?)
"""
#: UNION, not UNION ALL: reported parents may form a circle.
_BELOW = """
    WITH RECURSIVE below (jti) AS (
        SELECT jti FROM delegations WHERE {start} = :jti
        UNION
        SELECT child.jti FROM delegations AS child JOIN below ON child.parent_jti = below.jti
    )
"""
_REVOKE_BELOW = f"""
    {_BELOW.format(start="parent_jti")}
    UPDATE delegations SET revoked_at = :at, revoked_reason = 'parent_revoked'
    WHERE jti IN below AND jti <> :jti AND revoked_at IS NULL
"""  # noqa: S608 - literals of this module


# -- projection -------------------------------------------------------------------------------------------------------


def issued(connection: sqlite3.Connection, event: ReportedEvent) -> None:
    """Add a delegation with a jti, a parent and both sides, unless its jti is known."""
    try:
        row = _row(event)
    except ClaimTooLarge:
        return
    if row is not None:
        connection.execute(_INSERT, row)


def _row(event: ReportedEvent) -> tuple[Any, ...] | None:
    payload = mapping(event.payload)
    wrapped = mapping(payload.get("tct") or payload.get("delegation"))
    claims = mapping(wrapped["claims"]) if "claims" in wrapped else wrapped
    jti = jti_of(payload.get("jti")) or jti_of(claims.get("jti")) or _made_jti(wrapped.get("token"))
    parent = jti_of(_first(payload, "parent_jti", "parentJti") or _first(claims, "parent_jti", "parentJti"))
    parent = parent or jti_of(_source_of(claims.get("voucher")))
    delegator = aid_of(claims.get("iss")) or aid_of(_first(payload, "delegator_aid", "delegator"))
    delegatee = aid_of(claims.get("sub")) or aid_of(_first(payload, "delegatee_aid", "delegatee"))
    if jti is None or parent is None or delegator is None or delegatee is None:
        return None
    issued_at = moment_of(claims.get("iat"))
    return (
        jti,
        parent,
        delegator,
        delegatee,
        texts_of(claims.get("scope") or payload.get("scope")),
        event.ts if issued_at is None else issued_at,
        moment_of(claims.get("exp") or payload.get("expires_at")),
    )


def _first(fields: dict[str, Any], *names: str) -> Any:
    return next((fields[name] for name in names if fields.get(name)), None)


def _made_jti(token: object) -> str | None:
    """The same token always gets the same one: its SHA-1 dressed as a UUID of version 5 (RFC 9562, section 5.5)."""
    if not isinstance(token, str):
        return None
    digest = hashlib.sha1(f"aitp-delegation:{token}".encode(), usedforsecurity=False).digest()
    return str(uuid.UUID(bytes=digest[:16], version=5))


def _source_of(voucher: object) -> Any:
    """The TCT that a grant voucher was issued with, from the compact JWS or from claims already taken out of it."""
    claims = mapping(voucher) or jws_claims(voucher)
    return mapping(claims.get("claims", claims)).get("src_jti")


def revoke(connection: sqlite3.Connection, jti: str, at: float) -> None:
    """Mark one delegation as revoked by itself, and those below it."""
    connection.execute(
        "UPDATE delegations SET revoked_at = ?, revoked_reason = 'explicit' WHERE jti = ? AND revoked_at IS NULL",
        (at, jti),
    )
    revoke_below(connection, jti, at)


def revoke_below(connection: sqlite3.Connection, jti: str, at: float) -> None:
    """Mark what was delegated from ``jti``, at any depth; a mark that is there stays."""
    connection.execute(_REVOKE_BELOW, {"jti": jti, "at": at})


# -- route ------------------------------------------------------------------------------------------------------------


async def list_delegations(request: web.Request, cp: ControlPlane) -> web.Response:
    """Newest first; or, under ``root_jti``, that delegation and all below it, oldest first, whatever else is asked."""
    root = _jti(request, "root_jti", "rootJti")
    if root is not None:
        select, values = _TREE, {"jti": root}
    else:
        select, values = _SELECT, _filters(request, cp)

    def find(connection: sqlite3.Connection) -> list[dict[str, Any]]:
        return [_shown(row) for row in connection.execute(select, values)]

    return answer({"delegations": await cp.db.read(find)})


_TREE = f"""
    {_BELOW.format(start="jti")}
    SELECT * FROM delegations WHERE jti IN below ORDER BY issued_at, seq
"""  # noqa: S608 - literals of this module
_SELECT = """
    SELECT * FROM delegations
    WHERE (:parent IS NULL OR parent_jti = :parent)
        AND (:delegator IS NULL OR delegator = :delegator)
        AND (:delegatee IS NULL OR delegatee = :delegatee)
        AND (:now IS NULL OR revoked_at IS NULL AND (expires_at IS NULL OR expires_at > :now))
    ORDER BY issued_at DESC, seq DESC LIMIT :limit OFFSET :offset
"""


def _filters(request: web.Request, cp: ControlPlane) -> dict[str, Any]:
    return {
        "parent": _jti(request, "parent_jti", "parentJti"),
        "delegator": query(request, "delegator"),
        "delegatee": query(request, "delegatee"),
        "now": cp.clock() if query(request, "active") == "true" else None,
        "limit": number(request, "limit", 100, 1000),
        "offset": number(request, "offset", 0, 2**53, least=0),
    }


def _jti(request: web.Request, *names: str) -> str | None:
    text = query(request, *names)
    if text is not None and not is_uuid(text):
        raise Refused(400, f"{names[0]} must be a UUID", "BAD_REQUEST")
    return text and text.lower()


def _shown(row: sqlite3.Row) -> dict[str, Any]:
    return {
        "jti": row["jti"],
        "parentJti": row["parent_jti"],
        "delegator": row["delegator"],
        "delegatee": row["delegatee"],
        "scope": orjson.Fragment(row["scope"]),
        "issuedAt": pg_time(row["issued_at"]),
        "expiresAt": pg_time(row["expires_at"]),
        "revoked": row["revoked_at"] is not None,
        "revokedAt": pg_time(row["revoked_at"]),
        "revokedReason": row["revoked_reason"],
    }


ROUTES = (Route("GET", "/api/delegations", list_delegations),)
