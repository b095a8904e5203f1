"""What falls with a token that is revoked."""

from __future__ import annotations

import time

import pytest

from base.protocol.lineage import Lineage
from base.refusals import Fault

SOON = 4_102_444_800.0  # 2100: not over, whenever this runs


@pytest.fixture
def lineage() -> Lineage:
    """root -renewed-> next -redeemed-> sub -redeemed-> last, and root -redeemed-> side."""
    lineage = Lineage()
    lineage.record("next", "root", SOON, "renewed")
    lineage.record("sub", "next", SOON, "redeemed")
    lineage.record("last", "sub", SOON, "redeemed")
    lineage.record("side", "root", SOON, "redeemed")
    return lineage


def test_ancestors_come_nearest_first_in_any_spelling(lineage: Lineage) -> None:
    assert list(lineage.ancestors("LAST")) == ["sub", "next", "root"]
    assert list(lineage.ancestors("root")) == []


def test_hops_are_redemptions_and_a_renewal_is_none(lineage: Lineage) -> None:
    assert [lineage.hops(jti) for jti in ("root", "next", "sub", "LAST", "side", "unknown")] == [0, 0, 1, 2, 1, 0]


def test_family_is_what_was_renewed_before_and_all_that_came_out_of_it(lineage: Lineage) -> None:
    assert sorted(lineage.family("next")) == ["last", "root", "side", "sub"]
    assert sorted(lineage.family("root")) == ["last", "next", "side", "sub"]


def test_family_of_a_redeemed_token_leaves_the_delegator_out(lineage: Lineage) -> None:
    assert lineage.family("sub") == ["last"]
    assert lineage.family("last") == []


def test_no_token_is_minted_whose_origin_could_not_be_kept() -> None:
    lineage = Lineage(limit=1)
    lineage.make_room()
    lineage.record("a", "root", SOON, "redeemed")
    with pytest.raises(Fault, match="too many live tokens") as caught:
        lineage.make_room()
    assert caught.value.status == 503
    assert list(lineage.ancestors("a")) == ["root"]


def test_expired_branch_makes_room_and_one_with_a_living_end_is_kept_whole() -> None:
    lineage = Lineage(limit=3)
    past = time.time() - 1
    lineage.record("dead", "root", past, "redeemed")
    lineage.record("old", "root", past, "renewed")
    lineage.record("live", "old", SOON, "renewed")
    lineage.make_room()
    assert list(lineage.ancestors("dead")) == []
    assert list(lineage.ancestors("live")) == ["old", "root"]
    assert lineage.family("root") == ["old", "live"]
