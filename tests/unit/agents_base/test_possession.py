"""Challenges: each good once, for a minute, for one token; and nobody's many push out another's one."""

from __future__ import annotations

import json
import time

import aitp
import pytest

from base.protocol.possession import ChallengeBook, Proof, read_challenge, read_proof, stand_in, verify_proof
from base.refusals import Refusal

GONE, NEVER = "POP_CHALLENGE_INVALID", "POP_RESPONSE_INVALID"


class Clock:
    def __init__(self) -> None:
        self.now = 1_000.0

    def __call__(self) -> float:
        return self.now


def challenge(nonce: str) -> str:
    return json.dumps({"nonce": nonce})


def refused(book: ChallengeBook, nonce: str, token: str = "token") -> str:
    with pytest.raises(Refusal) as caught:
        book.take(nonce, token)
    assert caught.value.code == "pop_invalid"
    return caught.value.registry_code


def test_challenge_is_good_once_and_said_to_be_used_the_second_time() -> None:
    book = ChallengeBook()
    book.add(challenge("n"), "token", "aid:a")
    assert book.take("n", "token") == challenge("n")
    assert refused(book, "n") == GONE


def test_invented_challenge_is_told_from_one_that_is_over() -> None:
    assert refused(ChallengeBook(), "made up") == NEVER


def test_challenge_is_good_for_its_own_token_only_and_spent_by_the_attempt() -> None:
    book = ChallengeBook()
    book.add(challenge("n"), "token", "aid:a")
    assert refused(book, "n", "other") == NEVER
    assert refused(book, "n") == GONE


def test_challenge_runs_out_after_a_minute_and_is_forgotten_after_another() -> None:
    clock = Clock()
    book = ChallengeBook(clock=clock)
    for nonce in ("early", "late"):
        book.add(challenge(nonce), "token", "aid:a")
    clock.now += 59.9
    assert book.take("early", "token")
    clock.now += 0.1
    assert refused(book, "late") == GONE
    book.add(challenge("left"), "token", None)
    clock.now += 120.0
    book.add(challenge("new"), "token", None)
    assert len(book) == 1
    assert refused(book, "left") == NEVER


def test_strangers_push_out_each_other_and_nobody_else() -> None:
    book = ChallengeBook(limit=2, for_others=2)
    book.add(challenge("honest"), "token", "aid:a")
    for n in range(10):
        book.add(challenge(str(n)), "token", None)
    assert len(book) == 3
    assert book.take("honest", "token")
    assert refused(book, "7") == NEVER
    assert [book.take(nonce, "token") for nonce in ("8", "9")]


def test_holder_that_asks_for_many_pushes_out_its_own() -> None:
    book = ChallengeBook(limit=4)
    book.add(challenge("honest"), "token", "aid:pubkey:a")
    for n in range(20):
        book.add(challenge(f"greedy {n}"), "other", "aid:pubkey:b")
    book.add(challenge("honest too"), "token", "aid:pubkey:ed25519:a")
    assert len(book) == 4
    assert book.take("honest", "token")
    assert book.take("honest too", "token")
    assert book.take("greedy 19", "other")


@pytest.fixture(params=["ed25519", "p256"])
def holder(request: pytest.FixtureRequest) -> aitp.AitpAgent:
    return aitp.AitpAgent.generate(request.param)


JTI = "5f6f3a52-9d5f-4f3a-8a59-0c8f3a529d5f"
NONCE = "AAECAwQFBgcICQoLDA0ODw"


def given(**changes: object) -> str:
    return json.dumps({"tct_jti": JTI, "nonce": NONCE, "expires_at": int(time.time()) + 60} | changes)


def test_proof_is_verified_before_there_is_a_token(holder: aitp.AitpAgent) -> None:
    owner, thief = aitp.AitpAgent.generate(), aitp.AitpAgent.generate()
    token = stand_in(holder.aid, owner.aid, JTI)
    assert verify_proof(given(), read_proof(holder.sign_pop_response(given())), token) == holder.aid
    for response in (
        thief.sign_pop_response(given()),
        holder.sign_pop_response(given(nonce=NONCE[::-1].replace("w", "A"))),
        holder.sign_pop_response(given(tct_jti=JTI.replace("5f6f", "6f5f"))),
    ):
        with pytest.raises(Refusal) as caught:
            verify_proof(given(), read_proof(response), token)
        assert caught.value.registry_code == NEVER


def test_envelope_around_a_proof_is_the_holders_own_and_fresh(holder: aitp.AitpAgent) -> None:
    token = stand_in(holder.aid, aitp.AitpAgent.generate().aid, JTI)
    response, thief = holder.sign_pop_response(given()), aitp.AitpAgent.generate()
    assert verify_proof(given(), read_proof(holder.sign_envelope("pop_response", response)), token) == holder.aid

    def code(envelope: str) -> str:
        with pytest.raises(Refusal) as caught:
            verify_proof(given(), read_proof(envelope), token)
        return caught.value.registry_code

    assert code(thief.sign_envelope("pop_response", response)) == NEVER
    assert code(thief.sign_envelope("pop_response", response).replace(thief.aid, holder.aid)) == NEVER
    assert code(holder.sign_envelope("pop_challenge", response)) == NEVER
    long_ago = int(time.time()) - 400
    assert code(holder.sign_envelope("pop_response", response, timestamp=long_ago)) == "TIMESTAMP_EXPIRED"


@pytest.mark.parametrize("text", ["", "[]", "5", "{}", '{"nonce_echo": 5}', "[" * 5_000, '{"message_type": "x"}'])
def test_what_is_no_proof_is_refused_as_one(text: str) -> None:
    with pytest.raises(Refusal) as caught:
        read_proof(text)
    assert caught.value.registry_code == NEVER


def test_bare_proof_keeps_its_text() -> None:
    response = aitp.AitpAgent.generate().sign_pop_response(given())
    assert read_proof(response) == Proof(json.dumps(json.loads(response)), NONCE, None)


def test_challenge_is_read_in_either_form_and_an_envelope_only_from_the_peer() -> None:
    peer, other = aitp.AitpAgent.generate(), aitp.AitpAgent.generate()
    bare, signed = (
        read_challenge(given(), peer.aid),
        read_challenge(peer.sign_envelope("pop_challenge", given()), peer.aid),
    )
    assert (bare.bare, signed.bare, bare.payload["nonce"], signed.payload["nonce"]) == (True, False, NONCE, NONCE)
    for text in (
        other.sign_envelope("pop_challenge", given()),
        other.sign_envelope("pop_challenge", given()).replace(other.aid, peer.aid),
        peer.sign_envelope("pop_response", given()),
        peer.sign_envelope("pop_challenge", given(), timestamp=int(time.time()) + 400),
        '{"message_type": "pop_challenge"}',
        "[]",
        "{",
    ):
        with pytest.raises(Refusal):
            read_challenge(text, peer.aid)
