"""What the Control Plane cannot take, made into something it can, in plain sight.

One event with a NUL, half a surrogate pair or a text too long for its column would cost the batch it travels in. Such
text is mended, and ``payload.sanitised`` says what was; an event that cannot be mended travels as a stub, whose
``payload.omitted`` says why.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final, Literal

import orjson

from aitp_playground.cp_client.reporting.mapping import SOURCE, AidBook, moment, told
from aitp_playground.events.codec import decode
from aitp_playground.events.model import RunEvent
from aitp_playground.observability.trace_context import trace_id_of
from aitp_playground.store.port import StoredEvent

#: UTF-16 units of a payload's JSON, and bytes of a request's body.
MAX_UNITS: Final = 65_536
MAX_BODY: Final = 262_144
FRAME: Final = (b'{"events":[', b"]}")
MAX_EVENT: Final = MAX_BODY - sum(map(len, FRAME))

Condition = Literal["whole", "sanitised", "stub"]

#: Longest text of the Control Plane's columns. A cut id would be another's, so only the type is cut.
_LONGEST: Final = {"type": 128, "run_id": 255, "session_id": 255, "aid_a": 512, "aid_b": 512}
#: One that is longer loses the whole session.
_LONGEST_BOUNDARY: Final = 32
#: In stored JSON: escapes that may stand for NUL or half a surrogate pair, and numbers beyond 64 bits.
_SUSPECT: Final = re.compile(rb"\\u0000|\\u[dD][89a-fA-F]|[0-9]{19}")
_UNFIT: Final = re.compile("[\0\ud800-\udfff]")
_LONG_INTEGER: Final = 2**63
_ARRIVED: Final = ("session_id", "aid_a", "aid_b")


@dataclass(frozen=True, slots=True)
class Outgoing:
    """One event as JSON that the Control Plane can take. ``note``: what was changed, or why it is a stub."""

    seq: int
    json: bytes
    condition: Condition = "whole"
    note: str = ""


def outgoing(entry: StoredEvent, aids: AidBook) -> Outgoing:
    """A stored event in its outgoing form. ``aids`` learns from it."""
    event = decode(entry.body)
    aids.note(event)
    try:
        fields, changed = _mended(told(event, aids), suspect=_SUSPECT.search(entry.body) is not None)
        whole, payload = orjson.dumps(fields), orjson.dumps(fields["payload"])
    except (orjson.JSONEncodeError, RecursionError):
        return stub(event, "not_encodable")
    if len(whole) > MAX_EVENT or _units(payload) > MAX_UNITS:
        return stub(event, "too_large", fields)
    return Outgoing(entry.seq, whole, "sanitised" if changed else "whole", ", ".join(changed))


def stub(event: RunEvent, reason: str, columns: Mapping[str, Any] | None = None) -> Outgoing:
    """What is left when the event itself cannot go: its place, its type and the reason; of ``columns`` the ids."""
    fields = {
        "type": _UNFIT.sub("\ufffd", event.type)[: _LONGEST["type"]],
        "ts": moment(event.ts),
        "run_id": event.run_id,
        "source": SOURCE,
        **{name: columns[name] for name in _ARRIVED if columns and name in columns},
        "payload": {"id": event.id, "seq": event.seq, "trace_id": trace_id_of(event.run_id), "omitted": reason},
    }
    return Outgoing(event.seq, orjson.dumps(fields), "stub", reason)


def _mended(fields: dict[str, Any], *, suspect: bool) -> tuple[dict[str, Any], list[str]]:
    changed: dict[str, None] = {}
    if suspect:
        fields = _clean(fields, changed)
    for name, longest in _LONGEST.items():
        if len(fields.get(name, "")) > longest:
            changed[name] = None
            text = fields.pop(name)
            if name == "type":
                fields[name] = text[:longest]
    payload = fields["payload"]
    boundary = payload.get("boundary")
    if isinstance(boundary, str) and len(boundary) > _LONGEST_BOUNDARY:
        changed["boundary"] = None
        payload["boundary"] = boundary[:_LONGEST_BOUNDARY]
    if changed:
        payload["sanitised"] = list(changed)
    return fields, list(changed)


def _clean(value: Any, changed: dict[str, None]) -> Any:
    """A copy without what neither JSON nor the Control Plane's database can hold."""
    if isinstance(value, str):
        if _UNFIT.search(value) is None:
            return value
        changed["text"] = None
        return _UNFIT.sub("\ufffd", value)
    if isinstance(value, Mapping):
        return {_clean(name, changed): _clean(item, changed) for name, item in value.items()}
    if isinstance(value, list | tuple):
        return [_clean(item, changed) for item in value]
    if isinstance(value, int) and not -_LONG_INTEGER <= value < _LONG_INTEGER:
        changed["number"] = None
        return str(value)
    return value


def _units(json: bytes) -> int:
    return len(json) if len(json) <= MAX_UNITS else len(json.decode().encode("utf-16-le")) // 2
