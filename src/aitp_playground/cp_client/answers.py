"""From bytes to rows: Control Planes wrap the same list in different envelopes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import orjson

from aitp_playground.cp_client.reasons import Degraded

Row = dict[str, Any]


def decode(body: bytes) -> Any:
    """The JSON value. Raises :class:`Degraded`: ``truncated`` if the document stops early, else ``not_json``."""
    try:
        return orjson.loads(body)
    except orjson.JSONDecodeError as failure:
        cut = failure.msg.startswith("unexpected end of data") or _cut_in_a_character(body)
        raise Degraded("truncated" if cut else "not_json", f"the body is not JSON: {failure.msg}") from None


def record(body: bytes) -> Row:
    """The JSON object. Raises :class:`Degraded`."""
    value = decode(body)
    if not isinstance(value, dict):
        raise Degraded("bad_shape", "the answer is not a JSON object")
    return value


def rows(body: bytes, key: str) -> list[Row]:
    """The list of objects under ``key``, ``items`` or ``events``, or bare. Raises :class:`Degraded`."""
    value = decode(body)
    if isinstance(value, dict):
        value = next((value[name] for name in (key, "items", "events") if name in value), None)
    if not isinstance(value, list) or not all(isinstance(row, dict) for row in value):
        raise Degraded("bad_shape", f"the answer holds no list of {key}")
    return value


def text(row: Mapping[str, Any], name: str) -> str | None:
    """A field that holds a text that is not empty; None otherwise. Control Planes leave fields out."""
    value = row.get(name)
    return value if isinstance(value, str) and value else None


def texts(row: Mapping[str, Any], name: str) -> list[str]:
    """The texts of a field that should hold a list of them."""
    value = row.get(name)
    return [entry for entry in value if isinstance(entry, str)] if isinstance(value, list) else []


def _cut_in_a_character(body: bytes) -> bool:
    try:
        body.decode()
    except UnicodeDecodeError as failure:
        return failure.reason == "unexpected end of data"
    return False
