"""What it takes to be served a capability, and what is said to those who are not."""

from __future__ import annotations

import asyncio
import json
import time
from typing import Any

import aiohttp
import pytest
from aiohttp import web

from tests.integration.agents.harness import (
    MaliciousResponder,
    Pair,
    SdkPeer,
    Start,
    TelemetrySink,
    WorkerProcess,
    b64,
    claims_of,
    introduce,
    mint,
)

ECHO = "/capabilities/demo.echo"


@pytest.fixture
async def worker(start: Start) -> WorkerProcess:
    return await start("alice")


@pytest.fixture
async def caller(worker: WorkerProcess) -> SdkPeer:
    peer = SdkPeer("carol")
    await introduce(worker, peer)
    return peer


async def refused(worker: WorkerProcess, sink: TelemetrySink, headers: dict[str, str], code: str) -> dict[str, Any]:
    """Call, expect 403 with ``code``, and the same code in the log; returns the event."""
    answer = await worker.request("POST", ECHO, '{"n": 1}', headers)
    assert (answer.status, answer.body["error"]["code"]) == (403, code), answer
    event = (await sink.wait_for("capability.denied"))[-1]
    assert (event["capability"], event["payload"]["code"]) == ("demo.echo", code)
    assert not sink.of_type("capability.invoked")
    return event


async def test_held_token_and_proof_open_the_capability_and_the_call_is_reported(
    worker: WorkerProcess, caller: SdkPeer, sink: TelemetrySink
) -> None:
    token = await caller.token_from(worker)
    answer = await worker.request("POST", ECHO, '{"n": 1}', await caller.proof(worker, token))
    assert (answer.status, answer.body) == (200, {"echo": {"n": 1}})
    [event] = await sink.wait_for("capability.invoked")
    assert (event["capability"], event["jti"], event["aid"]) == ("demo.echo", claims_of(token)["jti"], caller.aid)
    assert event["payload"] == {"status_code": 200, "caller": "carol"}


async def test_call_without_token_is_refused(worker: WorkerProcess, sink: TelemetrySink) -> None:
    event = await refused(worker, sink, {}, "tct_missing")
    assert event["payload"] == {"code": "tct_missing"}, "what is not known of the caller is left out"


async def test_call_without_proof_is_refused(worker: WorkerProcess, caller: SdkPeer, sink: TelemetrySink) -> None:
    token = await caller.token_from(worker)
    event = await refused(worker, sink, {"X-AITP-TCT": token}, "pop_required")
    assert (event["jti"], event["aid"]) == (claims_of(token)["jti"], caller.aid)


async def test_replayed_proof_is_refused(worker: WorkerProcess, caller: SdkPeer, sink: TelemetrySink) -> None:
    headers = await caller.proof(worker, await caller.token_from(worker))
    assert (await worker.request("POST", ECHO, "{}", headers)).status == 200
    answer = await worker.request("POST", ECHO, "{}", headers)
    assert (answer.status, answer.body["error"]["code"]) == (403, "pop_invalid")
    assert len(await sink.wait_for("capability.denied")) == 1


async def test_proof_by_another_key_is_refused(worker: WorkerProcess, caller: SdkPeer, sink: TelemetrySink) -> None:
    thief = SdkPeer("thief")
    await refused(
        worker,
        sink,
        await caller.proof(worker, await caller.token_from(worker), signer=thief.agent),
        "pop_invalid",
    )


async def test_proof_for_another_token_is_refused(worker: WorkerProcess, caller: SdkPeer, sink: TelemetrySink) -> None:
    first, second = await caller.token_from(worker), await caller.token_from(worker)
    headers = await caller.proof(worker, first)
    await refused(worker, sink, headers | {"X-AITP-TCT": second}, "pop_invalid")


async def test_proof_on_a_challenge_of_the_callers_own_making_is_refused(
    worker: WorkerProcess, caller: SdkPeer, sink: TelemetrySink
) -> None:
    token = await caller.token_from(worker)
    response = caller.agent.sign_pop_response(caller.agent.new_pop_challenge(token))
    await refused(worker, sink, {"X-AITP-TCT": token, "X-AITP-PoP": b64(response.encode())}, "pop_invalid")


async def test_token_of_a_third_party_for_the_same_capability_is_refused(
    worker: WorkerProcess, caller: SdkPeer, sink: TelemetrySink
) -> None:
    third = SdkPeer("third", ["demo.echo"])
    token = mint(third, caller, ["demo.echo"])
    assert claims_of(token)["grants"] == ["demo.echo"]
    await refused(worker, sink, await caller.proof(worker, token), "wrong_issuer")


async def test_token_whose_issuer_was_rewritten_is_refused(
    worker: WorkerProcess, caller: SdkPeer, sink: TelemetrySink
) -> None:
    third = SdkPeer("third", ["demo.echo"])
    head, _, signature = mint(third, caller, ["demo.echo"]).split(".")
    claims = claims_of(mint(third, caller, ["demo.echo"])) | {"iss": worker.aid}
    forged = ".".join((head, b64(json.dumps(claims).encode()), signature))
    await refused(worker, sink, await caller.proof(worker, forged), "tct_invalid")


async def test_token_without_the_grant_is_refused(worker: WorkerProcess, caller: SdkPeer, sink: TelemetrySink) -> None:
    token = await caller.token_from(worker, ["demo.who"])
    await refused(worker, sink, await caller.proof(worker, token), "grant_missing")
    ok = await worker.request("POST", "/capabilities/demo.who", "{}", await caller.proof(worker, token))
    assert ok.status == 200


async def test_token_with_grants_written_in_is_refused(
    worker: WorkerProcess, caller: SdkPeer, sink: TelemetrySink
) -> None:
    head, _, signature = (token := await caller.token_from(worker, ["demo.who"])).split(".")
    claims = claims_of(token) | {"grants": ["demo.echo"]}
    forged = ".".join((head, b64(json.dumps(claims).encode()), signature))
    await refused(worker, sink, await caller.proof(worker, forged), "tct_invalid")


async def test_expired_token_is_refused(start: Start, sink: TelemetrySink) -> None:
    worker = await start("alice", ttl_secs=6)
    caller = SdkPeer("carol")
    await introduce(worker, caller)
    token = await caller.token_from(worker)
    await asyncio.sleep(claims_of(token)["exp"] + 1 - time.time())  # nothing but time expires a token
    await refused(worker, sink, await caller.proof(worker, token), "tct_expired")


@pytest.mark.parametrize("token", ["garbage", "a.b.c", "e30.e30.e30"])
async def test_challenge_for_something_that_is_no_token_is_refused(
    worker: WorkerProcess, sink: TelemetrySink, token: str
) -> None:
    answer = await worker.request("POST", "/aitp/pop/challenge", "{}", {"X-AITP-TCT": token})
    assert (answer.status, answer.body["error"]["code"]) == (403, "tct_invalid")
    assert (await sink.wait_for("capability.denied"))[0]["payload"]["code"] == "tct_invalid"


async def test_challenge_without_token_is_refused(worker: WorkerProcess) -> None:
    answer = await worker.request("POST", "/aitp/pop/challenge", "{}")
    assert (answer.status, answer.body["error"]["code"]) == (403, "tct_missing")


@pytest.mark.parametrize("proof", ["%%%", b64(b"[]"), b64(b"{}"), b64(b"\xff")])
async def test_proof_that_is_none_is_malformed(worker: WorkerProcess, caller: SdkPeer, proof: str) -> None:
    token = await caller.token_from(worker)
    answer = await worker.request("POST", ECHO, "{}", {"X-AITP-TCT": token, "X-AITP-PoP": proof})
    assert (answer.status, answer.body["error"]["code"]) == (400, "invalid_request")


async def test_token_with_claims_of_the_wrong_shape_is_refused(worker: WorkerProcess, sink: TelemetrySink) -> None:
    token = ".".join(b64(part) for part in (b"{}", b'{"iss": [], "jti": {}, "sub": 1, "grants": 5, "exp": "x"}', b"s"))
    response = json.dumps({"nonce_echo": "n"})
    await refused(worker, sink, {"X-AITP-TCT": token, "X-AITP-PoP": b64(response.encode())}, "pop_invalid")


async def test_unknown_capability_is_404(worker: WorkerProcess) -> None:
    answer = await worker.request("POST", "/capabilities/demo.nothing", "{}")
    assert (answer.status, answer.body["error"]["code"]) == (404, "capability_unknown")


async def test_function_that_is_not_offered_is_not_served(start: Start) -> None:
    worker = await start("alice", offered_caps=["demo.who"])
    assert (await worker.request("POST", ECHO, "{}")).status == 404
    answer = await worker.admin("self-execute", {"capability": "demo.echo", "input": {}})
    assert (answer.status, answer.body["error"]["code"]) == (404, "capability_unknown")


@pytest.mark.parametrize(
    ("body", "status"), [(b"{", 400), (b"[]", 400), (b'{"a": NaN}', 400), (b'"' + b"x" * (2 << 20) + b'"', 413)]
)
async def test_authorised_call_with_a_bad_body_is_refused_as_such(
    worker: WorkerProcess, caller: SdkPeer, body: Any, status: int
) -> None:
    headers = await caller.proof(worker, await caller.token_from(worker))
    assert (await worker.request("POST", ECHO, body, headers)).status == status


@pytest.mark.parametrize(
    ("capability", "status", "code"),
    [
        ("demo.picky", 400, "invalid_request"),
        ("demo.broken", 500, "worker_failed"),
        ("demo.mute", 500, "worker_failed"),
    ],
)
async def test_capability_that_fails_says_so_briefly_and_is_reported(
    worker: WorkerProcess, caller: SdkPeer, sink: TelemetrySink, capability: str, status: int, code: str
) -> None:
    token = await caller.token_from(worker, [capability])
    answer = await worker.request("POST", f"/capabilities/{capability}", "{}", await caller.proof(worker, token))
    assert (answer.status, answer.body["error"]["code"]) == (status, code)
    assert "cupboard" not in json.dumps(answer.body)
    [event] = await sink.wait_for("capability.invoked")
    assert (event["payload"]["status_code"], event["error"]) == (status, answer.body["error"]["message"])


async def test_trace_of_a_failing_capability_goes_to_stderr(worker: WorkerProcess) -> None:
    answer = await worker.admin("self-execute", {"capability": "demo.broken", "input": {}})
    assert (answer.status, answer.body["error"]["code"]) == (500, "worker_failed")
    worker.process.terminate()
    await worker.ended()
    assert b"the cupboard is bare" in worker.err


async def test_several_calls_under_one_token_at_once_all_pass(worker: WorkerProcess, caller: SdkPeer) -> None:
    token = await caller.token_from(worker)

    async def call(n: int) -> int:
        headers = await caller.proof(worker, token)
        answer = await worker.request("POST", ECHO, json.dumps({"n": n}), headers)
        assert answer.body == {"echo": {"n": n}}
        return answer.status

    assert await asyncio.gather(*map(call, range(20))) == [200] * 20


async def test_present_none_shows_no_token_though_one_is_held(pair: Pair) -> None:
    alice, _bob = pair
    await alice.admin("initiate-handshake", {"peer": "bob"})
    body = {"peer": "bob", "capability": "demo.echo", "input": {}}
    bare = await alice.admin("invoke", body | {"present": "none"})
    assert (bare.status, bare.body["status_code"]) == (200, 403)
    assert bare.body["body"]["error"]["code"] == "tct_missing"
    assert "presented_jti" not in bare.body
    assert (await alice.admin("invoke", body | {"present": "held"})).body["status_code"] == 200


async def test_newest_token_is_the_one_presented(pair: Pair) -> None:
    alice, _bob = pair
    jtis = [
        (await alice.admin("initiate-handshake", {"peer": "bob", "requested_grants": [grant]})).body["received"]["jti"]
        for grant in ("demo.echo", "demo.who")
    ]
    answer = await alice.admin("invoke", {"peer": "bob", "capability": "demo.echo", "input": {}})
    assert answer.body["presented_jti"] == jtis[-1]
    assert answer.body["body"]["error"]["code"] == "grant_missing"


async def test_held_token_is_found_under_the_agent_id_after_the_peer_changed_its_key(pair: Pair) -> None:
    alice, bob = pair
    jti = (await alice.admin("initiate-handshake", {"peer": "bob"})).body["received"]["jti"]
    renamed = {"agent_id": "bob", "aid": SdkPeer("x").aid, "manifest_url": bob.base_url + "/.well-known/aitp-manifest"}
    await alice.admin("peers", {"peers": [renamed]}, method="PUT")
    answer = await alice.admin("invoke", {"peer": "bob", "capability": "demo.echo", "input": {}})
    assert answer.body["presented_jti"] == jti


async def test_caller_signs_no_challenge_about_another_token(
    worker: WorkerProcess, http: aiohttp.ClientSession, sink: TelemetrySink
) -> None:
    served = MaliciousResponder(SdkPeer("mallory", ["m.one"]), worker.aid)
    await served.start()
    answered: list[str] = []

    async def challenge(_request: web.Request) -> web.Response:
        other = mint(SdkPeer("o", ["x.y"]), SdkPeer("p"), ["x.y"])
        return web.json_response(json.loads(served.peer.agent.new_pop_challenge(other)))

    async def capability(request: web.Request) -> web.Response:
        answered.append(request.headers["X-AITP-PoP"])
        return web.json_response({})

    app = web.Application()
    app.router.add_post("/aitp/pop/challenge", challenge)
    app.router.add_post("/capabilities/m.one", capability)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    try:
        await introduce(worker, served.peer)
        assert (await worker.admin("initiate-handshake", {"peer": "mallory"})).status == 200
        served.peer.base_url = f"http://127.0.0.1:{runner.addresses[0][1]}"
        await introduce(worker, served.peer)
        answer = await worker.admin("invoke", {"peer": "mallory", "capability": "m.one", "input": {}})
        assert answer.body["error"]["details"]["code"] == "challenge_mismatch"
        assert not answered
    finally:
        await runner.cleanup()
        await served.close()
