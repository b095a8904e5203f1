"""Whatever JSON an agent puts into an event, its run can be compared, also in the place of an id, a key or a time."""

from __future__ import annotations

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from aitp_playground.events import vocabulary
from aitp_playground.events.model import PROMOTED
from aitp_playground.events.vocabulary import TYPES
from aitp_playground.recording.comparing import compared
from aitp_playground.recording.documents import to_lines
from aitp_playground.recording.form import NormalForm
from tests.support.made_logs import AGENTS, Event, made_log
from tests.support.odd_values import ODD

#: Names to which it matters what stands there.
NAMES = sorted(
    {
        *("jti", "cnf", "iss", "sub", "aud", "aid", "old_aid", "new_aid", "issuer", "peer", "caller", "coordinator"),
        *("parent_jti", "body", "code", "step_type", "checked", "unproven", "python_missing", "operation", "kind"),
        *("fail_mode", *PROMOTED),
        *(vocabulary.DURATIONS | vocabulary.ENDS_AT | vocabulary.GAINS | vocabulary.ISSUED_AT | vocabulary.LISTED),
        *(vocabulary.MOMENTS | vocabulary.POSITIONS | vocabulary.SHARED | vocabulary.DIGESTS),
    }
    - {"payload", "seq", "ts"}
)


def _form(*odd: Event) -> NormalForm:
    """Of a run in which these were told as well."""
    return made_log().changed(lambda events: events.__setitem__(slice(2, 2), odd)).form(volatile=True)


def _compared(a: NormalForm, b: NormalForm) -> None:
    """That this does not fail is what is tested; so that it says something, it is written as well."""
    assert compared(a, a).equal
    assert b"".join(to_lines(a))
    assert json.dumps(compared(a, b).as_dict())


@pytest.mark.parametrize("name", ODD)
def test_anything_may_stand_anywhere(name: str) -> None:
    value = ODD[name]
    everywhere = dict.fromkeys(NAMES, value)
    told: list[Event] = []
    # What is deep takes long, and no type of event is looked at otherwise for it.
    for event_type in TYPES[:: 20 if name.startswith("deep") else 1]:
        told += [
            {"type": event_type, "agent_id": AGENTS[0], "payload": everywhere},
            {"type": event_type, "agent_id": AGENTS[0], "step_id": "call", "payload": {"more": [everywhere]}},
            {"type": event_type, **everywhere, "payload": value},
        ]
    told = [event for event in told if event["type"] not in vocabulary.TERMINAL_TYPES]
    _compared(_form(*told), _form())


JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**63)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text()
    | st.sampled_from(["aid:pubkey:x", "sha256:" + "0" * 64, "2026-01-01T00:00:00Z", "http://localhost:80/x"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text() | st.sampled_from(NAMES), inner, max_size=4),
    max_leaves=20,
)
EVENTS = st.builds(
    lambda kind, step, payload: {"type": kind, "agent_id": AGENTS[0], "payload": payload, **step},
    st.sampled_from(sorted(set(TYPES) - set(vocabulary.TERMINAL_TYPES))),
    st.sampled_from([{}, {"step_id": "call"}, {"step_id": "nowhere"}]),
    st.dictionaries(st.sampled_from(NAMES), JSON),
)


@settings(deadline=None, max_examples=40)
@given(st.lists(EVENTS, max_size=3), st.lists(EVENTS, max_size=3))
def test_no_events_make_it_fail(a: list[Event], b: list[Event]) -> None:
    _compared(_form(*a), _form(*b))


def test_what_is_no_id_is_a_value_like_any_other() -> None:
    claims = {"iss": "aid:pubkey:x", "sub": "aid:pubkey:y", "jti": {"jkt": "z"}, "cnf": {"jkt": ["k"]}, "exp": 10**400}
    form = _form({"type": "handshake.complete", "agent_id": AGENTS[0], "payload": {"tcts": [claims]}})
    told = [event.fields()["payload"] for event in form.sections[0].events if event.type == "handshake.complete"]
    odd = [token for payload in told for token in payload["tcts"] if isinstance(token["jti"], dict)]
    assert [{name: token[name] for name in ("jti", "cnf", "exp")} for token in odd] == [
        {"jti": {"jkt": "z"}, "cnf": {"jkt": ["k"]}, "exp": 10**400}
    ]
