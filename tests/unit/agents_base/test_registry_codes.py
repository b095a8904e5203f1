"""One table from a refusal to the registry's code, the same on both sides of the telemetry."""

from __future__ import annotations

import typing

import aitp_verifier
import pytest

from aitp_playground.events import codes
from aitp_playground.events.vocabulary import ANSWER_CODES, REFUSAL_CODES
from base.http.answers import told
from base.refusals import Fault, PeerFailed, RedemptionRefusal, Refusal, malformed
from base.registry_codes import OF_REDEMPTION, OF_REFUSAL, RETRYABLE, SENTENCES, RefusalCode, registered
from tests.unit.agents_base.registry import codes_of_the_verifier

WORDS: tuple[RefusalCode, ...] = typing.get_args(RefusalCode)


def test_every_refusal_has_a_code_and_every_code_a_sentence() -> None:
    assert set(OF_REFUSAL) == set(WORDS)
    assert set(OF_REDEMPTION) <= set(WORDS)
    assert {*OF_REFUSAL.values(), *OF_REDEMPTION.values(), *RETRYABLE} <= SENTENCES.keys()


def test_every_code_is_one_that_the_independent_verifier_knows_or_that_only_an_agent_can_have() -> None:
    ours = {"DELEGATION_POP_FAILED", "INSUFFICIENT_GRANTS"}
    assert SENTENCES.keys() - ours <= codes_of_the_verifier(aitp_verifier)


def test_the_service_knows_the_same_words_and_codes() -> None:
    assert codes.REGISTRY_OF == OF_REFUSAL
    assert SENTENCES.keys() == codes.REGISTRY_CODES
    assert codes.REFUSALS.keys() == OF_REFUSAL.keys() - {"handshake_refused"}
    assert set(WORDS) == REFUSAL_CODES
    assert SENTENCES.keys() <= ANSWER_CODES


@pytest.mark.parametrize("word", WORDS)
def test_a_stranger_is_told_the_code_and_its_sentence_alone(word: RefusalCode) -> None:
    refusal = Refusal(word, "something that nobody else need know", source="local", sdk_code="SOMETHING")
    code = OF_REFUSAL[word]
    assert told(refusal) == {"code": code, "message": SENTENCES[code], "retryable": code in RETRYABLE}
    refusal.disclosed = True
    assert told(refusal)["message"] == "something that nobody else need know"
    assert told(refusal)["details"] == {"reason": word, "source": "local", "sdk_code": "SOMETHING"}


def test_a_redemption_has_codes_of_its_own() -> None:
    assert RedemptionRefusal("tct_expired", "").registry_code == "DELEGATION_EXPIRED"
    assert RedemptionRefusal("replay", "").registry_code == "REPLAY_DETECTED"
    assert Refusal("tct_expired", "").registry_code == "TCT_EXPIRED"


def test_the_librarys_word_counts_where_the_registry_has_it() -> None:
    assert Refusal("handshake_refused", "", sdk_code="NONCE_MISMATCH").registry_code == "NONCE_MISMATCH"
    assert Refusal("handshake_refused", "", sdk_code="signature_invalid").registry_code == "MANIFEST_SIGNATURE_INVALID"
    assert Refusal("handshake_refused", "", sdk_code="REFUSED").registry_code == "INVALID_ENVELOPE"
    assert Refusal("tct_invalid", "", registry="TOKEN_TYP_MISMATCH").registry_code == "TOKEN_TYP_MISMATCH"
    assert [registered(word) for word in ("aid_mismatch", "nope", None)] == ["INVALID_ENVELOPE", None, None]


def test_what_is_no_refusal_has_a_code_too() -> None:
    assert malformed("").registry_code == "INVALID_ENVELOPE"
    assert Fault(413, "payload_too_large", "").registry_code == "INVALID_ENVELOPE"
    failed = PeerFailed("timeout", "", url="http://localhost:1")
    assert (failed.registry_code, told(failed)["retryable"]) == ("KEY_RESOLUTION_FAILED", True)


def test_what_came_too_late_or_found_no_room_may_be_tried_again() -> None:
    retryable = {status: told(Fault(status, "whatever", ""))["retryable"] for status in (400, 408, 413, 415, 503)}
    assert retryable == {400: False, 408: True, 413: False, 415: False, 503: True}
