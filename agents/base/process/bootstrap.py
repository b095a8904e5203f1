"""The bootstrap document: everything a worker is told, read once from an inherited descriptor.

The document is parsed strictly. A key this version does not know is an error, because a setting that is silently
ignored is a security setting that silently does not apply. Secrets stay out of every ``repr``.
"""

from __future__ import annotations

import base64
import binascii
import json
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import Any, Literal, cast

from base.process.sections import BootstrapError, Section

VERSION = 1
MAX_BYTES = 1 << 20
#: How often at most a token that was redeemed may be passed on: RFC-AITP-0011, section 2, ends at three hops.
MAX_REDELEGATION = 2
_SHA256_HEX = re.compile(r"[0-9a-f]{64}")


@dataclass(frozen=True, slots=True)
class TelemetryConfig:
    """Where events go."""

    url: str
    token: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class ControlPlaneConfig:
    """The Control Plane's address and pinned AID; never a key of its API."""

    url: str
    aid: str | None


@dataclass(frozen=True, slots=True)
class RevocationConfig:
    """What to do without a fresh list; RFC-AITP-0008, section 3.1. Times in seconds.

    ``fail_mode`` is about the Control Plane's list: ``fail_open`` goes on, ``soft_fail`` with ``safe_caps`` alone,
    ``fail_closed`` refuses. ``issuer_fail_mode`` is about the list that a peer advertises.
    ``record_dir``: the directory in which an agent that keeps its key keeps what it revoked.
    """

    fail_mode: Literal["fail_open", "soft_fail", "fail_closed"]
    max_staleness_secs: int
    poll_secs: int
    safe_caps: frozenset[str] = frozenset()
    issuer_fail_mode: Literal["fail_closed", "fail_open"] = "fail_closed"
    record_dir: str | None = None


@dataclass(frozen=True, slots=True)
class LlmConfig:
    """A language model's account, for agents whose manifest asks for one. ``timeout_secs`` bounds one question."""

    provider: Literal["openai", "anthropic"]
    api_key: str | None = field(repr=False)
    base_url: str
    model: str
    timeout_secs: int


@dataclass(frozen=True, slots=True)
class OidcConfig:
    """OIDC trust material. ``trusted``: issuer to its public JWKs. The rest only for an agent with an OIDC identity.

    ``token_url`` hands out this agent's ID tokens, one per nonce, against ``token``.
    """

    trusted: Mapping[str, list[dict[str, Any]]]
    issuer: str | None = None
    subject: str | None = None
    token_url: str | None = None
    token: str | None = field(default=None, repr=False)


@dataclass(frozen=True, slots=True)
class Bootstrap:
    """The document, checked."""

    run_id: str
    agent_id: str
    org: Literal["internal", "external"]
    seed: bytes = field(repr=False)
    signing_suite: Literal["ed25519", "p256"]
    display_name: str
    offered_caps: tuple[str, ...]
    ttl_secs: int
    identity_type: Literal["pinned_key", "oidc"]
    oidc: OidcConfig | None
    port: int
    base_url: str
    did_web_host: str | None
    boundary: str
    admin_token_sha256: str = field(repr=False)
    telemetry: TelemetryConfig
    cp: ControlPlaneConfig | None
    revocation: RevocationConfig
    llm: LlmConfig | None
    accept: Literal["introduced", "any-verified"] = "introduced"
    redelegation: int = 0
    accepted_identity_types: tuple[str, ...] = ("pinned_key",)


def read_bootstrap(fd: int) -> Bootstrap:
    """Read ``fd`` to its end and close it. Raises :class:`BootstrapError`."""
    with os.fdopen(fd, "rb") as stream:
        raw = stream.read(MAX_BYTES + 1)
    if len(raw) > MAX_BYTES:
        raise BootstrapError("the bootstrap document is too large")
    return parse_bootstrap(raw)


def parse_bootstrap(raw: bytes) -> Bootstrap:
    """Check a document. Raises :class:`BootstrapError`."""
    try:
        document = json.loads(raw)
    except ValueError:
        # `from None`: a decoder's error holds the text it choked on, and that text holds the seed.
        raise BootstrapError("the bootstrap document is not JSON") from None
    root = Section(document, "")
    if root.take("v", int) != VERSION:
        raise BootstrapError(f"v: this worker reads version {VERSION}")
    oidc = root.optional("oidc", _oidc)
    bootstrap = Bootstrap(
        run_id=root.text("run_id"),
        agent_id=root.text("agent_id"),
        org=root.choice("org", "internal", "external"),
        seed=_seed(root.text("seed")),
        signing_suite=root.choice("signing_suite", "ed25519", "p256"),
        display_name=root.text("display_name"),
        offered_caps=_offered(root),
        ttl_secs=root.positive("ttl_secs"),
        identity_type=root.choice("identity_type", "pinned_key", "oidc"),
        oidc=oidc,
        port=root.positive("port"),
        base_url=root.url("base_url").rstrip("/"),
        did_web_host=root.take("did_web_host", str, none=True),
        boundary=root.text("boundary"),
        admin_token_sha256=root.text("admin_token_sha256").lower(),
        telemetry=_telemetry(root.section("telemetry")),
        cp=root.optional("cp", _control_plane),
        revocation=_revocation(root.section("revocation")),
        llm=root.optional("llm", _llm),
        accept=root.choice("accept", "introduced", "any-verified", default="introduced"),
        redelegation=root.number("redelegation", 0, MAX_REDELEGATION, default=0),
        accepted_identity_types=_accepted(root, both=oidc is not None),
    )
    root.finish()
    if not _SHA256_HEX.fullmatch(bootstrap.admin_token_sha256):
        raise BootstrapError("admin_token_sha256: not a SHA-256 in hexadecimal")
    if bootstrap.identity_type == "oidc" and not (bootstrap.oidc and bootstrap.oidc.token_url):
        raise BootstrapError("oidc: an OIDC identity needs issuer, subject, token_url and token")
    return bootstrap


def _seed(text: str) -> bytes:
    try:
        seed = base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True)
    except (binascii.Error, ValueError):
        raise BootstrapError("seed: not base64url") from None
    if len(seed) != 32:
        raise BootstrapError("seed: not 32 bytes")
    return seed


def _offered(root: Section) -> tuple[str, ...]:
    offered = root.names("offered_caps")
    if not offered:
        raise BootstrapError("offered_caps: empty")
    return offered


def _accepted(root: Section, *, both: bool) -> tuple[str, ...]:
    if "accepted_identity_types" not in root.left:
        return ("pinned_key", "oidc") if both else ("pinned_key",)
    accepted = root.names("accepted_identity_types")
    if not accepted or set(accepted) - {"pinned_key", "oidc"}:
        raise BootstrapError("accepted_identity_types: not pinned_key, oidc, or both")
    return accepted


def _telemetry(section: Section) -> TelemetryConfig:
    config = TelemetryConfig(url=section.url("url"), token=section.text("token"))
    section.finish()
    return config


def _control_plane(section: Section) -> ControlPlaneConfig:
    config = ControlPlaneConfig(url=section.url("url").rstrip("/"), aid=section.take("aid", str, none=True))
    section.finish()
    return config


def _revocation(section: Section) -> RevocationConfig:
    config = RevocationConfig(
        fail_mode=section.choice("fail_mode", "fail_open", "soft_fail", "fail_closed"),
        max_staleness_secs=section.positive("max_staleness_secs"),
        poll_secs=section.positive("poll_secs"),
        safe_caps=frozenset(section.names("safe_caps", absent_is_empty=True)),
        issuer_fail_mode=section.choice("issuer_fail_mode", "fail_closed", "fail_open", default="fail_closed"),
        record_dir=section.directory("record_dir"),
    )
    section.finish()
    if config.fail_mode == "soft_fail" and not config.safe_caps:
        raise BootstrapError("revocation.safe_caps: empty, and soft_fail serves nothing else without a fresh list")
    return config


def _llm(section: Section) -> LlmConfig:
    config = LlmConfig(
        provider=section.choice("provider", "openai", "anthropic"),
        api_key=section.take("api_key", str, none=True) or None,
        base_url=section.url("base_url"),
        model=section.text("model"),
        timeout_secs=section.positive("timeout_secs"),
    )
    section.finish()
    # A line break would surface in an error about headers, which quotes it.
    if config.api_key is not None and not (config.api_key.isascii() and config.api_key.isprintable()):
        raise BootstrapError("llm.api_key: not printable ASCII text")
    return config


def _oidc(section: Section) -> OidcConfig:
    trusted = section.take("trusted", dict)
    for keys in trusted.values():
        if not isinstance(keys, list) or not all(isinstance(key, dict) for key in keys):
            raise BootstrapError("oidc.trusted: not a map from issuer to a list of JWKs")
    own = {entry.name for entry in fields(OidcConfig)} - {"trusted"}
    present = {name: section.text(name) for name in sorted(own & section.left)}
    if present and present.keys() != own:
        raise BootstrapError(f"oidc.{min(own - present.keys())}: missing")
    section.finish()
    return OidcConfig(trusted=cast("Mapping[str, list[dict[str, Any]]]", trusted), **present)
