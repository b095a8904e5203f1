"""An agent that is started anew under its key still knows what it revoked, and what was made from what."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import aitp
import pytest

from tests.integration.agents.control_plane import ControlPlane
from tests.integration.agents.harness import (
    Answer,
    Make,
    MaliciousResponder,
    SdkPeer,
    Start,
    WorkerProcess,
    b64,
    claims_of,
    introduce,
)

LIST = aitp.REVOCATION_LIST_PATH
PLAIN = {"fail_mode": "fail_open", "max_staleness_secs": 300, "poll_secs": 60}


@pytest.fixture
def kept(tmp_path: Path) -> dict[str, Any]:
    """The revocation section of an agent that keeps its key."""
    return {**PLAIN, "record_dir": str(tmp_path)}


async def started_anew(make: Make, before: WorkerProcess, **changes: Any) -> WorkerProcess:
    """The same agent in another process; the one before is killed."""
    if before.process.returncode is None:
        before.process.kill()
        await before.ended()
    worker = make(before.agent_id, seed=b64(before.seed), **changes)
    await worker.start()
    assert worker.aid == before.aid
    return worker


def cut_short(directory: Path) -> Path:
    [file] = directory.glob("*.json")
    file.write_text(file.read_text()[:-1])
    return file


def take_away(directory: Path) -> None:
    directory.rename(directory.with_name("gone"))


async def call(worker: WorkerProcess, caller: SdkPeer, token: str) -> Answer:
    return await worker.request("POST", "/capabilities/demo.echo", "{}", await caller.proof(worker, token))


async def test_revoked_token_stays_revoked_and_listed(make: Make, start: Start, kept: dict[str, Any]) -> None:
    worker, caller = await start("alice", revocation=kept), SdkPeer("carol")
    await introduce(worker, caller)
    good, revoked = await caller.token_from(worker), await caller.token_from(worker)
    assert (await worker.admin("revoke-tct", {"audience": "carol", "reason": "lost"})).status == 200
    worker = await started_anew(make, worker, revocation=kept)
    await introduce(worker, caller)
    answer = await call(worker, caller, revoked)
    assert (answer.status, answer.body["error"]["code"]) == (403, "TCT_REVOKED")
    assert answer.body["error"]["details"]["source"] == "local"
    assert (await call(worker, caller, good)).status == 200
    listed = (await worker.request("GET", LIST)).body
    aitp.verify_revocation_list(json.dumps(listed), worker.aid)
    [entry] = listed["revocation_list"]["entries"]
    assert (entry["jti"], entry["reason"]) == (claims_of(revoked)["jti"], "lost")


async def test_what_was_made_from_a_token_falls_with_it_after_a_restart(
    make: Make, start: Start, cp: ControlPlane, kept: dict[str, Any]
) -> None:
    owner, delegator, delegatee = await asyncio.gather(
        start("owner", cp=cp.section, revocation=kept), start("delegator"), start("delegatee")
    )
    await introduce(owner, delegator, delegatee)
    received = (await delegator.admin("initiate-handshake", {"peer": "owner", "direction": "one"})).body["received"]
    body = {"delegatee": "delegatee", "via_peer": "owner", "scope": ["demo.echo"]}
    given = (await delegator.admin("delegate", body)).body
    redeemed = await delegatee.admin(
        "redeem-delegation", {"target": "owner", "delegation_token": given["delegation_token"]}
    )
    assert redeemed.status == 200
    owner = await started_anew(make, owner, cp=cp.section, revocation=kept)
    await introduce(owner, delegator, delegatee)
    task = {"peer": "owner", "capability": "demo.echo", "input": {}}
    assert (await delegatee.admin("invoke", task)).body["status_code"] == 200
    cp.revoked.append(received["jti"])
    assert (await owner.admin("refresh-revocations", {"from": "cp"})).status == 200
    refused = (await delegatee.admin("invoke", task)).body["body"]["error"]
    assert (refused["code"], refused["details"]["source"]) == ("TCT_REVOKED", "lineage")


@pytest.mark.parametrize("ended", ["killed", "told to end"])
async def test_token_of_a_handshake_of_one_direction_grants_nothing_after_a_restart(
    make: Make, start: Start, kept: dict[str, Any], ended: str
) -> None:
    worker = await start("alice", revocation=kept)
    served = MaliciousResponder(SdkPeer("bob", ["m.one"]), worker.aid)
    await served.start()
    try:
        await introduce(worker, served.peer)
        asked = {"peer": "bob", "direction": "one"}
        assert (await worker.admin("initiate-handshake", asked)).status == 200
        if ended == "told to end":
            worker.process.terminate()
            await worker.ended()
        worker = await started_anew(make, worker, revocation=kept)
        await introduce(worker, served.peer)
        refused = await call(worker, served.peer, served.tokens[-1])
        assert (refused.status, refused.body["error"]["details"]["reason"]) == (403, "grant_missing")
    finally:
        await served.close()


async def test_redeemed_delegation_is_not_redeemed_again_after_a_restart(
    make: Make, start: Start, kept: dict[str, Any]
) -> None:
    owner, delegator, delegatee = await asyncio.gather(
        start("owner", revocation=kept), start("delegator"), start("delegatee")
    )
    await introduce(owner, delegator, delegatee)
    await delegator.admin("initiate-handshake", {"peer": "owner"})
    body = {"delegatee": "delegatee", "via_peer": "owner", "scope": ["demo.echo"]}
    first, second = [(await delegator.admin("delegate", body | {"ttl_secs": n})).body for n in (1000, 2000)]

    async def redeem(given: dict[str, Any]) -> Answer:
        asked = {"target": "owner", "delegation_token": given["delegation_token"]}
        return await delegatee.admin("redeem-delegation", asked)

    assert (await redeem(first)).status == (await redeem(first)).status == 200
    owner = await started_anew(make, owner, revocation=kept)
    await introduce(owner, delegator, delegatee)
    refused = await redeem(first)
    assert (refused.status, refused.body["error"]["details"]["code"]) == (502, "REPLAY_DETECTED")
    assert (await redeem(second)).status == 200
    task = {"peer": "owner", "capability": "demo.echo", "input": {}}
    assert (await delegatee.admin("invoke", task)).body["status_code"] == 200


async def test_agent_does_not_start_on_a_damaged_record(make: Make, start: Start, kept: dict[str, Any]) -> None:
    worker, caller = await start("alice", revocation=kept), SdkPeer("carol")
    await introduce(worker, caller)
    await caller.token_from(worker)
    assert (await worker.admin("revoke-tct", {"audience": "carol"})).status == 200
    worker.process.kill()
    await worker.ended()
    file = cut_short(Path(kept["record_dir"]))
    again = make("alice", seed=b64(worker.seed), revocation=kept)
    await again.launch()
    assert await again.ended() == 2
    assert f"this worker did not start: {file} is damaged".encode() in again.err


async def test_revocation_that_cannot_be_kept_is_no_success(start: Start, kept: dict[str, Any]) -> None:
    worker, caller = await start("alice", revocation=kept), SdkPeer("carol")
    await introduce(worker, caller)
    token = await caller.token_from(worker)
    take_away(Path(kept["record_dir"]))
    answer = await worker.admin("revoke-tct", {"audience": "carol"})
    assert (answer.status, answer.body["error"]["code"]) == (503, "overloaded")
    assert (await call(worker, caller, token)).status == 403
