"""Renewing a token: what the holder gets, what ends it, and what is not renewed."""

from __future__ import annotations

import asyncio
import json
import time
from typing import Any

import pytest

from base.protocol.renewal import RENEWALS
from tests.integration.agents.harness import (
    Answer,
    MaliciousResponder,
    Pair,
    SdkPeer,
    Start,
    TelemetrySink,
    WorkerProcess,
    b64,
    claims_of,
    introduce,
)

RENEW, ECHO = "/aitp/tct/renew", "/capabilities/demo.echo"


async def shaken(alice: WorkerProcess) -> dict[str, Any]:
    answer = await alice.admin("initiate-handshake", {"peer": "bob", "direction": "one"})
    assert answer.status == 200, answer
    received: dict[str, Any] = answer.body["received"]
    return received


async def presented(alice: WorkerProcess) -> tuple[int, str]:
    body = {"peer": "bob", "capability": "demo.echo", "input": {}}
    answer = await alice.admin("invoke", body)
    return answer.body["status_code"], answer.body["presented_jti"]


async def ask(worker: WorkerProcess, peer: SdkPeer, token: str, **changes: Any) -> Answer:
    """Renewal as a foreign holder asks for it: the SDK's request, and the proof that a call would carry."""
    request = json.loads(peer.agent.build_renewal_request(token)) | changes
    headers = await peer.proof(worker, token)
    return await worker.request("POST", RENEW, json.dumps(request), headers)


def refused(answer: Answer, code: str, reason: str | None = None) -> None:
    assert (answer.status, answer.body["error"]["code"]) == (403, code), answer
    assert answer.body["error"].get("details", {}).get("reason") == reason


async def test_renewed_token_is_another_lives_longer_and_opens_the_same(pair: Pair, sink: TelemetrySink) -> None:
    alice, bob = pair
    first = await shaken(alice)
    answer = await alice.admin("renew-tct", {"peer": "bob", "ttl_secs": 5400})
    assert answer.status == 200, answer
    renewed = answer.body
    assert (renewed["previous_jti"], renewed["issuer"], renewed["subject"]) == (first["jti"], bob.aid, alice.aid)
    assert renewed["jti"] != first["jti"]
    assert renewed["extended_by_secs"] == renewed["expires_at"] - first["expires_at"]
    assert 1700 < renewed["extended_by_secs"] <= 5400
    assert await presented(alice) == (200, renewed["jti"])
    [asked], [issued] = await sink.wait_for("tct.renewal.requested"), await sink.wait_for("tct.renewal.issued")
    assert (asked["jti"], asked["target"]) == (first["jti"], "bob")
    assert (issued["jti"], issued["payload"]["parent_jti"], issued["aid"]) == (renewed["jti"], first["jti"], alice.aid)
    assert issued["payload"]["tct"]["claims"]["grants"] == issued["grants"] == first["grants"]
    [received] = await sink.wait_for("tct.received")
    assert (received["jti"], received["aid"], received["target"]) == (renewed["jti"], bob.aid, "bob")
    assert received["payload"] == {
        "how": "renewed",
        "parent_jti": first["jti"],
        "tct": {"claims": issued["payload"]["tct"]["claims"]},
    }


async def test_issuers_manifest_is_minted_anew_when_the_token_would_outlive_it(start: Start) -> None:
    bob = await start("bob", ttl_secs=3700)
    alice = await start("alice")
    await introduce(alice, bob)
    await shaken(alice)
    answer = await alice.admin("renew-tct", {"peer": "bob", "ttl_secs": 86400})
    manifest = (await bob.request("GET", "/.well-known/aitp-manifest")).body["manifest"]
    assert answer.body["expires_at"] <= manifest["expires_at"]
    assert answer.body["expires_at"] > time.time() + 3600


@pytest.mark.parametrize("first", [True, False], ids=["the older", "the newer"])
async def test_both_fall_with_the_newest_and_the_older_takes_the_newer_along(
    worker: WorkerProcess, first: bool
) -> None:
    """Whoever revokes one of them: the issuer names the newest, a Control Plane may name either."""
    peer = SdkPeer("peer")
    await introduce(worker, peer)
    old = await peer.token_from(worker)
    new = (await ask(worker, peer, old)).body["tct"]
    for token in (old, new):
        headers = await peer.proof(worker, token)
        assert (await worker.request("POST", ECHO, "{}", headers)).status == 200
    revoked = await worker.admin("revoke-tct", {"audience": "peer"})
    assert revoked.body["revoked_jti"] == claims_of(new)["jti"]
    assert revoked.body["also_revoked"] == [claims_of(old)["jti"]]
    for token in (old, new):
        headers = await peer.proof(worker, token)
        refused(await worker.request("POST", ECHO, "{}", headers), "TCT_REVOKED", "tct_revoked")
    refused(await ask(worker, peer, old if first else new), "TCT_REVOKED", "tct_revoked")


async def test_renewal_wants_the_proof_and_the_request_of_the_holder_itself(
    worker: WorkerProcess, sink: TelemetrySink
) -> None:
    peer, thief = SdkPeer("peer"), SdkPeer("thief")
    await introduce(worker, peer, thief)
    token = await peer.token_from(worker)
    request = peer.agent.build_renewal_request(token)
    refused(await worker.request("POST", RENEW, request), "POP_RESPONSE_INVALID")
    headers = await thief.proof(worker, token)
    refused(await worker.request("POST", RENEW, request, headers), "POP_RESPONSE_INVALID")
    stolen = json.loads(thief.agent.build_renewal_request(token))
    headers = await peer.proof(worker, token)
    answer = await worker.request("POST", RENEW, json.dumps(stolen), headers)
    assert answer.status == 403, answer
    headers = await peer.proof(worker, token)
    assert (await worker.request("POST", RENEW, request, headers)).status == 200
    headers = await peer.proof(worker, token)
    refused(await worker.request("POST", RENEW, request, headers), "REPLAY_DETECTED", "replay")
    told = [event["payload"]["code"] for event in await sink.wait_for("tct.renewal.refused", 4)]
    assert told == ["pop_required", "pop_invalid", "tct_invalid", "replay"]


@pytest.mark.parametrize("changes", [{"current_tct": 5}, {"ttl_secs": 0}, {"ttl_secs": True}, {"ttl_secs": 86401}])
async def test_what_is_no_renewal_is_malformed(worker: WorkerProcess, changes: dict[str, Any]) -> None:
    peer = SdkPeer("peer")
    await introduce(worker, peer)
    answer = await ask(worker, peer, await peer.token_from(worker), **changes)
    assert (answer.status, answer.body["error"]["code"]) == (400, "INVALID_ENVELOPE"), answer


async def test_tokens_of_others_and_what_is_no_longer_offered_are_not_renewed(start: Start) -> None:
    seed = b64(b"\x05" * 32)
    worker, peer, other = await start("worker", seed=seed), SdkPeer("peer"), SdkPeer("other")
    await introduce(worker, peer)
    token = await peer.token_from(worker, ["demo.echo", "demo.who"])
    refused(await ask(worker, peer, peer.reissue(token, iss=other.aid)), "TCT_SIGNATURE_INVALID", "wrong_issuer")
    fewer = await start("worker", seed=seed, offered_caps=["demo.who"])
    await introduce(fewer, peer)
    renewed = (await ask(fewer, peer, token)).body["tct"]
    assert claims_of(renewed)["grants"] == ["demo.who"]


async def test_what_was_granted_in_one_direction_is_not_renewed(pair: Pair) -> None:
    """Nor does the responder keep it."""
    alice, bob = pair
    await shaken(alice)
    answer = await bob.admin("renew-tct", {"peer": "alice"})
    assert (answer.status, answer.body["error"]["code"]) == (409, "no_tct_held")
    mallory = SdkPeer("mallory")
    served = MaliciousResponder(mallory, alice.aid)
    await served.start()
    try:
        await introduce(alice, mallory)
        answer = await alice.admin("initiate-handshake", {"peer": "mallory", "direction": "one"})
        assert answer.status == 200, answer
        refused(await ask(alice, mallory, served.tokens[-1]), "POLICY_VIOLATION", "grant_missing")
    finally:
        await served.close()


async def test_what_was_redeemed_is_renewed_for_no_longer_and_passed_on_no_further(start: Start) -> None:
    """Otherwise a delegation of a minute would last for ever, and reach anybody."""
    owner, alice, sub = await asyncio.gather(*(start(name) for name in ("bob", "alice", "sub")))
    await introduce(owner, alice, sub)
    await shaken(alice)
    told = {"delegatee": "sub", "via_peer": "bob", "scope": ["demo.echo"], "ttl_secs": 300}
    made = (await alice.admin("delegate", told)).body
    redeemed = await sub.admin("redeem-delegation", {"target": "bob", "delegation_token": made["delegation_token"]})
    assert redeemed.status == 200, redeemed
    renewed = await sub.admin("renew-tct", {"peer": "bob", "ttl_secs": 86400})
    assert renewed.body["expires_at"] <= made["expires_at"]
    assert await presented(sub) == (200, renewed.body["jti"])
    on = await sub.admin("delegate", {"delegatee": "alice", "via_peer": "bob", "scope": ["demo.echo"]})
    assert (on.status, on.body["error"]["code"]) == (409, "no_voucher_held")
    assert (await owner.admin("revoke-tct", {"audience": "alice"})).status == 200
    assert (await presented(sub))[0] == 403
    answer = await sub.admin("renew-tct", {"peer": "bob"})
    assert (answer.status, answer.body["error"]["details"]["code"]) == (502, "TCT_REVOKED")


async def test_one_holder_uses_up_its_own_renewals_and_nobody_elses(worker: WorkerProcess) -> None:
    peer, other = SdkPeer("peer"), SdkPeer("other")
    await introduce(worker, peer, other)
    token, others = await peer.token_from(worker), await other.token_from(worker)
    for _ in range(RENEWALS):
        assert (await ask(worker, peer, token)).status == 200
    assert (await ask(worker, peer, token)).status == 429
    assert (await ask(worker, other, others)).status == 200


async def test_renewal_outlives_a_restart_in_what_falls_with_it(start: Start, tmp_path: Any) -> None:
    kept = tmp_path / "record"
    kept.mkdir(mode=0o700)
    options = {
        "seed": b64(b"\x07" * 32),
        "revocation": {"fail_mode": "fail_open", "max_staleness_secs": 300, "poll_secs": 60, "record_dir": str(kept)},
    }
    worker, peer = await start("worker", **options), SdkPeer("peer")
    await introduce(worker, peer)
    old = await peer.token_from(worker)
    new = (await ask(worker, peer, old)).body["tct"]
    worker.process.terminate()
    await worker.ended()
    worker = await start("worker", **options)
    await introduce(worker, peer)
    newest = (await ask(worker, peer, new)).body["tct"]
    revoked = await worker.admin("revoke-tct", {"audience": "peer"})
    assert revoked.body["revoked_jti"] == claims_of(newest)["jti"]
    assert set(revoked.body["also_revoked"]) == {claims_of(token)["jti"] for token in (old, new)}


async def test_holder_keeps_no_renewed_token_that_does_not_verify(start: Start) -> None:
    alice, bob = await start("alice"), await start("bob")
    await introduce(alice, bob)
    first = await shaken(alice)
    await bob.admin("revoke-tct", {"audience": "alice"})
    answer = await alice.admin("renew-tct", {"peer": "bob"})
    assert (answer.status, answer.body["error"]["details"]["code"]) == (502, "TCT_REVOKED")
    assert await presented(alice) == (403, first["jti"])
