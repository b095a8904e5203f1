"""The responder's sessions: whose they are, how they are found, and that nobody pushes out another's."""

from __future__ import annotations

from typing import Any

import pytest

from base.protocol.peers import Peer
from base.protocol.sessions import MAX_OPEN, PAID_FOR, SESSION_SECS, Done, Pending, SessionMap
from base.protocol.tokens import Token
from base.refusals import Refusal


class Clock:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def sessions(clock: Clock) -> SessionMap:
    return SessionMap(clock)


def peer(name: str) -> Peer:
    return Peer(name, f"aid:{name}", f"http://localhost:1/{name}/.well-known/aitp-manifest")


def opened(sessions: SessionMap, session_id: str, of: str = "a", *, introduced: bool = True) -> None:
    responder: Any = None
    look: Any = None
    pending = Pending(
        session_id, f"nonce of {session_id}", responder, peer(of), look, one_way=False, identity_type="pinned_key"
    )
    sessions.open(pending, introduced=introduced)


def refused(code: str, sessions: SessionMap, *given: Any) -> None:
    with pytest.raises(Refusal) as caught:
        sessions.take(*given)
    assert caught.value.registry_code == code


def test_session_of_another_peer_is_not_handed_out_and_stays_open(sessions: SessionMap) -> None:
    opened(sessions, "s")
    refused("INVALID_ENVELOPE", sessions, "aid:b", "s", None)
    assert sessions.take("aid:a", "s", None).session_id == "s"
    refused("INVALID_ENVELOPE", sessions, "aid:a", "s", None)


def test_without_an_id_the_nonce_says_which(sessions: SessionMap) -> None:
    opened(sessions, "one")
    opened(sessions, "two")
    refused("NONCE_MISMATCH", sessions, "aid:a", None, "something else")
    refused("NONCE_MISMATCH", sessions, "aid:a", None, None)
    assert sessions.take("aid:a", None, "nonce of one").session_id == "one"
    refused("NONCE_MISMATCH", sessions, "aid:a", None, "something else")
    assert sessions.take("aid:a", None, "nonce of two").session_id == "two", "a commit for another agent ended nothing"
    refused("INVALID_ENVELOPE", sessions, "aid:a", None, "nonce of two")


def test_a_nonce_of_another_peers_session_finds_nothing(sessions: SessionMap) -> None:
    opened(sessions, "s")
    refused("INVALID_ENVELOPE", sessions, "aid:b", None, "nonce of s")
    assert sessions.expects("aid:a")
    assert not sessions.expects("aid:b")


def test_a_hello_has_paid_for_so_many_messages_and_no_more(sessions: SessionMap) -> None:
    opened(sessions, "one")
    opened(sessions, "two")
    assert [sessions.expects("aid:a") for _ in range(2 * PAID_FOR + 2)] == [True] * 2 * PAID_FOR + [False] * 2
    assert sessions.take("aid:a", "one", None), "it is open all the same"
    opened(sessions, "three")
    assert sessions.expects("aid:a")


def test_a_session_that_took_too_long_is_over(sessions: SessionMap, clock: Clock) -> None:
    opened(sessions, "s")
    clock.now = SESSION_SECS + 1
    assert not sessions.expects("aid:a")
    refused("TIMESTAMP_EXPIRED", sessions, "aid:a", "s", None)


def test_a_peers_oldest_goes_and_nobody_elses(sessions: SessionMap) -> None:
    opened(sessions, "honest", "b")
    for number in range(MAX_OPEN + 1):
        opened(sessions, f"s{number}")
    refused("INVALID_ENVELOPE", sessions, "aid:a", "s0", None)
    assert sessions.take("aid:a", "s1", None)
    assert sessions.take("aid:b", "honest", None)


def test_strangers_share_their_places(sessions: SessionMap) -> None:
    opened(sessions, "honest", "b")
    for number in range(10 * MAX_OPEN):
        opened(sessions, f"s{number}", f"stranger-{number}", introduced=False)
    assert sessions.take("aid:b", "honest", None)
    refused("INVALID_ENVELOPE", sessions, "aid:stranger-0", "s0", None)
    last = 10 * MAX_OPEN - 1
    assert sessions.take(f"aid:stranger-{last}", f"s{last}", None)


def test_a_handshake_that_ended_can_be_undone_once_by_its_peer_for_a_minute(sessions: SessionMap, clock: Clock) -> None:
    for name in ("one", "two", "three"):
        issued = Token(tct=name, claims={"jti": f"jti of {name}"}, peer_aid="aid:a", agent_id="a")
        sessions.close(Done(name, peer("a"), issued, None), introduced=True)
    assert [sessions.knows(key, "one") for key in ("aid:a", "aid:b")] == [True, False]
    with pytest.raises(Refusal):
        sessions.undo("aid:b", "one")
    assert sessions.undo("aid:a", "one").issued.jti == "jti of one"
    assert not sessions.knows("aid:a", "one")
    assert not sessions.knows("aid:a", None)
    with pytest.raises(Refusal):
        sessions.undo("aid:a", "one")
    clock.now = SESSION_SECS + 1
    with pytest.raises(Refusal):
        sessions.undo("aid:a", "two")
