"""A delegation is remembered as redeemed for as long as it could be shown again, and not when it was not."""

from __future__ import annotations

import time

import pytest

from base.protocol.redemption import RedeemedBook, delegation_jti, fingerprint
from base.refusals import Fault, Refusal

SOON = 4_102_444_800.0  # 2100: not over, whenever this runs


def redeem(book: RedeemedBook, delegation: str, expires_at: float = SOON) -> None:
    with book.claim(delegation) as outcome:
        outcome["expires_at"] = expires_at


def test_failed_redemption_leaves_the_delegation_good() -> None:
    book = RedeemedBook()
    with pytest.raises(ValueError, match="no such luck"), book.claim("h.b.s"):
        raise ValueError("no such luck")
    redeem(book, "h.b.s")
    with pytest.raises(Refusal, match="redeemed before"):
        redeem(book, "h.b.s")


def test_second_redemption_is_refused_while_the_first_is_under_way() -> None:
    book = RedeemedBook()
    with book.claim("h.b.s"), pytest.raises(Refusal, match="redeemed before"):
        redeem(book, "h.b.s")


def test_full_memory_refuses_rather_than_forgets() -> None:
    book = RedeemedBook(limit=2)
    redeem(book, "h.1.s")
    redeem(book, "h.2.s", time.time() - 1)
    redeem(book, "h.3.s")
    with pytest.raises(Fault, match="too many delegations") as caught:
        redeem(book, "h.4.s")
    assert caught.value.status == 503
    with pytest.raises(Refusal, match="redeemed before"):
        redeem(book, "h.1.s")


def test_signature_is_no_part_of_what_makes_a_delegation() -> None:
    assert fingerprint("h.b.one") == fingerprint("h.b.two") != fingerprint("h.c.one")


def test_delegation_has_a_version_4_id_of_its_own() -> None:
    assert delegation_jti("h.b.s") == delegation_jti("h.b.s") != delegation_jti("h.c.s")
    assert delegation_jti("h.b.s")[14] == "4"
    assert delegation_jti("h.b.s")[19] in "89ab"
