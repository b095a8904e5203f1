"""The fold of who holds which token, on logs that agents of any kind may bring about."""

from __future__ import annotations

import itertools
from typing import Any

import pytest

from aitp_playground.events.model import RunEvent
from aitp_playground.events.trust import TYPES, TrustFold

READY = [("agent.ready", {"agent_id": name, "aid": f"aid:{name[0]}"}) for name in ("writer", "reader")]
CLAIMS = {"iss": "aid:w", "sub": "aid:r", "jti": "J-1", "grants": ["write"], "exp": 100.0}
OF_TOKEN = {"jti": "J-1", "issuer": "writer", "holder": "reader", "grants": ["write"], "exp": 100.0}
ISSUED = ("handshake.answered", {"agent_id": "writer", "payload": {"tcts": [CLAIMS]}})
ODD = [None, 5, True, "x", [], {}, [[]], [5], {"claims": 5}, {"claims": {}}, [CLAIMS | {"grants": "write"}], ["\ud800"]]

Said = tuple[str, dict[str, Any]]


def changes(*said: Said) -> list[dict[str, Any]]:
    fold = TrustFold()
    events = [
        RunEvent(seq=seq, id=f"id-{seq}", type=event_type, ts=float(seq), run_id="run", fields=fields)
        for seq, (event_type, fields) in enumerate(said, 1)
    ]
    return [change.as_dict() for event in events for change in fold.apply(event)]


def test_both_sides_of_a_handshake_write_their_own() -> None:
    back = {"iss": "aid:r", "sub": "aid:w", "jti": "J-2", "grants": [], "exp": 50}
    told = changes(
        *READY,
        ("handshake.answered", {"agent_id": "writer", "payload": {"tcts": [CLAIMS, back]}}),
        ("handshake.complete", {"agent_id": "reader", "payload": {"tcts": [CLAIMS]}}),
    )
    of_back = {"jti": "J-2", "issuer": "reader", "holder": "writer", "grants": [], "exp": 50}
    assert told == [
        {"seq": 3, "ts": 3.0, "op": "issued", "agent": "writer", "how": "handshake", **OF_TOKEN},
        {"seq": 3, "ts": 3.0, "op": "held", "agent": "writer", "how": "handshake", **of_back},
        {"seq": 4, "ts": 4.0, "op": "held", "agent": "reader", "how": "handshake", **OF_TOKEN},
    ]


def test_what_names_a_token_by_its_id_tells_all_of_it() -> None:
    told = changes(
        *READY,
        ISSUED,
        ("tct.revoked", {"agent_id": "writer", "jti": "j-1", "payload": {"reason": "why"}}),
        ("revocation.list_fetched", {"agent_id": "reader", "payload": {"issuer": "aid:w", "denied": ["j-1"]}}),
        ("tct.dropped", {"agent_id": "reader", "aid": "aid:w", "jti": "J-1", "payload": {"side": "held"}}),
    )
    assert told[1:] == [
        {"seq": 4, "ts": 4.0, "op": "revoked", "agent": "writer", "because": "why", **OF_TOKEN},
        {"seq": 5, "ts": 5.0, "op": "denied", "agent": "reader", **OF_TOKEN},
        {"seq": 6, "ts": 6.0, "op": "dropped", "agent": "reader", "side": "held", **OF_TOKEN},
    ]


def test_an_id_is_its_issuers_own() -> None:
    other = {"iss": "aid:r", "sub": "aid:w", "jti": "J-1", "grants": ["read"], "exp": 1}
    told = changes(
        *READY,
        ISSUED,
        ("handshake.answered", {"agent_id": "reader", "payload": {"tcts": [other]}}),
        ("tct.revoked", {"agent_id": "writer", "jti": "J-1"}),
        ("tct.revoked", {"agent_id": "reader", "jti": "J-1"}),
    )
    assert [change["grants"] for change in told[2:]] == [["write"], ["read"]]


def test_a_new_key_has_the_name_of_the_old_one_and_a_stranger_its_own() -> None:
    fresh = CLAIMS | {"iss": "aid:w2", "sub": "aid:somebody"}
    told = changes(
        *READY,
        ("identity.key.rotated", {"agent": "writer", "aid": "aid:w2"}),
        ("handshake.answered", {"agent_id": "writer", "payload": {"tcts": [fresh]}}),
    )
    assert told[0] == {"seq": 3, "ts": 3.0, "op": "rotated", "agent": "writer", "aid": "aid:w2"}
    assert (told[1]["issuer"], told[1]["holder"]) == ("writer", "aid:somebody")


def test_what_is_made_of_another_says_so() -> None:
    payload = {"tct": {"claims": CLAIMS}, "parent_jti": "J-0", "how": "redeemed"}
    told = changes(
        *READY,
        *((name, {"agent_id": "writer", "payload": payload}) for name in ("delegation.redeemed", "tct.renewal.issued")),
        ("tct.received", {"agent_id": "reader", "payload": payload}),
        ("tct.received", {"agent_id": "reader", "payload": payload | {"how": "renewed"}}),
    )
    assert [(change["op"], change["how"], change["parent"]) for change in told] == [
        ("issued", "redeemed", "J-0"),
        ("issued", "renewed", "J-0"),
        ("held", "redeemed", "J-0"),
        ("held", "renewed", "J-0"),
    ]


@pytest.mark.parametrize("event_type", sorted(TYPES))
def test_what_an_agent_says_of_any_shape_costs_itself_alone(event_type: str) -> None:
    top = ("agent_id", "agent", "aid", "jti")
    inside = ("tcts", "tct", "parent_jti", "how", "side", "because", "reason", "issuer", "denied")
    whole = {"agent_id": "writer", "agent": "writer", "aid": "aid:w", "jti": "J-1"}
    known = {"tcts": [CLAIMS], "tct": {"claims": CLAIMS}, "side": "held", "issuer": "aid:w", "denied": ["J-1"]}
    for odd, name in itertools.product(ODD, (*top, *inside, "payload")):
        fields: dict[str, Any] = whole | {"payload": known}
        if name in inside:
            fields["payload"] = known | {name: odd}
        else:
            fields[name] = odd
        told = changes(*READY, (event_type, fields), ISSUED)
        assert told[-1]["op"] == "issued"
        for change in told:
            assert isinstance(change["agent"], str)
            texts = ("jti", "issuer", "holder", "parent", "because", "aid")
            assert all(isinstance(change.get(part, ""), str) for part in texts)
    for name, odd in itertools.product(CLAIMS, (*ODD, 10**400)):
        claims = CLAIMS | {name: odd}
        told = changes(*READY, (event_type, whole | {"payload": {"tcts": [claims], "tct": {"claims": claims}}}), ISSUED)
        assert told[-1]["op"] == "issued"
