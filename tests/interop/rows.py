"""What a table of malformed or unusual messages is made of: one row, one thing that is out of the ordinary."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pytest

from tests.interop.foreign.agent import ForeignAgent
from tests.interop.foreign.envelopes import Envelope
from tests.interop.foreign.keys import Suite

#: Changes a message of that agent's.
Change = Callable[[ForeignAgent, Envelope], None]


def unchanged(_agent: ForeignAgent, _envelope: Envelope) -> None:
    """Nothing."""


@dataclass(frozen=True)
class Row:
    """``signed`` changes are made before the signature, ``late`` ones after it. ``codes``: any of these is right; none
    at all means that the message is taken."""

    name: str
    section: str
    sentence: str
    codes: frozenset[str]
    signed: Change = unchanged
    late: Change = unchanged
    suite: Suite = "ed25519"


def row(name: str, section: str, sentence: str, *codes: str, **how: Any) -> Row:
    return Row(name, f"RFC-AITP-{section}", sentence, frozenset(codes), **how)


def parameters(rows: list[Row]) -> list[Any]:
    """The rows as parameters, each with its requirement."""
    names = [one.name for one in rows]
    assert len(set(names)) == len(names), "two rows of one name"
    return [pytest.param(one, id=one.name, marks=pytest.mark.requirement(one.section, one.sentence)) for one in rows]


def member(**members: Any) -> Change:
    """With other top-level members; None leaves one out."""
    return _into(lambda envelope: envelope, members)


def in_payload(**members: Any) -> Change:
    return _into(lambda envelope: envelope["payload"], members)


def _into(place: Callable[[Envelope], dict[str, Any]], members: dict[str, Any]) -> Change:
    def change(_agent: ForeignAgent, envelope: Envelope) -> None:
        target = place(envelope)
        target.update(members)
        for name in [name for name, value in members.items() if value is None]:
            del target[name]

    return change
