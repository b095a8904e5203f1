"""The bootstrap document of ``docs/agents.md``: what a worker is told on a descriptor that it alone reads."""

from __future__ import annotations

import base64
import hashlib
import secrets
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, Literal

import orjson


def mint_token() -> str:
    """A bearer token of 256 random bits, safe in a header."""
    return secrets.token_urlsafe(32)


@dataclass(frozen=True, slots=True, kw_only=True)
class Telemetry:
    """Where the agent's events go; the token fixes its run and its id."""

    url: str
    token: str = field(repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class ControlPlane:
    """The Control Plane's address and AID. Its API key stays with the service."""

    url: str
    aid: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Revocation:
    """How the agent treats revocation lists; times are whole seconds.

    ``fail_mode`` and ``safe_caps`` are about the Control Plane's list, ``issuer_fail_mode`` about those of peers.
    """

    fail_mode: Literal["fail_open", "soft_fail", "fail_closed"] = "fail_open"
    safe_caps: tuple[str, ...] = ()
    issuer_fail_mode: Literal["fail_closed", "fail_open"] = "fail_closed"
    max_staleness_secs: int = 300
    poll_secs: int = 60
    #: Where an agent that keeps its key over restarts keeps what it revoked.
    record_dir: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class LanguageModel:
    """An account at a model provider, for agents whose manifest asks for one. ``timeout_secs`` bounds one question."""

    provider: Literal["openai", "anthropic"]
    api_key: str | None = field(repr=False)
    base_url: str
    model: str
    timeout_secs: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Bootstrap:
    """One agent's document. ``admin_token`` is the plain token; the document holds its SHA-256 only."""

    run_id: str
    agent_id: str
    org: Literal["internal", "external"]
    seed: bytes = field(repr=False)
    signing_suite: Literal["ed25519", "p256"]
    display_name: str
    offered_caps: tuple[str, ...]
    ttl_secs: int
    identity_type: Literal["pinned_key", "oidc"] = "pinned_key"
    accepted_identity_types: tuple[str, ...] = ("pinned_key",)
    oidc: Mapping[str, Any] | None = field(default=None, repr=False)
    port: int
    base_url: str
    did_web_host: str | None = None
    boundary: str
    admin_token: str = field(repr=False)
    telemetry: Telemetry
    cp: ControlPlane | None = None
    revocation: Revocation = Revocation()
    llm: LanguageModel | None = None
    accept: Literal["introduced", "any-verified"] = "introduced"
    redelegation: int = 0

    def encode(self) -> bytes:
        """The document, JSON in UTF-8."""
        document = asdict(self)
        token = document.pop("admin_token")
        document |= {
            "v": 1,
            "seed": base64url(self.seed),
            "admin_token_sha256": hashlib.sha256(token.encode()).hexdigest(),
        }
        return orjson.dumps(document)

    def secrets(self) -> tuple[str, ...]:
        """What must never appear in anything the agent prints, in the spellings a slip would print it in."""
        found = [self.admin_token, self.telemetry.token, base64url(self.seed), self.seed.hex()]
        if self.llm is not None and self.llm.api_key:
            found.append(self.llm.api_key)
        if self.oidc is not None and self.oidc.get("token"):
            found.append(self.oidc["token"])
        return tuple(found)


def base64url(data: bytes) -> str:
    """RFC 4648 section 5, without padding."""
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()
