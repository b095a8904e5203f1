"""Delegation tokens in what leaves the store: a step's result holds one, log lines and reports show its digest."""

from __future__ import annotations

import re
from collections.abc import Mapping
from hashlib import sha256
from typing import Any, Final

#: A JWS in compact form (RFC 7515, section 7.1): its header is a JSON object, which in base64url begins like this.
_TOKEN: Final = re.compile(r"eyJ[A-Za-z0-9_-]{4,}\.[A-Za-z0-9_-]{4,}\.[A-Za-z0-9_-]{16,}")
_HINT: Final = b"eyJ"


def may_hold_token(encoded: bytes) -> bool:
    """Whether looking closer is worth it; False is certain for JSON that escapes no letter."""
    return _HINT in encoded


def digested(payload: Any) -> Any:
    """``payload`` with every token in it, at any depth and inside texts too, replaced by ``sha256:<hex>``.

    The digest is that of the token's own characters, so that whoever holds a token can find it. Nothing is changed in
    place.
    """
    if isinstance(payload, str):
        return _TOKEN.sub(_digest, payload) if "eyJ" in payload else payload
    if isinstance(payload, Mapping):
        return {digested(name): digested(value) for name, value in payload.items()}
    if isinstance(payload, list | tuple):
        return [digested(item) for item in payload]
    return payload


def _digest(token: re.Match[str]) -> str:
    return f"sha256:{sha256(token[0].encode()).hexdigest()}"
