"""A run event to bytes and back. An event is encoded once; store, stream and log line share those bytes.

The result is one line of UTF-8 JSON (RFC 8259) without a newline. Numbers that JSON has no word for (NaN, the
infinities) or that Python refuses to print (thousands of digits) become ``null``. Lone surrogates and integers beyond
64 bits survive, in ASCII escapes and plain digits; a high surrogate directly before a low one reads back as the
character they stand for, as JSON defines it.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from typing import Any

import orjson

from aitp_playground.events.model import RunEvent

# orjson reads an integer beyond 64 bits as a float. Those have at least 19 digits, which is quick to rule out.
_DIGITS_TO_ZERO = bytes.maketrans(b"123456789", b"0" * 9)
_LONG_NUMBER = b"0" * 19
# CPython prints and parses integers of up to 4,300 decimal digits.
_PRINTABLE_BITS = 14_000


def encode(event: RunEvent) -> bytes:
    """The wire form of ``event``. Raises TypeError only for values that are no JSON at all."""
    data = {
        "seq": event.seq,
        "id": event.id,
        "type": event.type,
        "ts": event.ts,
        "run_id": event.run_id,
        **event.fields,
    }
    return encode_json(data)


def encode_json(data: Any) -> bytes:
    """Any JSON-able value under the rules of this module."""
    try:
        return orjson.dumps(data, default=_as_dict)
    except TypeError:
        return _encode_slowly(data)


def decode(body: bytes) -> RunEvent:
    """The inverse of :func:`encode`. Raises ValueError when ``body`` is no JSON, KeyError when it is no event."""
    return RunEvent.from_dict(decode_json(body))


def decode_json(body: bytes) -> Any:
    """The inverse of :func:`encode_json`."""
    if _LONG_NUMBER in body.translate(_DIGITS_TO_ZERO):
        return json.loads(body)
    try:
        return orjson.loads(body)
    except orjson.JSONDecodeError:
        return json.loads(body)


def _encode_slowly(data: Any) -> bytes:
    try:
        return _dumps(data)
    except ValueError:
        return _dumps(_finite(data))


def _dumps(data: Any) -> bytes:
    text = json.dumps(data, ensure_ascii=True, allow_nan=False, separators=(",", ":"), default=_as_dict)
    return text.encode("ascii")


def _as_dict(value: Any) -> dict[str, Any]:
    if isinstance(value, Mapping):
        return dict(value)
    raise TypeError(f"an event cannot hold a {type(value).__name__}")


def _finite(value: Any) -> Any:
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, int):
        return value if value.bit_length() < _PRINTABLE_BITS else None
    if isinstance(value, Mapping):
        return {_finite(name): _finite(item) for name, item in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(item) for item in value]
    return value
