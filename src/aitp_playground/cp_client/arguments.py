"""What must hold of an argument before the Control Plane sees it: it takes some values that do lasting harm."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

import orjson

from aitp_playground.cp_client.answers import Row
from aitp_playground.cp_client.reasons import unfit
from aitp_playground.uuids import is_uuid

_ED25519_KEY = re.compile(r"[A-Za-z0-9_-]{43}")
_P256 = "aid:pubkey:p256:"
MAX_LABEL = 128


def revocable(jti: str) -> str:
    """``jti`` in lower case. Raises :class:`Degraded` for all but a version 4 UUID.

    Another version is taken with a 201, and from then on the signer of the public list fails for everyone.
    """
    lower = jti.lower()
    if not is_uuid(lower, "4"):
        raise unfit("only a version 4 UUID may be published as revoked")
    return lower


def pinnable(aid: str, pubkey: str) -> None:
    """Raise :class:`Degraded` unless ``pubkey`` is the Ed25519 key that ``aid`` is made of.

    The Control Plane would store any key beside any AID.
    """
    if aid.startswith(_P256):
        raise unfit("a P-256 key cannot be pinned: the Control Plane takes keys of 43 characters, these have 44")
    if not _ED25519_KEY.fullmatch(pubkey):
        raise unfit("the key is not 43 characters of unpadded base64url")
    if aid != f"aid:pubkey:{pubkey}":
        raise unfit("the key is not the one the AID names")


def labelled(label: str | None) -> str | None:
    """``label`` as given. Raises :class:`Degraded` for one that the database column does not hold."""
    if label is not None and len(label) > MAX_LABEL:
        raise unfit(f"a label has at most {MAX_LABEL} characters")
    return label


def when(moment: str | float | None) -> str | None:
    """Unix seconds as ISO 8601 with ``Z`` and milliseconds; the Control Plane misreads numbers. Text stays.

    Raises :class:`Degraded` for a number that is no time.
    """
    if moment is None or isinstance(moment, str):
        return moment
    try:
        return datetime.fromtimestamp(moment, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
    except (ValueError, OverflowError, OSError):
        raise unfit(f"{moment!r} is no time") from None


def query(**filters: str | int | bool | None) -> dict[str, str]:
    """A query without the filters not given: an empty one would be no filter, and so is ``false``.

    ``True`` is written in the one way that is understood.
    """
    given = {name: value for name, value in filters.items() if value not in (None, "") and value is not False}
    return {name: "true" if value is True else str(value) for name, value in given.items()}


def body(**fields: Any) -> bytes:
    """A JSON object without the fields not given. Raises :class:`Degraded` for text that JSON cannot hold."""
    try:
        return orjson.dumps({name: value for name, value in fields.items() if value is not None})
    except orjson.JSONEncodeError as failure:
        raise unfit(f"the request cannot be encoded: {failure}") from None


def is_active(row: Mapping[str, Any], now: float) -> bool:
    """Neither revoked nor expired. ``expiresAt`` is Postgres text or ISO 8601; null never ends."""
    expiry = row.get("expiresAt")
    if row.get("revoked"):
        return False
    if not isinstance(expiry, str):
        return True
    try:
        ends = datetime.fromisoformat(expiry)
    except ValueError:
        return False
    return (ends if ends.tzinfo else ends.replace(tzinfo=UTC)).timestamp() > now


def matching(rows: list[Row], **fields: str | None) -> list[Row]:
    """The rows whose fields are as given, None being any."""
    return [row for row in rows if all(value is None or row.get(name) == value for name, value in fields.items())]
