"""Tokens inside events: who reads an event outside of this service learns which token it was, and cannot use it."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from typing import Any, Final

#: A compact JWS (RFC 7515, section 7.1) anywhere in a text: its header is a JSON object, so it begins like this.
TOKEN: Final = re.compile(r"ey[A-Za-z0-9_-]{6,}\.[A-Za-z0-9_-]{4,}\.[A-Za-z0-9_-]{16,}")
_HINT: Final = b"ey"


def fingerprint(token: str) -> str:
    """``sha256:`` and the hex digest of the token's text, by which two mentions of it can be compared."""
    return f"sha256:{hashlib.sha256(token.encode()).hexdigest()}"


def without_tokens(value: Any) -> Any:
    """A copy of some JSON in which a fingerprint stands in the place of each token, at any depth, also within a text.

    What holds no token is given back as it is. Raises ``RecursionError`` for what is nested too deep.
    """
    if isinstance(value, str):
        return TOKEN.sub(lambda match: fingerprint(match[0]), value) if "ey" in value else value
    if isinstance(value, Mapping):
        return {without_tokens(name): without_tokens(item) for name, item in value.items()}
    if isinstance(value, list | tuple):
        return [without_tokens(item) for item in value]
    return value


def may_hold_token(encoded: bytes) -> bool:
    """Whether looking closer is worth it; False is certain for JSON that escapes no letter."""
    return _HINT in encoded
