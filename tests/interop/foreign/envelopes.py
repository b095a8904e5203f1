"""Envelopes: what every message travels in (RFC-AITP-0001 5)."""

from __future__ import annotations

import uuid
from collections.abc import Callable
from typing import Any

from aitp_verifier.b64 import b64url_decode, b64url_encode
from aitp_verifier.envelope import envelope_signing_input, verify_envelope
from aitp_verifier.errors import AitpError

from tests.interop.foreign.keys import Key, same_key

VERSION = "aitp/0.3"
Envelope = dict[str, Any]
#: Changes a message before it is signed: a mistake, or a lie, that its author stands by.
Alter = Callable[[Envelope], None]

encode, decode = b64url_encode, b64url_decode


def draft(key: Key, kind: str, payload: dict[str, Any], now: int) -> Envelope:
    """An envelope that is not signed yet (5.2)."""
    return {
        "version": VERSION,
        "message_type": kind,
        "message_id": str(uuid.uuid4()),
        "timestamp": now,
        "sender": {"agent_id": key.aid},
        "payload": payload,
    }


def signed(key: Key, envelope: Envelope) -> Envelope:
    """The envelope with a signature over ``aitp-envelope-v2``, NUL and everything else in it (5.4)."""
    return {**envelope, "signature": key.sign(envelope_signing_input(envelope))}


def message(key: Key, kind: str, payload: dict[str, Any], now: int, alter: Alter | None = None) -> Envelope:
    """A signed envelope; ``alter`` sees it before the signature."""
    envelope = draft(key, kind, payload, now)
    if alter is not None:
        alter(envelope)
    return signed(key, envelope)


def opened(envelope: Any, sender: str, kind: str, now: int) -> dict[str, Any]:
    """The payload of an envelope that verifies, is fresh, and is from that sender and of that kind (5.4, 5.5).

    Raises ``AitpError``. Copies are the receiver's to notice.
    """
    verify_envelope({"envelope": envelope}, now)
    if envelope["message_type"] != kind:
        raise AitpError("INVALID_ENVELOPE", f"a {envelope['message_type']}, not a {kind}")
    if not same_key(envelope["sender"]["agent_id"], sender):
        raise AitpError("INVALID_ENVELOPE", "from another sender")
    payload: dict[str, Any] = envelope["payload"]
    return payload
