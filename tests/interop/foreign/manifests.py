"""The manifest: who an agent is, where it is, what it offers (RFC-AITP-0003)."""

from __future__ import annotations

import secrets
from typing import Any

from aitp_verifier.errors import AitpError
from aitp_verifier.jcs import canonicalize
from aitp_verifier.manifest import verify_manifest

from tests.interop.foreign.envelopes import VERSION, encode
from tests.interop.foreign.keys import Key, same_key

Manifest = dict[str, Any]
WELL_KNOWN = "/.well-known/aitp-manifest"
LIST_URI = "rfc-aitp-0008.revocation_list_uri"
LIFE = 7200


def unsigned(key: Key, name: str, endpoint: str, offered: list[str], now: int) -> Manifest:
    """A manifest of an agent that is known by its key (3), with its proof of possession (3.1)."""
    challenge = secrets.token_bytes(16)
    return {
        "version": VERSION,
        "aid": key.aid,
        "display_name": name,
        "identity_hint": {"type": "pinned_key", "subject": name, "public_key": key.public},
        "handshake_endpoint": endpoint,
        "accepted_trust_anchors": [],
        "accepted_identity_types": ["pinned_key"],
        "offered_capabilities": offered,
        "proof_of_possession": {"challenge": encode(challenge), "signature": key.sign(challenge)},
        "published_at": now,
        "expires_at": now + LIFE,
    }


def signed(key: Key, body: Manifest) -> Manifest:
    """The body with a signature over its canonical form without one (6.1)."""
    body = {name: value for name, value in body.items() if name != "signature"}
    return {**body, "signature": key.sign(canonicalize(body))}


def read(document: Any, aid: str, now: int) -> Manifest:
    """The manifest in a ``{"manifest": …}`` document, verified, of the agent that was looked for (5). Raises
    ``AitpError``."""
    if not isinstance(document, dict) or document.keys() != {"manifest"}:
        raise AitpError("MANIFEST_INVALID", "not a manifest document")
    manifest: Manifest = document["manifest"]
    verify_manifest({"manifest": manifest, "now": now}, now)
    if not same_key(manifest["aid"], aid):
        raise AitpError("MANIFEST_INVALID", "of another agent")
    return manifest
