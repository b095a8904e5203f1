"""A signed list adds; neither another list nor a broken one takes away."""

from __future__ import annotations

import json
import time
import uuid
from types import SimpleNamespace
from typing import Any

import aitp
import pytest

from base.process.bootstrap import ControlPlaneConfig, RevocationConfig
from base.protocol import revocation_lists
from base.protocol.revocation import RevocationState
from base.protocol.revocation_lists import IssuerList, ListRejectedError, SignedList, read_list
from base.refusals import Refusal
from tests.integration.agents.harness import SdkPeer

#: The time at which the clock stands in the tests that stop it; lists that the SDK verifies are dated by the real one.
NOW = 1_800_000_000
DAY = 86400


def signed(*jtis: str, published_at: int = NOW, expires_at: int = NOW + DAY) -> SignedList:
    return SignedList(published_at, expires_at, frozenset(jtis))


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> SimpleNamespace:
    """A clock that stands still unless a test moves it."""
    stopped = SimpleNamespace(time=lambda: NOW, monotonic=lambda: 1000.0)
    monkeypatch.setattr(revocation_lists, "time", stopped)
    return stopped


def rejected(take: Any, *arguments: Any) -> str:
    with pytest.raises(ListRejectedError) as caught:
        take(*arguments)
    return caught.value.cause


def unknown(_jti: str) -> None:
    """No token of that id was ever seen."""


@pytest.mark.usefixtures("clock")
def test_older_list_is_refused_and_changes_nothing() -> None:
    known = IssuerList(unknown)
    known.take(signed("a", "b"), 300)
    assert rejected(known.take, signed("c", published_at=NOW - 1), 300) == "rolled_back"
    assert ("a" in known, "c" in known, len(known)) == (True, False, 2)
    known.take(signed("a", "b", "c"), 300)
    assert "c" in known


@pytest.mark.usefixtures("clock")
def test_id_that_is_listed_no_longer_stays_denied_and_is_missed_in_every_list_that_lacks_it() -> None:
    known = IssuerList(unknown)
    known.take(signed("a", "b"), 300)
    for published_at in (NOW, NOW + 1):
        assert rejected(known.take, signed("c", published_at=published_at), 300) == "entries_lost"
        assert all(jti in known for jti in ("a", "b", "c"))
        assert (known.lost, len(known)) == (2, 3)
    known.take(signed("a", "b", "c", published_at=NOW + 2), 300)
    assert (known.lost, len(known)) == (0, 3)


@pytest.mark.usefixtures("clock")
def test_id_whose_token_has_expired_may_go() -> None:
    known = IssuerList({"old": NOW - 1, "live": NOW + DAY}.get)
    known.take(signed("old", "live"), 300)
    known.take(signed("live"), 300)
    assert ("old" in known, "live" in known) == (False, True)
    assert rejected(known.take, signed(), 300) == "entries_lost"


@pytest.mark.usefixtures("clock")
def test_list_that_loses_more_than_can_be_kept_is_no_list() -> None:
    known = IssuerList(unknown, max_lost=2)
    known.take(signed("a", "b", "c"), 300)
    assert rejected(known.take, signed("d"), 300) == "entries_lost"
    assert (len(known), known.lost, "d" in known) == (3, 0, False)


@pytest.mark.parametrize(
    ("newer", "ahead", "fresh"),
    [
        (signed(published_at=NOW), 0, True),
        (signed(published_at=NOW), 290, True),
        (signed(published_at=NOW), 310, False),
        (signed(published_at=NOW - 200), 90, True),
        (signed(published_at=NOW - 200), 110, False),
        (signed(published_at=NOW + 200), 310, False),
        (signed(published_at=NOW, expires_at=NOW + 100), 110, False),
    ],
)
def test_list_is_fresh_by_its_own_date_and_not_beyond_its_end(
    clock: SimpleNamespace, newer: SignedList, ahead: float, fresh: bool
) -> None:
    known = IssuerList(unknown)
    assert not known.is_fresh
    known.take(newer, 300)
    clock.monotonic = lambda: 1000.0 + ahead
    assert known.is_fresh == fresh


def test_suspect_list_is_not_fresh(clock: SimpleNamespace) -> None:
    known = IssuerList(unknown)
    known.take(signed("a", published_at=NOW - 299), 300)
    assert known.is_fresh
    assert rejected(known.take, signed(published_at=NOW), 300) == "entries_lost"
    clock.monotonic = lambda: 1002.0
    assert not known.is_fresh


def test_what_does_not_verify_is_named() -> None:
    issuer, other, jti = SdkPeer("i"), SdkPeer("o"), str(uuid.uuid4())
    good = issuer.agent.sign_revocation_list([{"jti": jti, "reason": "lost"}])
    assert read_list(good, issuer.aid).jtis == {jti}
    assert rejected(read_list, good, other.aid) == "issuer_mismatch"
    assert rejected(read_list, good.replace("lost", "gone"), issuer.aid) == "signature_invalid"
    for text in ("", "{}", "[]", good[:-30], json.dumps(json.loads(good)["revocation_list"])):
        assert rejected(read_list, text, issuer.aid) in ("malformed", "unknown_field")
    now = int(time.time())
    late = issuer.revocation_list(published_at=now - 20, expires_at=now - 10)
    assert rejected(read_list, late, issuer.aid) == "expired"


def test_list_from_the_future_does_not_shut_out_the_lists_to_come() -> None:
    issuer, now = SdkPeer("i"), int(time.time())
    ahead = issuer.revocation_list(published_at=now + DAY, expires_at=now + 2 * DAY)
    assert rejected(read_list, ahead, issuer.aid) == "from_the_future"
    soon = issuer.revocation_list(published_at=now + 60, expires_at=now + DAY)
    assert read_list(soon, issuer.aid).published_at == now + 60


@pytest.fixture
def cp() -> SdkPeer:
    return SdkPeer("cp")


@pytest.fixture
def state(cp: SdkPeer) -> RevocationState:
    return RevocationState(RevocationConfig("fail_closed", 300, 60), ControlPlaneConfig("http://localhost:1", cp.aid))


def test_each_voice_is_told_apart(state: RevocationState, cp: SdkPeer) -> None:
    peer = SdkPeer("peer")
    local, listed, issued, child, grandchild = (str(uuid.uuid4()) for _ in range(5))
    state.revoke(local)
    state.take_list(cp.revocation_list(listed), cp.aid)
    state.take_list(peer.revocation_list(issued), peer.aid)
    state.lineage.record(child, listed, time.time() + 3600, "redeemed")
    state.lineage.record(grandchild, child, time.time() + 3600, "redeemed")
    assert state.source_of(local.upper()) == "local"
    assert state.source_of(listed) == "cp-snapshot"
    assert state.source_of(issued, peer.aid) == "issuer-list"
    assert state.source_of(child) == state.source_of(grandchild) == "lineage"
    assert state.source_of(str(uuid.uuid4()), peer.aid) is None


def test_list_of_a_peer_has_no_say_over_tokens_of_others(state: RevocationState) -> None:
    peer, other, jti = SdkPeer("peer"), SdkPeer("other"), str(uuid.uuid4())
    state.take_list(peer.revocation_list(jti), peer.aid)
    assert state.source_of(jti) is None
    assert state.source_of(jti, other.aid) is None
    assert state.deny(jti, peer.aid) == {jti}


def test_lists_never_clear_what_is_local(state: RevocationState, cp: SdkPeer) -> None:
    jti = str(uuid.uuid4())
    state.revoke(jti)
    state.take_list(cp.revocation_list(jti), cp.aid)
    assert rejected(state.take_list, cp.revocation_list(), cp.aid) == "entries_lost"
    assert state.source_of(jti) == "local"


def test_only_the_control_planes_list_opens_an_agent_that_fails_closed(state: RevocationState, cp: SdkPeer) -> None:
    peer = SdkPeer("peer")
    state.take_list(peer.revocation_list(), peer.aid)
    with pytest.raises(Refusal, match="no fresh revocation list"):
        state.require_fresh()
    assert rejected(state.take_list, peer.revocation_list(), cp.aid) == "issuer_mismatch"
    with pytest.raises(Refusal, match="no fresh revocation list"):
        state.require_fresh()
    state.take_list(cp.revocation_list(), cp.aid)
    state.require_fresh()


def test_without_a_pin_an_agent_that_fails_closed_stays_closed() -> None:
    unpinned = RevocationState(RevocationConfig("fail_closed", 300, 60), ControlPlaneConfig("http://localhost:1", None))
    with pytest.raises(Refusal, match="fails closed"):
        unpinned.require_fresh()


def test_inherited_revocation_is_on_the_agents_own_list() -> None:
    state, jti = RevocationState(RevocationConfig("soft_fail", 300, 60), None), str(uuid.uuid4())
    assert state.revoke(jti, "lost", because="lineage")
    assert not state.revoke(jti)
    owner = SdkPeer("owner")
    identity: Any = SimpleNamespace(agent=lambda: owner.agent)
    [entry] = json.loads(state.signed_list(identity))["revocation_list"]["entries"]
    assert (entry["jti"], entry["reason"], state.source_of(jti)) == (jti, "lost", "lineage")
    aitp.verify_revocation_list(state.signed_list(identity), owner.aid)
