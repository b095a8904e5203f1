"""The door: in which order an envelope is looked at, and what is remembered of it."""

from __future__ import annotations

import json
import time
from typing import Any

import aitp
import pytest

from base.protocol import envelopes
from base.protocol.budgets import ALL_STRANGERS, PER_PEER, PER_STRANGER
from base.protocol.envelopes import MAX_PARTS, Door, EnvelopeGuard, SeenIds, read_envelope
from base.protocol.peers import Peer, PeerBook
from base.refusals import Fault, Flooded, Refusal

ERROR = frozenset({"error"})
ID = "0b8f7c3e-3f43-4a58-9a1e-1f2d3c4b5a69"


class Clock:
    """Stands in for the ``time`` module of the module under test."""

    def __init__(self) -> None:
        self.ahead = 0.0

    def monotonic(self) -> float:
        return time.monotonic() + self.ahead

    def time(self) -> float:
        return time.time()


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(envelopes, "time", clock)
    return clock


def envelope(agent: Any, **given: Any) -> str:
    signed: str = agent.sign_envelope("error", "{}", **given)
    return signed


def check(guard: EnvelopeGuard, raw: str, owner: str = "owner", kinds: frozenset[str] = ERROR) -> None:
    guard.check(read_envelope(raw), kinds, owner)


def refused(code: str, guard: EnvelopeGuard, raw: str, **given: Any) -> None:
    with pytest.raises(Refusal) as caught:
        check(guard, raw, **given)
    assert caught.value.registry_code == code


def broken(raw: str, **changes: Any) -> str:
    return json.dumps(json.loads(raw) | changes)


@pytest.fixture
def agent() -> aitp.AitpAgent:
    return aitp.AitpAgent.generate()


def test_message_id_is_remembered_for_as_long_as_a_copy_is_fresh(clock: Clock, agent: aitp.AitpAgent) -> None:
    guard, raw = EnvelopeGuard(), envelope(agent)
    check(guard, raw)
    clock.ahead = 599.0
    refused("REPLAY_DETECTED", guard, raw)


def test_a_copy_in_other_letters_or_another_spelling_of_its_key_is_a_copy(agent: aitp.AitpAgent) -> None:
    guard, raw = EnvelopeGuard(), envelope(agent)
    check(guard, raw)
    message = json.loads(raw)
    refused("REPLAY_DETECTED", guard, json.dumps(message, indent=2, sort_keys=True))
    refused("REPLAY_DETECTED", guard, broken(raw, message_id=message["message_id"].upper()))
    tagged = "aid:pubkey:ed25519:" + agent.aid.rpartition(":")[2]
    refused("REPLAY_DETECTED", guard, broken(raw, sender={"agent_id": tagged}))


def test_same_message_id_of_another_sender_is_another_message() -> None:
    guard = EnvelopeGuard()
    for agent in (aitp.AitpAgent.generate(), aitp.AitpAgent.generate()):
        check(guard, envelope(agent, message_id=ID), owner=agent.aid)


def test_the_order_is_copy_time_type_signature(agent: aitp.AitpAgent) -> None:
    guard = EnvelopeGuard()
    old = envelope(agent, timestamp=int(time.time()) - 301)
    refused("TIMESTAMP_EXPIRED", guard, broken(old, signature="A" * 86), kinds=frozenset())
    raw = envelope(agent)
    refused("INVALID_ENVELOPE", guard, broken(raw, signature="A" * 86), kinds=frozenset({"mutual_hello"}))
    refused("INVALID_SIGNATURE", guard, broken(raw, signature="A" * 86))
    check(guard, raw)
    refused("REPLAY_DETECTED", guard, broken(raw, signature="A" * 86, timestamp=1))


@pytest.mark.parametrize(
    "changes",
    [
        {"message_id": None},
        {"message_id": 7},
        {"message_type": None},
        {"timestamp": "1"},
        {"timestamp": True},
        {"timestamp": 1.5},
        {"sender": "aid"},
        {"sender": {}},
    ],
)
def test_what_is_no_envelope_is_malformed(agent: aitp.AitpAgent, changes: dict[str, Any]) -> None:
    with pytest.raises(Fault) as caught:
        read_envelope(broken(envelope(agent), **changes))
    assert (caught.value.status, caught.value.registry_code) == (400, "INVALID_ENVELOPE")


def test_message_of_too_many_parts_is_not_even_parsed(agent: aitp.AitpAgent) -> None:
    most = agent.sign_envelope("error", json.dumps({"a": [1] * (MAX_PARTS - 10)}))
    check(EnvelopeGuard(), most)
    with pytest.raises(Fault, match="more than 2000 parts"):
        read_envelope(agent.sign_envelope("error", json.dumps({"a": [1] * (MAX_PARTS + 10)})))
    nested: Any = []
    for _ in range(60):
        nested = [nested]
    with pytest.raises(Fault, match="more than 2000 parts"):
        read_envelope(agent.sign_envelope("error", json.dumps({"a": [nested] * (MAX_PARTS // 60)})))


def test_full_memory_refuses_rather_than_forgets(clock: Clock) -> None:
    seen = SeenIds(limit=2)
    for name in ("one", "two"):
        seen.add(("aid", name))
    with pytest.raises(Flooded):
        seen.add(("aid", "three"))
    assert ("aid", "one") in seen
    clock.ahead = 601.0
    assert ("aid", "one") not in seen
    seen.add(("aid", "three"))


def peer(agent: aitp.AitpAgent) -> Peer:
    return Peer("known", agent.aid, "http://localhost:1/.well-known/aitp-manifest")


def test_strangers_cannot_use_up_what_an_introduced_peer_has(agent: aitp.AitpAgent) -> None:
    book = PeerBook()
    book.replace([peer(agent)])
    door = Door(book)
    strangers = 0
    for _ in range(10 * ALL_STRANGERS):
        try:
            door.let_in(read_envelope(envelope(aitp.AitpAgent.generate())), ERROR)
            strangers += 1
        except Flooded:
            continue
    assert strangers == ALL_STRANGERS
    for _ in range(3 * PER_PEER):
        with pytest.raises(Flooded):
            door.let_in(read_envelope(broken(envelope(agent), signature="A" * 86)), ERROR)
    door.let_in(read_envelope(envelope(agent)), ERROR)


def told(door: Door, raw: str) -> str:
    try:
        door.let_in(read_envelope(raw), ERROR)
    except Flooded:
        return "flooded"
    except Refusal as refusal:
        return refusal.registry_code
    return "in"


@pytest.mark.parametrize(
    "changes", [{"signature": "A" * 86}, {"timestamp": 1}, {"message_type": "mutual_hello"}], ids=str
)
def test_who_only_writes_a_name_is_answered_alike_whether_it_is_known_here_or_not(
    agent: aitp.AitpAgent, changes: dict[str, Any]
) -> None:
    answers = []
    for known in ([peer(agent)], []):
        book = PeerBook()
        book.replace(known)
        door = Door(book)
        own = [told(door, broken(envelope(agent), **changes)) for _ in range(PER_STRANGER + 2)]
        others = [told(door, envelope(aitp.AitpAgent.generate())) for _ in range(ALL_STRANGERS)]
        answers.append([*own, *others])
    assert answers[0] == answers[1]
    assert answers[0].count("flooded") == 2 + PER_STRANGER, "forgeries are within the budget of all strangers"


def test_a_copy_is_a_copy_after_its_sender_was_introduced_and_after_it_is_forgotten(agent: aitp.AitpAgent) -> None:
    book = PeerBook()
    door = Door(book)
    first, second = envelope(agent), envelope(agent)
    assert told(door, first) == "in"
    book.replace([peer(agent)])
    assert [told(door, first), told(door, second)] == ["REPLAY_DETECTED", "in"]
    book.replace([])
    assert [told(door, first), told(door, second)] == ["REPLAY_DETECTED", "REPLAY_DETECTED"]


def test_an_introduced_peer_has_an_end_too(agent: aitp.AitpAgent) -> None:
    book = PeerBook()
    book.replace([peer(agent)])
    now = [0.0]
    door = Door(book, clock=lambda: now[0])
    for _ in range(PER_PEER):
        door.let_in(read_envelope(envelope(agent)), ERROR)
    late = envelope(agent)
    with pytest.raises(Flooded):
        door.let_in(read_envelope(late), ERROR)
    now[0] = 1.0
    door.let_in(read_envelope(late), ERROR)


def test_a_stranger_that_is_expected_pays_nothing(agent: aitp.AitpAgent) -> None:
    door = Door(PeerBook())
    for _ in range(2 * ALL_STRANGERS):
        door.let_in(read_envelope(envelope(agent)), ERROR, expected=True)
