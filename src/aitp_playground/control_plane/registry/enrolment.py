"""Joining the registry: a signed manifest buys a token that is good once, and the token registers the manifest."""

from __future__ import annotations

import hmac
import json
import secrets
import sqlite3
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import aitp
from aiohttp import web

from aitp_playground.control_plane.console import audit
from aitp_playground.control_plane.events.bus import Frame
from aitp_playground.control_plane.middlewares.keys import bearer
from aitp_playground.control_plane.registry.agents import announce
from aitp_playground.control_plane.routing import Route
from aitp_playground.control_plane.service import ControlPlane
from aitp_playground.control_plane.trust.identity import Identity
from aitp_playground.control_plane.wire.answers import answer
from aitp_playground.control_plane.wire.errors import Broken, Refused
from aitp_playground.control_plane.wire.requests import parse_body, read_body
from aitp_playground.control_plane.wire.times import iso_time, to_millisecond

TOKEN_SECONDS = 300
#: A manifest must outlive the token it buys by something.
LEAST_TTL = 300
NAMESPACE_HEADER = "X-Aitp-Namespace"
_COMPLAINT = "request body is not valid JSON"

TABLES = (
    """CREATE TABLE IF NOT EXISTS spent_tokens (
        token_id TEXT PRIMARY KEY, expires_at REAL NOT NULL) WITHOUT ROWID""",
)


async def enroll(request: web.Request, cp: ControlPlane) -> web.Response:
    """``POST /api/registry/enroll``: the manifest's own signature is the proof, no key is asked for."""
    raw = await read_body(request)
    parse_body(raw, _COMPLAINT)
    manifest = _verified(raw)
    if not manifest["expires_at"] - cp.clock() > LEAST_TTL:
        raise Refused(400, f"the manifest must be valid for more than {LEAST_TTL} s", "MANIFEST_INVALID")
    token = Token.make(manifest["aid"], cp.clock()).sealed(cp.identity)
    return answer({"token": token, "expiresIn": TOKEN_SECONDS, "aid": manifest["aid"]})


async def register(request: web.Request, cp: ControlPlane) -> web.Response:
    """``POST /api/registry/agents``: the token's AID must be the manifest's, and nothing else is compared.

    The manifest's signature was looked at when it enrolled and is not looked at here, as in a Control Plane: what
    discovery serves is for its readers to verify. The token is spent before the checks that may still fail.
    """
    token = Token.opened(bearer(request), cp.identity, cp.clock())
    raw = await read_body(request)
    manifest = _envelope(parse_body(raw, _COMPLAINT))
    if manifest.get("aid") != token.aid:
        raise _token_invalid("the token is for another AID")
    await cp.db.write(lambda conn: _spend(conn, token, cp.clock()))
    now = cp.clock()
    if not _seconds(manifest.get("expires_at")) - now > LEAST_TTL:
        raise Refused(400, f"the manifest must be valid for more than {LEAST_TTL} s", "MANIFEST_EXPIRED")
    row = _row(manifest, raw.decode(), request.headers.get(NAMESPACE_HEADER), now)
    registered_at = await cp.commit(lambda conn: _register(conn, request, row, now))
    said = {"aid": token.aid, "displayName": row["display_name"], "registeredAt": iso_time(registered_at)}
    return answer(said, 201)


# -- manifests --------------------------------------------------------------------------------------------------------


def _verified(raw: bytes) -> dict[str, Any]:
    try:
        text = raw.decode()
        aitp.verify_manifest_json(text)
    except (aitp.ManifestVerificationError, ValueError) as failure:
        raise Refused(400, f"manifest refused: {failure}", "MANIFEST_INVALID") from failure
    manifest: dict[str, Any] = json.loads(text)["manifest"]
    return manifest


def _envelope(parsed: Any) -> Mapping[str, Any]:
    """What the envelope holds. ``null`` breaks the service, as it breaks a Control Plane."""
    if parsed is None:
        raise Broken("the body is null")
    manifest = parsed.get("manifest") if isinstance(parsed, dict) else None
    if not isinstance(manifest, dict):
        raise Refused(400, "the body is no manifest envelope", "MANIFEST_INVALID")
    return manifest


def _seconds(value: Any) -> float:
    return value if isinstance(value, int | float) and not isinstance(value, bool) else 0


def _row(manifest: Mapping[str, Any], text: str, header: str | None, now: float) -> dict[str, Any]:
    extensions = manifest.get("extensions")
    named = extensions.get("namespace") if isinstance(extensions, dict) else None
    caps = manifest.get("offered_capabilities")
    return {
        "aid": manifest["aid"],
        "display_name": manifest.get("display_name"),
        "handshake_endpoint": manifest.get("handshake_endpoint"),
        "offered_caps": json.dumps(caps if isinstance(caps, list) else []),
        "namespace": header or (named if isinstance(named, str) and named else "default"),
        "manifest": text,
        "expires_at": manifest["expires_at"],
        "now": now,
        "enrolled_at": to_millisecond(now),
    }


def _register(
    conn: sqlite3.Connection, request: web.Request, row: Mapping[str, Any], now: float
) -> tuple[float, list[Frame]]:
    """Everything is replaced but the time of the first registration, which is the agent's place in discovery."""
    (registered_at,) = conn.execute(
        """INSERT INTO agents (aid, display_name, handshake_endpoint, offered_caps, status, namespace, manifest,
               expires_at, registered_at, last_enrolled_at)
           VALUES (:aid, :display_name, :handshake_endpoint, :offered_caps, 'active', :namespace, :manifest,
               :expires_at, :now, :enrolled_at)
           ON CONFLICT (aid) DO UPDATE SET display_name = excluded.display_name,
               handshake_endpoint = excluded.handshake_endpoint, offered_caps = excluded.offered_caps,
               status = 'active', namespace = excluded.namespace, manifest = excluded.manifest,
               expires_at = excluded.expires_at, last_enrolled_at = excluded.last_enrolled_at
           RETURNING registered_at""",
        row,
    ).fetchone()
    about = {"displayName": row["display_name"], "namespace": row["namespace"]}
    audit.record(conn, request, "agent.register", row["aid"], now, **about)
    return registered_at, [announce(conn, "agent.registered", row["aid"], now, **about)]


# -- tokens -----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Token:
    """``content.mac``, both base64url: for one AID, for :data:`TOKEN_SECONDS`, for one use."""

    token_id: str
    aid: str
    expires_at: int

    @classmethod
    def make(cls, aid: str, now: float) -> Token:
        """A new token for ``aid``."""
        return cls(secrets.token_urlsafe(16), aid, int(now) + TOKEN_SECONDS)

    def sealed(self, identity: Identity) -> str:
        """The token as its holder gets it."""
        content = _base64url(json.dumps([self.token_id, self.aid, self.expires_at]).encode())
        return f"{content}.{_base64url(identity.token_mac(content.encode()))}"

    @classmethod
    def opened(cls, text: str | None, identity: Identity, now: float) -> Token:
        """Raises 401 ``TOKEN_INVALID`` for anything that was not sealed here, or too long ago."""
        content, _, mac = (text or "").partition(".")
        right = _base64url(identity.token_mac(content.encode("utf-8", "surrogateescape")))
        if not hmac.compare_digest(mac.encode("utf-8", "surrogateescape"), right.encode()):
            raise _token_invalid("malformed enrolment token")
        token = cls(*json.loads(urlsafe_b64decode(content + "=" * (-len(content) % 4))))
        if token.expires_at <= now:
            raise _token_invalid("the enrolment token has expired")
        return token


def _spend(conn: sqlite3.Connection, token: Token, now: float) -> None:
    conn.execute("DELETE FROM spent_tokens WHERE expires_at <= ?", (now,))
    try:
        conn.execute("INSERT INTO spent_tokens VALUES (?, ?)", (token.token_id, token.expires_at))
    except sqlite3.IntegrityError:
        raise Refused(401, "the enrolment token was used before", "TOKEN_REPLAYED") from None


def _token_invalid(why: str) -> Refused:
    return Refused(401, why, "TOKEN_INVALID")


def _base64url(data: bytes) -> str:
    return urlsafe_b64encode(data).rstrip(b"=").decode()


ROUTES = (
    Route("POST", "/api/registry/enroll", enroll, auth="none"),
    Route("POST", "/api/registry/agents", register, auth="none", idempotent=True),
)
