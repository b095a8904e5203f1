"""A delegation is remembered as redeemed, with what it was redeemed for, as long as it could be shown again."""

from __future__ import annotations

import json
import time

import pytest

from base.protocol.delegation_tokens import delegation_jti
from base.protocol.redeemed import Redeemed, RedeemedBook, fingerprint
from base.refusals import Fault

SOON = 4_102_444_800.0  # 2100: not over, whenever this runs


def redeem(book: RedeemedBook, delegation: str, until: float = SOON, delegator: str = "aid:b") -> Redeemed:
    book.make_room(delegator)
    redeemed = Redeemed("aid:c", "jti", until, delegator, {"tct": "a.b.c"})
    book.record(delegation, redeemed)
    return redeemed


def test_delegation_is_found_with_what_it_was_redeemed_for() -> None:
    book = RedeemedBook()
    assert book.find("h.b.s") is None
    redeemed = redeem(book, "h.b.s")
    assert book.find("h.b.s") is redeemed
    assert book.find("h.c.s") is None


def test_full_memory_refuses_rather_than_forgets() -> None:
    book = RedeemedBook(limit=2)
    first = redeem(book, "h.1.s")
    redeem(book, "h.2.s", time.time() - 1)
    redeem(book, "h.3.s")
    with pytest.raises(Fault, match="more than 500 delegations of one agent, or 2 of all") as caught:
        book.make_room("aid:b")
    assert caught.value.status == 503
    assert book.find("h.1.s") is first


def test_one_delegator_leaves_the_others_their_room() -> None:
    book = RedeemedBook(limit=10, of_one=2)
    redeem(book, "h.1.s")
    redeem(book, "h.2.s", time.time() - 1)
    redeem(book, "h.3.s")
    with pytest.raises(Fault, match="more than 2 delegations of one agent"):
        book.make_room("aid:b")
    for number in range(2):
        redeem(book, f"h.other-{number}.s", delegator="aid:other")
    with pytest.raises(Fault):
        book.make_room("aid:other")


def test_what_is_live_is_there_after_a_restart_without_its_token() -> None:
    book, again = RedeemedBook(of_one=2), RedeemedBook(of_one=2)
    redeem(book, "h.1.s")
    redeem(book, "h.2.s", time.time() - 1)
    assert book.changes == 2
    assert "a.b.c" not in json.dumps(book.kept())
    again.restore(json.loads(json.dumps(book.kept())))
    found = again.find("h.1.s")
    assert found is not None
    assert (found.key, found.jti, found.until, found.delegator, found.answer) == ("aid:c", "jti", SOON, "aid:b", None)
    assert again.find("h.2.s") is None
    redeem(again, "h.3.s")
    with pytest.raises(Fault):
        again.make_room("aid:b")


def test_signature_is_no_part_of_what_makes_a_delegation() -> None:
    assert fingerprint("h.b.one") == fingerprint("h.b.two") != fingerprint("h.c.one")


def test_answer_is_in_no_repr() -> None:
    assert "a.b.c" not in repr(redeem(RedeemedBook(), "h.b.s"))


def test_delegation_has_a_version_4_id_of_its_own() -> None:
    assert delegation_jti("h.b.s") == delegation_jti("h.b.s") != delegation_jti("h.c.s")
    assert delegation_jti("h.b.s")[14] == "4"
    assert delegation_jti("h.b.s")[19] in "89ab"
