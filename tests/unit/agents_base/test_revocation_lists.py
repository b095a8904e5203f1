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
from base.protocol import revocation, revocation_lists
from base.protocol.list_fetching import MAX_PEER_LIST
from base.protocol.revocation import RevocationState
from base.protocol.revocation_lists import IssuerList, ListRejectedError, SignedList, read_list
from base.protocol.tokens import Token, TokenBook
from base.refusals import Fault, Refusal
from tests.integration.agents.harness import SdkPeer

#: The time at which the clock stands in the tests that stop it; lists that the SDK verifies are dated by the real one.
NOW = 1_800_000_000
DAY = 86400


def signed(*jtis: str, published_at: int = NOW, expires_at: int = NOW + DAY, revoked_at: float = NOW) -> SignedList:
    return SignedList(published_at, expires_at, dict.fromkeys(jtis, revoked_at))


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> SimpleNamespace:
    """A clock that stands still unless a test moves it."""
    stopped = SimpleNamespace(time=lambda: NOW, monotonic=lambda: 1000.0)
    monkeypatch.setattr(revocation_lists, "time", stopped)
    return stopped


def at(clock: SimpleNamespace, later: float) -> None:
    clock.time, clock.monotonic = lambda: NOW + later, lambda: 1000.0 + later


def rejected(take: Any, *arguments: Any) -> str:
    with pytest.raises(ListRejectedError) as caught:
        take(*arguments)
    return caught.value.cause


def nothing() -> dict[str, float]:
    """No token was ever seen."""
    return {}


def live(*jtis: str) -> Any:
    """Tokens that this agent knows, with a day to go."""
    return lambda: dict.fromkeys(jtis, NOW + DAY)


@pytest.mark.usefixtures("clock")
def test_older_list_is_refused_and_changes_nothing() -> None:
    known = IssuerList(nothing)
    known.take(signed("a", "b"), 300)
    assert rejected(known.take, signed("c", published_at=NOW - 1), 300) == "rolled_back"
    assert ("a" in known, "c" in known, len(known)) == (True, False, 2)
    known.take(signed("a", "b", "c"), 300)
    assert "c" in known


@pytest.mark.usefixtures("clock")
def test_live_token_that_is_listed_no_longer_stays_denied_and_is_missed_in_every_list_that_lacks_it() -> None:
    known = IssuerList(live("a", "b"))
    known.take(signed("a", "b"), 300)
    for published_at in (NOW, NOW + 1):
        assert rejected(known.take, signed("c", published_at=published_at), 300) == "entries_lost"
        assert all(jti in known for jti in ("a", "b", "c"))
        assert (known.lost, len(known)) == (2, 3)
    known.take(signed("a", "b", "c", published_at=NOW + 2), 300)
    assert (known.lost, len(known)) == (0, 3)


@pytest.mark.usefixtures("clock")
def test_id_whose_token_has_expired_may_go() -> None:
    known = IssuerList(lambda: {"old": NOW - 1, "live": NOW + DAY})
    known.take(signed("old", "live"), 300)
    known.take(signed("live"), 300)
    assert ("old" in known, "live" in known) == (False, True)
    assert rejected(known.take, signed(), 300) == "entries_lost"


def test_id_of_a_token_that_was_never_seen_here_may_go_and_stays_denied_while_it_may_live(
    clock: SimpleNamespace,
) -> None:
    known = IssuerList(nothing, doubt_empty=True)
    known.take(signed("pruned", "kept"), 300)
    for hours in (1, 23.9, 24):
        at(clock, hours * 3600)
        known.take(signed("kept", published_at=NOW + 1), 300)
        assert "pruned" in known
    at(clock, DAY + revocation_lists.CLOCK_SKEW + 1)
    known.take(signed("kept", published_at=NOW + 1), 300)
    assert ("pruned" in known, "kept" in known, known.lost) == (False, True, 0)


def test_list_that_merely_forgets_what_has_expired_stays_fresh(clock: SimpleNamespace) -> None:
    long_ago = NOW - DAY - revocation_lists.CLOCK_SKEW - 1
    known = IssuerList(nothing, doubt_empty=True)
    known.take(signed("expired", published_at=NOW - 299, revoked_at=long_ago), 300)
    known.take(signed(), 300)
    assert ("expired" in known, len(known)) == (False, 0)
    at(clock, 299)
    assert known.is_fresh


def test_empty_list_is_doubted_as_long_as_a_token_may_live_that_was_on_the_one_before(clock: SimpleNamespace) -> None:
    known = IssuerList(nothing, doubt_empty=True)
    known.take(signed("a", published_at=NOW - 299), 300)
    assert rejected(known.take, signed(), 300) == "entries_lost"
    at(clock, 2)
    assert ("a" in known, known.is_fresh) == (True, False)
    at(clock, DAY)
    assert rejected(known.take, signed(published_at=NOW + DAY), 300) == "entries_lost"
    at(clock, DAY + revocation_lists.CLOCK_SKEW + 1)
    known.take(signed(published_at=NOW + DAY + 300, expires_at=NOW + 2 * DAY), 300)
    assert ("a" in known, known.is_fresh) == (False, True)


def test_doubt_about_an_empty_list_ends_with_an_entry_that_was_read(clock: SimpleNamespace) -> None:
    known = IssuerList(nothing, doubt_empty=True)
    known.take(signed("a"), 300)
    assert rejected(known.take, signed(), 300) == "entries_lost"
    at(clock, 1000)
    assert not known.is_fresh
    known.take(signed("new", published_at=NOW + 1000), 300)
    assert (known.is_fresh, "a" in known) == (True, True)


@pytest.mark.usefixtures("clock")
def test_peer_that_has_nothing_listed_any_more_is_believed_but_for_a_token_that_is_known_here() -> None:
    forgetful = IssuerList(nothing)
    forgetful.take(signed("a"), 300)
    forgetful.take(signed(), 300)
    assert (forgetful.is_fresh, "a" in forgetful) == (True, True)
    suspect = IssuerList(live("a"))
    suspect.take(signed("a"), 300)
    assert rejected(suspect.take, signed(), 300) == "entries_lost"


def test_date_of_a_revocation_that_lies_ahead_ends_no_doubt_later(clock: SimpleNamespace) -> None:
    known = IssuerList(nothing)
    known.take(signed("a", revoked_at=NOW + 100 * DAY), 300)
    known.take(signed(), 300)
    assert "a" in known
    at(clock, DAY + revocation_lists.CLOCK_SKEW + 1)
    known.take(signed(published_at=NOW + DAY), 300)
    assert "a" not in known


@pytest.mark.usefixtures("clock")
def test_list_that_loses_more_than_can_be_kept_is_no_list() -> None:
    known = IssuerList(nothing, max_lost=2)
    known.take(signed("a", "b", "c"), 300)
    assert rejected(known.take, signed("d"), 300) == "entries_lost"
    assert (len(known), known.lost, "d" in known) == (3, 0, False)


def test_list_is_recent_for_as_long_as_is_asked_and_not_beyond_its_end(clock: SimpleNamespace) -> None:
    known = IssuerList(nothing)
    assert not known.is_recent(60)
    known.take(signed(published_at=NOW - 5000, expires_at=NOW + 30), 300)
    for later, recent in ((20, True), (31, False)):
        at(clock, later)
        assert (known.is_recent(60), known.is_recent(10)) == (recent, False)


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
    known = IssuerList(nothing)
    assert not known.is_fresh
    known.take(newer, 300)
    clock.monotonic = lambda: 1000.0 + ahead
    assert known.is_fresh == fresh


def test_suspect_list_is_not_fresh(clock: SimpleNamespace) -> None:
    known = IssuerList(live("a"))
    known.take(signed("a", published_at=NOW - 299), 300)
    assert known.is_fresh
    assert rejected(known.take, signed(published_at=NOW), 300) == "entries_lost"
    clock.monotonic = lambda: 1002.0
    assert not known.is_fresh


def test_what_does_not_verify_is_named() -> None:
    issuer, other, jti = SdkPeer("i"), SdkPeer("o"), str(uuid.uuid4())
    good = issuer.agent.sign_revocation_list([{"jti": jti, "reason": "lost"}])
    assert read_list(good, issuer.aid).entries.keys() == {jti}
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


def test_id_that_a_peer_chose_makes_no_list_of_others_suspect(cp: SdkPeer) -> None:
    """What the Control Plane leaves out is missed only if this agent issued it; what a peer does, if it is that
    peer's."""
    book, mallory, bob = TokenBook(), SdkPeer("mallory"), SdkPeer("bob")
    config = RevocationConfig("fail_closed", 300, 60)
    state = RevocationState(config, ControlPlaneConfig("http://localhost:1", cp.aid), book)
    jti, another, own = (str(uuid.uuid4()) for _ in range(3))
    book.held.add(token(jti, mallory.aid))
    state.take_list(cp.revocation_list(jti, another), cp.aid)
    state.take_list(cp.revocation_list(another), cp.aid)
    state.take_list(bob.revocation_list(jti, another), bob.aid)
    state.take_list(bob.revocation_list(another), bob.aid)
    state.take_list(mallory.revocation_list(jti), mallory.aid)
    assert rejected(state.take_list, mallory.revocation_list(), mallory.aid) == "entries_lost"
    book.issued.add(token(own, bob.aid))
    state.take_list(cp.revocation_list(own, another), cp.aid)
    assert rejected(state.take_list, cp.revocation_list(another), cp.aid) == "entries_lost"
    assert state.source_of(jti) == "cp-snapshot", "what was listed once stays denied"


def test_entry_of_the_control_planes_ends_with_a_token_that_is_held(cp: SdkPeer) -> None:
    """When the last one goes, its list is empty, and rightly so."""
    book, jti, bob = TokenBook(), str(uuid.uuid4()), SdkPeer("bob")
    state = RevocationState(
        RevocationConfig("fail_closed", 300, 60), ControlPlaneConfig("http://localhost:1", cp.aid), book
    )
    over = token(jti, bob.aid)
    over.claims["exp"] = time.time() - 1
    book.held.add(over)
    state.take_list(cp.revocation_list(jti), cp.aid)
    state.take_list(cp.revocation_list(), cp.aid)
    state.require_fresh()


def token(jti: str, peer: str) -> Token:
    return Token(tct=jti, claims={"jti": jti, "exp": time.time() + 3600, "grants": []}, peer_aid=peer, agent_id="a")


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
    state, jti = RevocationState(RevocationConfig("fail_open", 300, 60), None), str(uuid.uuid4())
    assert state.revoke(jti, "lost", because="lineage")
    assert not state.revoke(jti)
    owner = SdkPeer("owner")
    identity: Any = SimpleNamespace(agent=lambda: owner.agent, aid=owner.aid)
    [entry] = json.loads(state.signed_list(identity))["revocation_list"]["entries"]
    assert (entry["jti"], entry["reason"], state.source_of(jti)) == (jti, "lost", "lineage")
    aitp.verify_revocation_list(state.signed_list(identity), owner.aid)


def test_own_list_stays_one_that_a_peer_takes_and_says_when_it_is_full() -> None:
    state, now = RevocationState(RevocationConfig("fail_open", 300, 60), None), time.time()
    owner = SdkPeer("owner")
    identity: Any = SimpleNamespace(agent=lambda: owner.agent, aid=owner.aid)
    expired = str(uuid.uuid4())
    state.revoke(expired, "\U0001f512" * 500, expires_at=now - 3600)

    def revoke_many() -> None:
        for _ in range(revocation.MAX_LIST):
            state.revoke(str(uuid.uuid4()), "\U0001f512" * 50, expires_at=now + 3600)

    with pytest.raises(Fault, match=str(revocation.MAX_LIST)) as caught:
        revoke_many()
    assert caught.value.status == 503
    raw = state.signed_list(identity)
    assert len(raw.encode()) <= MAX_PEER_LIST
    entries = read_list(raw, owner.aid).entries
    assert len(entries) > 1000
    assert expired not in entries
