"""Revocation: consulted on every call, signed for others, and closed when told to fail closed."""

from __future__ import annotations

import json
import time
import uuid
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import aitp
import pytest

from base.features import FEATURES
from base.process.bootstrap import ControlPlaneConfig, RevocationConfig, parse_bootstrap
from base.protocol.identity import Identity
from base.protocol.revocation import FEW, MAX_WITHHELD, RevocationState
from base.protocol.token_cache import TokenCache
from base.protocol.tokens import Token
from base.protocol.verification import Verifier
from base.refusals import Fault, Refusal
from tests.integration.agents.harness import SdkPeer, claims_of
from tests.unit.agents_base.test_bootstrap import document


@pytest.fixture
def identity() -> Identity:
    return Identity(parse_bootstrap(json.dumps(document(offered_caps=["demo.a", "demo.b"])).encode()))


def state(fail_mode: Any = "fail_open", cp_aid: str | None = None, *safe: str) -> RevocationState:
    cp = None if cp_aid is None else ControlPlaneConfig("http://localhost:1", cp_aid)
    return RevocationState(RevocationConfig(fail_mode, 300, 60, frozenset(safe)), cp)


@pytest.fixture
def issue(identity: Identity) -> Callable[[SdkPeer], str]:
    """Have this agent issue a token to a peer."""

    def issued(peer: SdkPeer) -> str:
        session = peer.agent.new_session(pinned_keys=[identity.aid])
        responder = identity.agent().new_responder(pinned_keys=[peer.aid])
        ack, sid = responder.process_hello(session.build_hello(identity.manifest(), ["demo.a"]))
        commit_ack, _ = responder.process_commit(session.process_hello_ack(ack, sid), revoked_jtis=set())
        token: str = json.loads(session.complete(commit_ack, revoked_jtis=set()))["tct"]
        return token

    return issued


def call(verifier: Verifier, peer: SdkPeer, token: str) -> Any:
    challenge = json.dumps(json.loads(verifier.challenge(token)[0])["payload"])
    return verifier.authorize(token, "demo.a", peer.agent.sign_pop_response(challenge))


def test_token_revoked_after_it_was_cached_is_refused_with_its_source(
    identity: Identity, issue: Callable[[SdkPeer], str]
) -> None:
    revocations, peer = state(), SdkPeer("p")
    verifier, token = Verifier(identity, revocations), issue(peer)
    assert call(verifier, peer, token).aid == peer.aid
    assert call(verifier, peer, token).aid == peer.aid
    revocations.revoke(claims_of(token)["jti"].upper())
    with pytest.raises(Refusal) as caught:
        call(verifier, peer, token)
    assert (caught.value.code, caught.value.details) == ("tct_revoked", {"source": "local"})
    assert verifier.cache.stats() == {"enabled": True, "hits": 2, "misses": 1, "size": 1}


def test_challenges_do_not_count_as_look_ups(identity: Identity, issue: Callable[[SdkPeer], str]) -> None:
    verifier, peer = Verifier(identity, state()), SdkPeer("p")
    token = issue(peer)
    for _ in range(3):
        verifier.challenge(token)
    assert verifier.cache.stats() == {"enabled": True, "hits": 0, "misses": 0, "size": 0}


def test_the_cache_counts_a_hit_only_while_the_token_is_still_in_the_store(
    identity: Identity, issue: Callable[[SdkPeer], str]
) -> None:
    cache, peer = TokenCache(limit=2), SdkPeer("p")
    tokens = {name: issue(peer) for name in "abc"}
    for name in "aabcac":
        cache.verify(identity.agent(), tokens[name], "demo.a", peer.aid, set())
    # "a" was the first in and is the first out, though it was used in between.
    assert cache.stats() == {"enabled": True, "hits": 2, "misses": 4, "size": 2}


@pytest.mark.parametrize("path", FEATURES["tct_cache"])
def test_without_the_sdks_cache_the_same_is_decided(
    identity: Identity, issue: Callable[[SdkPeer], str], monkeypatch: pytest.MonkeyPatch, path: str
) -> None:
    hide(monkeypatch, path)
    revocations, peer, other = state(), SdkPeer("p"), SdkPeer("other")
    verifier, token = Verifier(identity, revocations), issue(peer)
    assert call(verifier, peer, token).aid == peer.aid
    with pytest.raises(Refusal) as caught:
        call(verifier, other, token)
    assert caught.value.code == "pop_invalid"
    revocations.revoke(claims_of(token)["jti"])
    with pytest.raises(Refusal) as caught:
        call(verifier, peer, token)
    assert (caught.value.code, caught.value.details) == ("tct_revoked", {"source": "local"})
    with pytest.raises(Fault) as missing:
        verifier.cache.stats()
    assert (missing.value.status, missing.value.code) == (501, "feature_unavailable")
    assert path in str(missing.value)


def hide(monkeypatch: pytest.MonkeyPatch, path: str) -> None:
    """What an SDK has that lacks this name: for a class that cannot be changed, another in its place."""
    if path in vars(aitp):
        monkeypatch.delattr(aitp, path)
        return
    holder, _, name = path.partition(".")
    monkeypatch.delattr(getattr(aitp, holder), name)


def token_of(holder: str, seconds: float = 3600) -> Token:
    jti = str(uuid.uuid4())
    return Token(tct=jti, claims={"jti": jti, "exp": time.time() + seconds}, peer_aid=holder, agent_id="a")


def test_one_whose_handshakes_fail_without_end_is_given_no_more_tokens_and_others_are() -> None:
    known = state()
    first = token_of("aid:pubkey:a", seconds=-1)
    for token in [first, *(token_of("aid:pubkey:a") for _ in range(MAX_WITHHELD - 1))]:
        known.require_room_for("aid:pubkey:a")
        known.withhold(token, failed=True)
    known.require_room_for("aid:pubkey:a")  # the first has expired
    assert not known.is_withheld(first.jti)
    known.withhold(last := token_of("aid:pubkey:a"), failed=True)
    with pytest.raises(Fault, match="64 handshakes of this agent failed") as caught:
        known.require_room_for("aid:pubkey:a")
    assert caught.value.status == 503
    assert known.is_withheld(last.jti)
    known.require_room_for("aid:pubkey:b")
    for _ in range(MAX_WITHHELD):  # as this agent itself wanted them
        known.withhold(token_of("aid:pubkey:b"))
    known.require_room_for("aid:pubkey:b")


def test_what_is_withheld_is_forgotten_when_it_has_expired_whoever_had_it() -> None:
    known = state()
    for number in range(FEW + 1):
        known.withhold(token_of(f"aid:pubkey:{number}", seconds=-1), failed=True)
    assert not known._withheld
    assert not known._withheld_from


def test_fail_closed_refuses_without_a_fresh_list(identity: Identity, issue: Callable[[SdkPeer], str]) -> None:
    peer = SdkPeer("p")
    token = issue(peer)
    for closed in (state("fail_closed", SdkPeer("cp").aid), state("fail_closed")):
        with pytest.raises(Refusal) as caught:
            call(Verifier(identity, closed), peer, token)
        assert caught.value.code == "revocation_unknown"
    for open_state in (state("fail_open", SdkPeer("cp").aid), state("fail_open")):
        assert call(Verifier(identity, open_state), peer, token).aid == peer.aid


def test_soft_fail_serves_only_what_is_named_safe_until_there_is_a_fresh_list(
    identity: Identity, issue: Callable[[SdkPeer], str]
) -> None:
    peer, cp = SdkPeer("p"), SdkPeer("cp")
    token = issue(peer)
    assert call(Verifier(identity, state("soft_fail", cp.aid, "demo.a")), peer, token).aid == peer.aid
    assert call(Verifier(identity, state("soft_fail", None, "demo.a")), peer, token).aid == peer.aid
    other_is_safe = state("soft_fail", cp.aid, "demo.b")
    for refused in (lambda: call(Verifier(identity, other_is_safe), peer, token), other_is_safe.require_fresh):
        with pytest.raises(Refusal, match="safe") as caught:
            refused()
        assert caught.value.code == "revocation_unknown"
    other_is_safe.take_list(cp.revocation_list(), cp.aid)
    assert call(Verifier(identity, other_is_safe), peer, token).aid == peer.aid
    other_is_safe.require_fresh()


def test_list_that_has_grown_old_while_the_body_came_counts_no_more(
    identity: Identity, issue: Callable[[SdkPeer], str]
) -> None:
    peer, cp = SdkPeer("p"), SdkPeer("cp")
    closed, token = state("fail_closed", cp.aid), issue(peer)
    closed.take_list(cp.revocation_list(), cp.aid)
    verifier = Verifier(identity, closed)
    caller = call(verifier, peer, token)
    verifier.confirm(token, "demo.a", caller)
    closed.list_of(cp.aid)._fresh_until = 0.0
    with pytest.raises(Refusal, match="no fresh revocation list"):
        verifier.confirm(token, "demo.a", caller)


def test_what_is_known_to_be_revoked_is_refused_even_where_it_is_safe(
    identity: Identity, issue: Callable[[SdkPeer], str]
) -> None:
    peer, soft = SdkPeer("p"), state("soft_fail", None, "demo.a")
    token = issue(peer)
    soft.revoke(claims_of(token)["jti"])
    with pytest.raises(Refusal) as caught:
        call(Verifier(identity, soft), peer, token)
    assert caught.value.code == "tct_revoked"


def test_own_list_is_signed_and_follows_what_is_revoked(identity: Identity) -> None:
    revocations, jti = state(), str(uuid.uuid4())
    empty = revocations.signed_list(identity)
    assert revocations.signed_list(identity) == empty
    revocations.revoke(jti, "lost")
    revocations.revoke(jti, "again")
    signed = revocations.signed_list(identity)
    aitp.verify_revocation_list(signed, identity.aid)
    [entry] = json.loads(signed)["revocation_list"]["entries"]
    assert (entry["jti"], entry["reason"]) == (jti, "lost")


def test_manifest_stays_the_same_until_half_its_life_is_over(
    identity: Identity, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = identity.manifest()
    assert identity.manifest() == first
    later = time.monotonic() + 3601
    monkeypatch.setattr("base.protocol.identity.time", SimpleNamespace(monotonic=lambda: later))
    second = identity.manifest()
    aitp.verify_manifest_json(second)
    assert second != first


def test_a_token_that_is_no_text_of_a_header_is_no_token(identity: Identity) -> None:
    verifier = Verifier(identity, state())
    for token in ("a.b.c\udcff", "a.b.ü"):
        with pytest.raises(Refusal) as caught:
            verifier.authorize(token, "demo.a", "e30")
        assert caught.value.code == "tct_invalid"
        with pytest.raises(Refusal):
            verifier.challenge(token)
