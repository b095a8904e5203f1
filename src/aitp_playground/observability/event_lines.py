"""A stored run event as a JSON log line.

Of what the line and the event have in common there is one of each: ``event`` is the type, ``timestamp`` the time. Small
events keep their stored bytes; what is large is cut, for a log line is to be read, and the store has the whole.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import UTC, datetime
from itertools import islice
from typing import Any, Final

from aitp_playground.events.codec import decode_json, encode_json
from aitp_playground.events.tokens import may_hold_token, without_tokens
from aitp_playground.events.vocabulary import spec
from aitp_playground.observability.redaction import Vetted
from aitp_playground.observability.trace_context import trace_id_of
from aitp_playground.store.port import StoredEvent

#: Of a stored event up to this size nothing is cut, bytes.
WHOLE: Final = 2048
MAX_TEXT: Final = 400
MAX_ITEMS: Final = 20
_MAX_DEPTH: Final = 6
_CUT: Final = "…"
_YEAR_10000: Final = 253_402_300_800.0
#: The head that :func:`~aitp_playground.events.codec.encode` writes, with what the line says in its own terms between.
_HEAD: Final = re.compile(
    rb'\{("seq":\d+,"id":"(?:[^"\\]|\\.)*",)"type":"(?:[^"\\]|\\.)*","ts":[^,"]+,(?="run_id":"([^"\\]+)")'
)


class EventLines:
    """Renders events one after the other; the text of a second is made once."""

    def __init__(self) -> None:
        self._second = -1
        self._second_text = b""

    def line(self, opening: bytes, event: StoredEvent) -> bytes:
        """``opening``: see :func:`opening`. Ends in a newline."""
        start = opening + self.iso(event.ts) + b'",'
        head = _HEAD.match(event.body) if len(event.body) <= WHOLE and not may_hold_token(event.body) else None
        if head is not None:
            trace = b'"trace_id":"%b",' % head[2].replace(b"-", b"")
            return start + head[1] + trace + event.body[head.end() :] + b"\n"
        fields = decode_json(event.body)
        rest = {name: value for name, value in fields.items() if name not in {"type", "ts"}}
        rest["trace_id"] = trace_id_of(str(fields.get("run_id", "")))
        return start + encode_json(shortened(without_tokens(rest)))[1:] + b"\n"

    def iso(self, ts: float) -> bytes:
        """ISO 8601 in UTC, with microseconds; an impossible time is 1970."""
        if not 0 <= ts < _YEAR_10000:
            ts = 0.0
        whole = int(ts)
        if whole != self._second:
            text = datetime.fromtimestamp(whole, UTC).strftime("%Y-%m-%dT%H:%M:%S")
            self._second, self._second_text = whole, text.encode()
        return b"%s.%06dZ" % (self._second_text, (ts - whole) * 1_000_000)


def opening(event_type: str) -> bytes:
    """The start of a line, up to the opening quote of its time."""
    row = spec(event_type)
    head = encode_json({"event": event_type, "level": row.level if row else "info", "timestamp": ""})
    return head.removesuffix(b'"}')


def shortened(value: Any, depth: int = _MAX_DEPTH) -> Any:
    """Texts of at most ``MAX_TEXT`` characters, lists and objects of at most ``MAX_ITEMS`` entries and this depth; what
    was left out is said in its place."""
    if isinstance(value, str):
        left = len(value) - MAX_TEXT
        return value if left <= 0 else f"{value[:MAX_TEXT]}{_CUT} ({left} more characters)"
    if not isinstance(value, Mapping | list | tuple) or isinstance(value, Vetted):
        return value
    if depth == 0:
        return _CUT
    left = len(value) - MAX_ITEMS
    if isinstance(value, Mapping):
        kept = {name[:MAX_TEXT]: shortened(item, depth - 1) for name, item in islice(value.items(), MAX_ITEMS)}
        return kept if left <= 0 else {**kept, _CUT: f"{left} more"}
    items = [shortened(item, depth - 1) for item in islice(value, MAX_ITEMS)]
    return items if left <= 0 else [*items, f"{_CUT} ({left} more)"]
