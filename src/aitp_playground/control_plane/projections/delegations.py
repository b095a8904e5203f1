"""Delegations as events report them, the tree they form, and how revocation runs down it."""

from __future__ import annotations

import hashlib
import sqlite3
import uuid
from collections.abc import Sequence
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
    """The row that a payload makes. What the payload itself names goes before what the claims say.

    So whoever reports an agent's id as ``delegatee`` has it stored in the place of an AID, whatever ``sub`` is.
    """
    payload = mapping(event.payload)
    reported = mapping(payload.get("tct") or payload.get("delegation"))
    # Without either, the claims may stand at the top; there they are not unwrapped, and no jti is made from a token.
    claims = mapping(reported["claims"]) if "claims" in reported else reported or payload
    both = (payload, claims)
    jti = _jti_in(both, "jti", "child_jti") or _made_jti(reported.get("token"))
    parent = _jti_in(both, "parent_jti", "parentJti", "src_jti")
    parent = parent or jti_of(_source_of(claims.get("voucher"))) or _end_of_chain(both, jti)
    delegator = aid_of(_text(payload, "delegator_aid", "delegator") or _text(claims, "iss"))
    delegatee = aid_of(_text(payload, "delegatee_aid", "delegatee") or _text(claims, "sub"))
    if jti is None or parent is None or delegator is None or delegatee is None:
        return None
    issued_at = moment_of(claims.get("iat"))
    scopes = (fields.get(name) for fields in (claims, payload) for name in ("scope", "grants"))
    return (
        jti,
        parent,
        delegator,
        delegatee,
        texts_of(next((scope for scope in scopes if scope), None)),
        event.ts if issued_at is None else issued_at,
        moment_of(claims.get("exp") or payload.get("expires_at")),
    )


def _text(fields: dict[str, Any], *names: str) -> str | None:
    values = (fields.get(name) for name in names)
    return next((value for value in values if isinstance(value, str) and value), None)


def _jti_in(places: Sequence[dict[str, Any]], *names: str) -> str | None:
    """The first identifier under one of these names, place by place."""
    found = (jti_of(fields.get(name)) for fields in places for name in names)
    return next((jti for jti in found if jti is not None), None)


def _end_of_chain(places: Sequence[dict[str, Any]], jti: str | None) -> str | None:
    """A chain is told from its root down: what stands last in it, the delegation itself apart, is the parent."""
    chains = [fields["chain"] for fields in places if isinstance(fields.get("chain"), list)]
    above = [link for link in map(jti_of, chains[0] if chains else ()) if link not in (None, jti)]
    return above[-1] if above else None


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
