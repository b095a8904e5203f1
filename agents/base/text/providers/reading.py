"""Looking into an answer of any shape."""

from __future__ import annotations

import json
from typing import Any

from base.text.rewording import LlmError


def body_of(raw: bytes) -> Any:
    """The parsed body. Raises LlmError (``not_json``)."""
    try:
        return json.loads(raw)
    except (ValueError, RecursionError):
        raise LlmError("not_json", 200) from None


def part(holder: Any, *path: str | int, missing: bool = False) -> Any:
    """What stands at ``path``. Raises LlmError (``bad_shape``); with ``missing`` an absent key is None."""
    try:
        for name in path:
            holder = holder[name]
    except (LookupError, TypeError) as error:
        if missing and isinstance(error, KeyError):
            return None
        raise LlmError("bad_shape", 200) from None
    return holder
