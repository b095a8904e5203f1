"""Sentences about events: the small template language of the vocabulary, and the cleaning of what agents say.

A template is plain text with two constructs. ``{a|b|'words'}`` is the first of these that the event has, looked up
among its promoted fields and then in its payload; quoted words stand for themselves. ``[…]`` is left out as a whole
when a name in it is absent. Nothing in an event can end the line or reach the terminal: see :func:`plain`.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from itertools import islice
from typing import Any

from aitp_playground.events.codes import REFUSALS
from aitp_playground.events.model import RunEvent

Narration = Callable[[RunEvent], str]

MAX_VALUE = 160
MAX_LINE = 1000
#: An error is what a reader came for: that of an agent that did not start ends with its exception, of a failed
#: expectation the last value counts as much as the first.
MAX_ERROR = 700
_MAX_ITEMS = 8
_LEFT_OUT = " … "
#: An escape is at most this wide.
_WIDEST_ESCAPE = 10
_UNKNOWN = "?"

_LONG_IDS = frozenset({"jti", "session_id", "parent_jti", "delivery_id"})
#: Whatever the name it stands under: a peer, an issuer, a subject.
_AID = re.compile(r"aid:pubkey:\S+")
_SEGMENT = re.compile(r"\[([^\]]*)\]")
_NAME = re.compile(r"\{([^}]*)\}")


def plain(text: str, limit: int = MAX_LINE) -> str:
    """``text`` as one harmless line of at most ``limit`` characters.

    White space becomes blanks. Whatever else Unicode does not call printable is shown as an escape: controls, which can
    end a line or drive a terminal; format characters, which can show text in another order than it is written.
    """
    text = text[: limit * 2]
    if not text.isprintable():
        text = "".join(map(_harmless, text))
    return text if len(text) <= limit else text[: limit - 1] + "…"


def abridged(text: str, limit: int = MAX_LINE) -> str:
    """As :func:`plain`, but what is too long loses its middle: how it ends says as much as how it begins."""
    if len(text) > 2 * limit:
        text = text[:limit] + text[-limit:]
    shown = plain(text, len(text) * _WIDEST_ESCAPE)
    if len(shown) <= limit:
        return shown
    head = (limit - len(_LEFT_OUT)) // 2
    return shown[:head] + _LEFT_OUT + shown[head + len(_LEFT_OUT) - limit :]


def _harmless(character: str) -> str:
    if character.isprintable():
        return character
    if character.isspace() and character not in "\x1c\x1d\x1e\x1f\x85":
        return " "
    code = ord(character)
    return f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}"


def value_text(name: str, value: Any) -> str:
    """A field's value for a reader: lists joined, objects as ``key=value``, long identifiers cut, at most 160 wide."""
    if isinstance(value, str):
        text = abridged(value, MAX_ERROR) if name == "error" else plain(value, MAX_VALUE)
        return _short_id(text) if name in _LONG_IDS or _AID.fullmatch(text) else text
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, list | tuple):
        if not value:
            return "none"
        shown = ", ".join(value_text("", item) for item in islice(value, _MAX_ITEMS))
        return plain(shown + (f" and {len(value) - _MAX_ITEMS} more" if len(value) > _MAX_ITEMS else ""), MAX_VALUE)
    if isinstance(value, Mapping):
        pairs = ((plain(str(key), 40), item) for key, item in islice(value.items(), _MAX_ITEMS))
        return plain(", ".join(f"{key}={_leaf(item)}" for key, item in pairs) or "nothing", MAX_VALUE)
    return plain(_number(value), MAX_VALUE)


def _leaf(value: Any) -> str:
    return "…" if isinstance(value, Mapping | list | tuple) else value_text("", value)


def _number(value: Any) -> str:
    # Python refuses to print an integer of more than some 4,300 digits.
    if isinstance(value, int) and value.bit_length() > 128:
        return "a huge number"
    return f"{value:g}" if isinstance(value, float) else str(value)


def _short_id(text: str) -> str:
    if text.startswith("aid:pubkey:") and len(text) > 24:
        return f"{text[:17]}…{text[-4:]}"
    return f"{text[:8]}…" if len(text) >= 32 else text


def look_up(event: RunEvent, name: str) -> Any:
    """A promoted field, else a payload entry, else None.

    ``counterpart`` is the one of initiator and target who is not the agent that speaks: either side may report.
    """
    if name == "counterpart":
        sides = (event.fields.get("initiator"), event.fields.get("target"))
        return next((side for side in sides if side and side != event.fields.get("agent_id")), None)
    value = event.fields.get(name)
    return event.payload.get(name) if value is None else value


def pick(event: RunEvent, *names: str) -> str:
    """The text of the first of ``names`` that the event has, else ``""``."""
    for name in names:
        value = look_up(event, name)
        if value is not None and value != "":
            return value_text(name, value)
    return ""


def template(text: str) -> Narration:
    """Compile a template once; the result never raises, whatever the event holds."""
    pieces = [
        (piece, tuple(tuple(group.split("|")) for group in _NAME.findall(piece)), bool(position % 2))
        for position, piece in enumerate(_SEGMENT.split(text))
    ]
    compiled = [(_NAME.split(piece)[::2], groups, optional) for piece, groups, optional in pieces]

    def narrate(event: RunEvent) -> str:
        out: list[str] = []
        for texts, groups, optional in compiled:
            values = [_choose(event, group) for group in groups]
            if optional and not all(values):
                continue
            out.append(texts[0])
            for value, following in zip(values, texts[1:], strict=True):
                out += (value or _UNKNOWN, following)
        return abridged("".join(out))

    return narrate


def _choose(event: RunEvent, group: tuple[str, ...]) -> str:
    for name in group:
        value = name[1:-1] if name.startswith("'") else pick(event, name)
        if value:
            return value
    return ""


def because(opening: str) -> Narration:
    """A template followed by the reason: a refusal code put into words, then code and source in brackets."""
    begin = template(opening)

    def narrate(event: RunEvent) -> str:
        code = pick(event, "cause", "code", "reason", "refusal")
        words = REFUSALS.get(code) or pick(event, "error", "message")
        marks = ", ".join(mark for mark in (code, pick(event, "source")) if mark and mark not in words)
        reason = f"{words} ({marks})" if words and marks else words or marks
        return abridged(f"{begin(event)}: {reason}" if reason else begin(event))

    return narrate


def peers_resolved(event: RunEvent) -> str:
    """Where each peer was found, and why not where it was looked for first."""
    peers = event.get("peers")
    if not isinstance(peers, Mapping) or not peers:
        return "there are no peers to find"
    found = (f"{plain(str(agent), 80)} ({_how_found(peer)})" for agent, peer in islice(peers.items(), _MAX_ITEMS))
    return plain("peers found: " + ", ".join(found))


def _how_found(peer: Any) -> str:
    if not isinstance(peer, Mapping):
        return _UNKNOWN
    parts = (value_text("", peer[name]) for name in ("source", "reason") if name in peer)
    return ", ".join(parts) or _UNKNOWN


_DELIVERED = template("the Control Plane reported {event_type|'something'}")
_DELIVERED_FOREIGN = template(
    "the Control Plane reported {event_type|'something'} of another run[ ({foreign_count} of these so far)]"
)


def webhook_delivered(event: RunEvent) -> str:
    """A delivery, and whether it is about this run at all."""
    return (_DELIVERED_FOREIGN if event.get("foreign") is True else _DELIVERED)(event)
