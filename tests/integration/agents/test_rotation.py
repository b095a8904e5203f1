"""An agent with a new key is a new agent: what hung on the old one is gone at once."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import aitp
import pytest

from tests.integration.agents.harness import (
    Answer,
    MaliciousResponder,
    Pair,
    SdkPeer,
    Start,
    WorkerProcess,
    claims_of,
    introduce,
)

ECHO = "/capabilities/demo.echo"


async def rotate(worker: WorkerProcess) -> tuple[str, str]:
    answer = await worker.admin("rotate-keys", {})
    assert answer.status == 200, answer
    old, new = answer.body["old_aid"], answer.body["new_aid"]
    assert old == worker.aid != new
    worker.aid = new
    return old, new


async def call(worker: WorkerProcess, peer: SdkPeer, token: str) -> Answer:
    headers = await peer.proof(worker, token)
    return await worker.request("POST", ECHO, "{}", headers)


async def test_everything_is_signed_with_the_new_key_at_once(worker: WorkerProcess) -> None:
    peer = SdkPeer("peer")
    await introduce(worker, peer)
    token = await peer.token_from(worker)
    assert (await worker.admin("revoke-tct", {"audience": "peer"})).status == 200
    old, new = await rotate(worker)
    published = (await worker.request("GET", "/.well-known/aitp-manifest")).body
    aitp.verify_manifest_json(json.dumps(published))
    assert published["manifest"]["aid"] == new
    assert old not in json.dumps(published)
    listed = json.dumps((await worker.request("GET", aitp.REVOCATION_LIST_PATH)).body)
    aitp.verify_revocation_list(listed, new)
    assert claims_of(token)["jti"] in listed, "what was revoked stays revoked"
    assert (await call(worker, peer, await peer.token_from(worker))).status == 200


@pytest.mark.parametrize("suite", ["ed25519", "p256"])
async def test_tokens_of_the_old_key_are_refused_cached_or_not(start: Start, suite: str) -> None:
    worker, peer = await start("worker", signing_suite=suite), SdkPeer("peer")
    await introduce(worker, peer)
    token = await peer.token_from(worker)
    assert (await call(worker, peer, token)).status == 200
    _, new = await rotate(worker)
    assert new.startswith("aid:pubkey:p256:") == (suite == "p256")
    answer = await call(worker, peer, token)
    assert (answer.status, answer.body["error"]["details"]["reason"]) == (403, "wrong_issuer")
    stats = await worker.admin("tct-cache-stats", {})
    assert (stats.body["hits"], stats.body["misses"], stats.body["size"]) == (0, 0, 0)


async def test_open_handshake_ends_with_the_old_key(worker: WorkerProcess) -> None:
    peer = SdkPeer("peer")
    await introduce(worker, peer)
    _, commit, session_id = await peer.open(worker)
    await rotate(worker)
    answer = await worker.request("POST", "/aitp/handshake/commit", commit, {"X-Aitp-Session-Id": session_id})
    assert (answer.status, answer.body["error"]["code"]) == (400, "INVALID_ENVELOPE")


async def test_held_tokens_go_with_the_key_and_vouchers_too(pair: Pair) -> None:
    alice, _ = pair
    assert (await alice.admin("initiate-handshake", {"peer": "bob"})).status == 200
    await rotate(alice)
    for route, body in (
        ("invoke", {"peer": "bob", "capability": "demo.echo", "input": {}}),
        ("renew-tct", {"peer": "bob"}),
        ("delegate", {"delegatee": "bob", "via_peer": "bob", "scope": ["demo.echo"]}),
        ("revoke-tct", {"audience": "bob"}),
    ):
        answer = await alice.admin(route, body)
        assert answer.status == 409, (route, answer)


async def test_peers_listen_to_the_new_key_once_they_are_told(pair: Pair) -> None:
    alice, bob = pair
    await rotate(alice)
    answer = await alice.admin("initiate-handshake", {"peer": "bob"})
    assert answer.body["error"]["details"]["code"] == "IDENTITY_FAILED"
    await introduce(alice, bob)
    assert (await alice.admin("initiate-handshake", {"peer": "bob"})).status == 200


async def test_delegation_from_the_old_key_is_redeemed_no_more_also_while_its_delegator_is_looked_up(
    start: Start,
) -> None:
    owner, sub = await start("owner"), await start("sub")
    alice = SdkPeer("alice")
    served = MaliciousResponder(alice, owner.aid)
    await served.start()
    await introduce(owner, alice, sub)
    session, commit, session_id = await alice.open(owner)
    answer = await owner.request("POST", "/aitp/handshake/commit", commit, {"X-Aitp-Session-Id": session_id})
    voucher = json.loads(session.complete(json.dumps(answer.body), revoked_jtis=set()))["grant_voucher"]
    delegation = alice.agent.build_delegation(voucher, sub.aid, ["demo.echo"])

    async def meanwhile() -> None:
        await owner.admin("rotate-keys", {})

    served.meanwhile = meanwhile
    try:
        answer = await sub.admin("redeem-delegation", {"target": "owner", "delegation_token": delegation})
        assert answer.status in (403, 502), answer
        assert "tct" not in answer.body
    finally:
        await served.close()


async def test_call_whose_body_is_on_its_way_is_refused(worker: WorkerProcess) -> None:
    peer = SdkPeer("peer")
    await introduce(worker, peer)
    headers = await peer.proof(worker, await peer.token_from(worker))
    reader, writer = await asyncio.open_connection("127.0.0.1", worker.port)
    try:
        told = {**headers, "Host": "localhost", "Content-Type": "application/json", "Content-Length": "2"}
        head = "".join(f"{name}: {value}\r\n" for name, value in told.items())
        writer.write(f"POST {ECHO} HTTP/1.1\r\n{head}Connection: close\r\n\r\n{{".encode())
        await writer.drain()
        await worker.request("GET", "/.well-known/aitp-manifest")  # by now the head was looked at
        await rotate(worker)
        writer.write(b"}")
        answer = await asyncio.wait_for(reader.read(), 60)
    finally:
        writer.close()
    assert b" 403 " in answer.splitlines()[0]


async def test_agent_with_a_record_under_its_key_keeps_the_key(start: Start, tmp_path: Any) -> None:
    kept = tmp_path / "record"
    kept.mkdir(mode=0o700)
    revocation = {"fail_mode": "fail_open", "max_staleness_secs": 300, "poll_secs": 60, "record_dir": str(kept)}
    worker = await start("worker", revocation=revocation)
    answer = await worker.admin("rotate-keys", {})
    assert (answer.status, answer.body["error"]["code"]) == (409, "key_is_kept")
