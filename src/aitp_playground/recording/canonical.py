"""JSON in one spelling: equal values are equal bytes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import orjson

from aitp_playground.events.codec import encode_json


def canonical(value: Any) -> bytes:
    """One line of JSON with sorted names."""
    try:
        # Copied: what orjson gives keeps the buffer it was made in, twenty times what an event needs.
        return memoryview(orjson.dumps(value, option=orjson.OPT_SORT_KEYS)).tobytes()
    except TypeError:  # integers beyond 64 bits, lone surrogates
        return encode_json(_sorted(value))


def _sorted(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {name: _sorted(value[name]) for name in sorted(value)}
    return [_sorted(item) for item in value] if isinstance(value, list) else value
