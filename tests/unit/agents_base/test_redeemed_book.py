"""A delegation is remembered as redeemed, with what it was redeemed for, as long as it could be shown again."""

from __future__ import annotations

import time

import pytest

from base.protocol.delegation_tokens import delegation_jti
from base.protocol.redeemed import Redeemed, RedeemedBook, fingerprint
from base.refusals import Fault

SOON = 4_102_444_800.0  # 2100: not over, whenever this runs


def redeem(book: RedeemedBook, delegation: str, until: float = SOON) -> Redeemed:
    book.make_room()
    redeemed = Redeemed("aid:c", "jti", until, {"tct": "a.b.c"})
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
    with pytest.raises(Fault, match="too many delegations") as caught:
        book.make_room()
    assert caught.value.status == 503
    assert book.find("h.1.s") is first


def test_signature_is_no_part_of_what_makes_a_delegation() -> None:
    assert fingerprint("h.b.one") == fingerprint("h.b.two") != fingerprint("h.c.one")


def test_answer_is_in_no_repr() -> None:
    assert "a.b.c" not in repr(redeem(RedeemedBook(), "h.b.s"))


def test_delegation_has_a_version_4_id_of_its_own() -> None:
    assert delegation_jti("h.b.s") == delegation_jti("h.b.s") != delegation_jti("h.c.s")
    assert delegation_jti("h.b.s")[14] == "4"
    assert delegation_jti("h.b.s")[19] in "89ab"
