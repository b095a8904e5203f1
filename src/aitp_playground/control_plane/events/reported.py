"""What the Control Plane keeps of a reported event, whatever spelling the reporter used."""

from __future__ import annotations

import re
import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import orjson

from aitp_playground.control_plane.wire.errors import Broken, Refused
from aitp_playground.control_plane.wire.times import iso_time, parse_when, to_millisecond

#: UTF-16 units of a payload's JSON, which is how a JavaScript service measures a string.
PAYLOAD_UNITS = 65_536
#: Numbers from here on are milliseconds.
_MILLISECONDS_FROM = 1e12
_YEAR_1 = -62_135_596_800
_YEAR_10000 = 253_402_300_800
#: Longest text of each column; a longer one costs the batch, as the database refuses the whole insert.
_LONGEST = {"type": 128, "session_id": 255, "run_id": 255, "aid_a": 512, "aid_b": 512, "source": 128}
_NUL_IN_JSON = re.compile(rb"(?<!\\)(?:\\\\)*\\u0000")


@dataclass(frozen=True, slots=True, kw_only=True)
class ReportedEvent:
    """One event as it is stored. ``ts`` and ``created_at`` are epoch seconds, ``ts`` to the millisecond."""

    id: str
    type: str
    ts: float
    aid_a: str | None
    aid_b: str | None
    session_id: str | None
    run_id: str | None
    grants: list[str] | None
    payload: Any
    payload_json: str
    source: str
    created_at: float

    def frame(self) -> dict[str, Any]:
        """The event as streams and webhooks show it: absent fields are left out, the time is ISO."""
        shown = {
            "id": self.id,
            "type": self.type,
            "ts": iso_time(self.ts),
            "aidA": self.aid_a,
            "aidB": self.aid_b,
            "sessionId": self.session_id,
            "runId": self.run_id,
            "grants": self.grants,
            "payload": self.payload,
            "source": self.source,
        }
        return {name: value for name, value in shown.items() if value is not None}

    def field(self, name: str) -> Any:
        """One field of a payload that is an object; None otherwise."""
        return self.payload.get(name) if isinstance(self.payload, dict) else None


def read_event(raw: Mapping[str, Any], now: float) -> ReportedEvent:
    """``raw`` as it will be stored, under a fresh id.

    Raises Refused (413) for a payload that is too large, Broken for anything the database would not take: a text too
    long for its column, a NUL, a lone surrogate, a time beyond year 9999.
    """
    kind = raw.get("type")
    payload = raw.get("payload")
    if not isinstance(payload, dict | list):
        payload = raw
    event = ReportedEvent(
        id=str(uuid.uuid4()),
        type=kind if isinstance(kind, str) else "unknown",
        ts=_when(raw.get("ts"), now),
        aid_a=_first(raw, "aidA", "aid_a", "initiator"),
        aid_b=_first(raw, "aidB", "aid_b", "target"),
        session_id=_told(raw.get("session_id"), raw.get("sessionId")),
        run_id=_told(raw.get("run_id"), raw.get("runId"), _nested(raw, "playground", "run_id")),
        grants=strings(raw.get("grants")),
        payload=payload,
        payload_json=_payload_json(payload, kind),
        source=_first(raw, "source") or "playground",
        created_at=now,
    )
    _check_columns(event)
    return event


def strings(value: object) -> list[str] | None:
    """``value`` if it is a list of texts and of nothing else."""
    if isinstance(value, list) and all(isinstance(entry, str) for entry in value):
        return value
    return None


def _first(raw: Mapping[str, Any], *names: str) -> str | None:
    for name in names:
        value = raw.get(name)
        if isinstance(value, str) and value:
            return value
    return None


def _told(*spellings: object) -> str | None:
    """The first that is there at all decides, also when it is empty or no text: then there is none."""
    first = next((value for value in spellings if value is not None), None)
    return first if isinstance(first, str) and first else None


def _nested(raw: Mapping[str, Any], outer: str, inner: str) -> object:
    about = raw.get(outer)
    return about.get(inner) if isinstance(about, dict) else None


def _when(value: object, now: float) -> float:
    """Epoch seconds, cut to the millisecond; the time of arrival for what is no time."""
    if isinstance(value, int | float) and not isinstance(value, bool):
        seconds = value / 1000 if value >= _MILLISECONDS_FROM else value
        if not _YEAR_1 <= seconds < _YEAR_10000:
            raise Broken("a time outside the years 1 to 9999")
        return to_millisecond(seconds)
    parsed = parse_when(value)
    return to_millisecond(now) if parsed is None else parsed


def _payload_json(payload: Any, kind: object) -> str:
    try:
        encoded = orjson.dumps(payload)
    except (TypeError, orjson.JSONEncodeError) as error:
        raise Broken("text that is not Unicode") from error
    if b"\\u0000" in encoded and _NUL_IN_JSON.search(encoded):
        raise Broken("a NUL in the payload")
    text = encoded.decode()
    if len(encoded) > PAYLOAD_UNITS and len(text) + sum(char > "\uffff" for char in text) > PAYLOAD_UNITS:
        raise Refused(
            413,
            f"payload exceeds {PAYLOAD_UNITS} bytes",
            "PAYLOAD_TOO_LARGE",
            eventType=kind if isinstance(kind, str) else "unknown",
        )
    return text


def _check_columns(event: ReportedEvent) -> None:
    for name, longest in _LONGEST.items():
        value = getattr(event, name)
        if value is not None:
            check_text(value, longest)
    for grant in event.grants or ():
        check_text(grant, PAYLOAD_UNITS)


def check_text(value: str, longest: int) -> None:
    """Raises Broken for what a text column of ``longest`` characters does not take."""
    if len(value) > longest or "\0" in value:
        raise Broken("text that does not fit its column")
    try:
        value.encode()
    except UnicodeEncodeError as error:
        raise Broken("text that is not Unicode") from error
