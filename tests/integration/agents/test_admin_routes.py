"""The admin side opens to its own token only and reads strictly."""

from __future__ import annotations

import json
from typing import Any

import aitp
import pytest

from tests.integration.agents.harness import Make, Pair, Start, WorkerProcess

ROUTES = [
    ("PUT", "peers"),
    ("POST", "initiate-handshake"),
    ("POST", "invoke"),
    ("POST", "self-execute"),
    ("POST", "delegate"),
    ("POST", "redeem-delegation"),
    ("POST", "revoke-tct"),
    ("POST", "refresh-revocations"),
    ("POST", "enroll-with-cp"),
    ("POST", "flush"),
]


async def test_no_admin_route_answers_without_this_agents_token(worker: WorkerProcess, start: Start) -> None:
    other = await start("bob")
    wrong = ["", "Bearer", "Bearer ", "Bearer x", f"Basic {worker.admin_token}", worker.admin_token]
    wrong += [f"Bearer {other.admin_token}", f"Bearer {worker.telemetry_token}", "Bearer \xff"]
    for method, path in [*ROUTES, ("GET", "nothing")]:
        for value in wrong:
            headers = {"Authorization": value} if value else {}
            answer = await worker.request(method, f"/admin/{path}", "{}", headers)
            assert (answer.status, answer.body["error"]["code"]) == (401, "unauthorized")
            assert answer.body["emitter_seq"] == 0


async def test_every_answer_carries_the_last_emitter_seq(worker: WorkerProcess) -> None:
    for n in range(1, 4):
        answer = await worker.admin("self-execute", {"capability": "demo.echo", "input": {}})
        assert answer.body["emitter_seq"] == n
    for method, path, status in (("GET", "flush", 405), ("POST", "nothing", 404), ("PUT", "peers", 400)):
        answer = await worker.admin(path, [], method=method)
        assert (answer.status, answer.body["emitter_seq"]) == (status, 3)


@pytest.mark.parametrize(
    ("method", "path", "body", "message"),
    [
        ("PUT", "peers", {}, "peers: missing"),
        ("PUT", "peers", {"peers": [1]}, "not a JSON object"),
        ("PUT", "peers", {"peers": [{"agent_id": "b", "aid": "x", "manifest_url": "ftp://h/m"}]}, "manifest_url"),
        ("PUT", "peers", {"peers": [{"agent_id": "b", "manifest_url": "http://h/m"}]}, "aid: missing"),
        ("PUT", "peers", {"peers": [{"agent_id": "b", "aid": "x", "manifest_url": "http://h/m"}] * 2}, "once"),
        ("POST", "self-execute", {"capability": "demo.echo", "input": "text"}, "input: not of type dict"),
        ("POST", "self-execute", {"capability": "demo.echo", "input": {}, "extra": 1}, "extra: unknown key"),
        ("POST", "initiate-handshake", {"peer": "b", "direction": "up"}, "direction"),
        ("POST", "initiate-handshake", {"peer": "b", "requested_grants": [1]}, "requested_grants"),
        ("POST", "initiate-handshake", {"peer": "b", "manifest_url": "file:///etc/passwd"}, "manifest_url"),
        ("POST", "invoke", {"peer": "b", "capability": "c", "input": {}, "present": "stolen"}, "present"),
        ("POST", "invoke", {"peer": "b", "capability": "c", "input": {}, "manifest_url": "localhost"}, "manifest_url"),
        ("POST", "delegate", {"delegatee": "a", "via_peer": "b", "scope": "demo.echo"}, "scope: not of type list"),
        ("POST", "delegate", {"delegatee": "a", "via_peer": "b", "scope": [""]}, "scope: not a list of names"),
        ("POST", "delegate", {"delegatee": "a", "via_peer": "b", "scope": [], "ttl_secs": 0}, "ttl_secs"),
        ("POST", "delegate", {"delegatee": "a", "via_peer": "b", "scope": [], "ttl_secs": True}, "ttl_secs"),
        ("POST", "delegate", {"delegatee": "a", "via_peer": "b", "scope": [], "ttl_secs": 1 << 70}, "ttl_secs"),
        ("POST", "redeem-delegation", {"target": "b"}, "delegation_token: missing"),
        ("POST", "redeem-delegation", {"target": "b", "delegation_token": ""}, "delegation_token: empty"),
        ("POST", "revoke-tct", {"audience": "b", "local": "no"}, "local: not of type bool"),
        ("POST", "revoke-tct", {"audience": "b", "reason": "x" * 501}, "reason: longer"),
        ("POST", "refresh-revocations", {"from": "elsewhere"}, "from: neither"),
        ("POST", "refresh-revocations", {"from": "issuer"}, "peer: goes with"),
        ("POST", "refresh-revocations", {"from": "cp", "peer": "b"}, "peer: goes with"),
        ("POST", "refresh-revocations", {"from": "cp", "url": "http://evil/"}, "url: unknown key"),
        ("POST", "flush", {"now": True}, "now: unknown key"),
    ],
)
async def test_body_that_is_not_as_documented_is_refused_with_the_reason(
    worker: WorkerProcess, method: str, path: str, body: Any, message: str
) -> None:
    answer = await worker.admin(path, body, method=method)
    assert (answer.status, answer.body["error"]["code"]) == (400, "invalid_request")
    assert message in answer.body["error"]["message"]


async def test_body_that_is_too_large_is_413(worker: WorkerProcess) -> None:
    body = {"capability": "demo.echo", "input": {"text": "x" * (4 << 20)}}
    answer = await worker.admin("self-execute", body)
    assert (answer.status, answer.body["error"]["code"]) == (413, "payload_too_large")


async def test_peer_that_was_not_introduced_is_refused(worker: WorkerProcess) -> None:
    for path, extra in (("initiate-handshake", {}), ("invoke", {"capability": "c", "input": {}})):
        answer = await worker.admin(path, {"peer": "nobody"} | extra)
        assert (answer.status, answer.body["error"]["code"]) == (403, "peer_unknown")


async def test_bad_peer_list_leaves_the_old_one_in_place(pair: Pair) -> None:
    alice, _bob = pair
    twice = {"agent_id": "b", "aid": "x", "manifest_url": "http://localhost/m"}
    assert (await alice.admin("peers", {"peers": [twice, twice]}, method="PUT")).status == 400
    assert (await alice.admin("initiate-handshake", {"peer": "bob"})).status == 200


async def test_call_to_a_peer_that_is_offline_fails_by_class(pair: Pair, make: Make) -> None:
    alice, _ = pair
    await alice.admin("initiate-handshake", {"peer": "bob"})
    gone = make("gone")
    gone.listener.close()
    for present in ("held", "none"):
        url = f"{gone.base_url}/.well-known/aitp-manifest"
        call = {"peer": "bob", "capability": "demo.echo", "input": {}, "present": present, "manifest_url": url}
        answer = await alice.admin("invoke", call)
        assert (answer.status, answer.body["error"]["code"]) == (502, "peer_failed")
        assert answer.body["error"]["details"]["class"] == "refused"


async def test_revocation_list_is_signed_by_the_agent(worker: WorkerProcess) -> None:
    answer = await worker.request("GET", "/.well-known/aitp-revocation-list")
    aitp.verify_revocation_list(json.dumps(answer.body), worker.aid)
    assert answer.body["revocation_list"]["entries"] == []
