"""Reading claims that somebody reported. Nothing is verified here: what the projections show is hearsay."""

from __future__ import annotations

import base64
from typing import Any

import orjson

from aitp_playground.uuids import is_uuid

#: A UUID of version 7 is none for these projections.
_VERSIONS = "12345"
_YEAR_10000 = 253_402_300_800
_AID_LENGTH = 512


class ClaimTooLarge(Exception):
    """A claim that its column cannot hold: the row is lost, and nobody is told."""


def jti_of(value: object) -> str | None:
    """The identifier in lower case, or None when it is not one."""
    return value.lower() if isinstance(value, str) and is_uuid(value, _VERSIONS) else None


def aid_of(value: object) -> str | None:
    """A non-empty text. Raises ClaimTooLarge when it is too long."""
    if not isinstance(value, str) or not value:
        return None
    if len(value) > _AID_LENGTH:
        raise ClaimTooLarge(value[:40])
    return value


def moment_of(value: object) -> float | None:
    """Epoch seconds if it is a number; a date as text counts as absent. Raises ClaimTooLarge beyond year 9999."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    if not -_YEAR_10000 < value < _YEAR_10000:
        raise ClaimTooLarge(str(value))
    return float(value)


def texts_of(value: object) -> str:
    """The texts of a list, as JSON."""
    entries = [entry for entry in value if isinstance(entry, str)] if isinstance(value, list) else []
    return orjson.dumps(entries).decode()


def mapping(value: object) -> dict[str, Any]:
    """``value`` if it is an object, else an empty one."""
    return value if isinstance(value, dict) else {}


def jws_claims(token: object) -> dict[str, Any]:
    """The payload of a compact JWS (RFC 7515, section 7.1) without verification; empty when it cannot be read."""
    parts = token.split(".") if isinstance(token, str) else []
    if len(parts) != 3:
        return {}
    try:
        return mapping(orjson.loads(base64.urlsafe_b64decode(parts[1] + "=" * (-len(parts[1]) % 4))))
    except ValueError:
        return {}
