"""Proof of possession of a token's key (RFC-AITP-0005 6.1)."""

from __future__ import annotations

import json
import secrets
from typing import Any

from tests.interop.foreign.agent import ForeignAgent
from tests.interop.foreign.envelopes import Alter, decode, encode, opened

#: Headers in which an answer may travel; the second is the one that the RFC suggests.
HEADERS = ("X-AITP-PoP", "x-aitp-pop-response")


def challenge_in(agent: ForeignAgent, answer: Any, verifier: str) -> dict[str, Any]:
    """A challenge's members, from a signed envelope of the verifier's or bare."""
    if isinstance(answer, dict) and "message_type" in answer:
        return opened(answer, verifier, "pop_challenge", agent.now())
    challenge: dict[str, Any] = answer
    return challenge


def response(agent: ForeignAgent, challenge: dict[str, Any], **changes: Any) -> dict[str, Any]:
    """The answer's members: signed is the SHA-256 of the nonce's bytes."""
    return {
        "tct_jti": challenge["tct_jti"],
        "nonce_echo": challenge["nonce"],
        "pop_signature": agent.key.sign(decode(challenge["nonce"])),
    } | changes


def renewal(agent: ForeignAgent, token: str) -> dict[str, Any]:
    """A request for renewal: the key proven over a nonce of the holder's own (RFC-AITP-0013)."""
    nonce = secrets.token_bytes(16)
    return {"current_tct": token, "pop_nonce": encode(nonce), "pop_signature": agent.key.sign(nonce)}


def in_envelope(agent: ForeignAgent, members: dict[str, Any], alter: Alter | None = None) -> str:
    """The answer as a signed message, as a header carries it."""
    return as_header(agent.message("pop_response", members, alter))


def as_header(value: dict[str, Any]) -> str:
    return encode(json.dumps(value).encode())
