"""What it takes to be served a capability, and what is said to those who are not."""

from __future__ import annotations

import asyncio
import base64
import json
import time
from collections.abc import AsyncIterator, Callable
from typing import Any

import aitp
import pytest
from aiohttp import web
from aitp_verifier import tct

from base.http.bodies import MAX_VALUES
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


async def refused(
    worker: WorkerProcess, sink: TelemetrySink, headers: dict[str, str], code: str, registry: str, *, told: bool = True
) -> dict[str, Any]:
    """Call, expect 403 under the registry's code, and both codes in the log; returns the event.

    ``told``: the caller is introduced and has proven its key, so it hears the finer word as well.
    """
    answer = await worker.request("POST", ECHO, '{"n": 1}', headers)
    assert (answer.status, answer.body["error"]["code"]) == (403, registry), answer
    assert answer.body["error"].get("details", {}).get("reason") == (code if told else None)
    event = (await sink.wait_for("capability.denied"))[-1]
    assert (event["capability"], event["payload"]["code"]) == ("demo.echo", code)
    assert event["payload"]["registry_code"] == registry
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
    event = await refused(worker, sink, {}, "tct_missing", "POLICY_VIOLATION", told=False)
    known = {"code": "tct_missing", "registry_code": "POLICY_VIOLATION"}
    assert event["payload"] == known, "what is not known of the caller is left out"


async def test_call_without_proof_is_refused(worker: WorkerProcess, caller: SdkPeer, sink: TelemetrySink) -> None:
    token = await caller.token_from(worker)
    event = await refused(worker, sink, {"X-AITP-TCT": token}, "pop_required", "POP_RESPONSE_INVALID", told=False)
    assert (event["jti"], event["aid"]) == (claims_of(token)["jti"], caller.aid)


async def test_replayed_proof_is_refused(worker: WorkerProcess, caller: SdkPeer, sink: TelemetrySink) -> None:
    headers = await caller.proof(worker, await caller.token_from(worker))
    assert (await worker.request("POST", ECHO, "{}", headers)).status == 200
    answer = await worker.request("POST", ECHO, "{}", headers)
    assert (answer.status, answer.body["error"]["code"]) == (403, "POP_CHALLENGE_INVALID")
    assert len(await sink.wait_for("capability.denied")) == 1


async def test_proof_by_another_key_is_refused(worker: WorkerProcess, caller: SdkPeer, sink: TelemetrySink) -> None:
    thief = SdkPeer("thief")
    for bare in (False, True):
        proof = await caller.proof(worker, await caller.token_from(worker), signer=thief.agent, bare=bare)
        await refused(worker, sink, proof, "pop_invalid", "POP_RESPONSE_INVALID", told=False)


async def test_proof_for_another_token_is_refused(worker: WorkerProcess, caller: SdkPeer, sink: TelemetrySink) -> None:
    first, second = await caller.token_from(worker), await caller.token_from(worker)
    headers = await caller.proof(worker, first)
    await refused(worker, sink, headers | {"X-AITP-TCT": second}, "pop_invalid", "POP_RESPONSE_INVALID", told=False)


async def test_proof_on_a_challenge_of_the_callers_own_making_is_refused(
    worker: WorkerProcess, caller: SdkPeer, sink: TelemetrySink
) -> None:
    token = await caller.token_from(worker)
    response = caller.agent.sign_pop_response(caller.agent.new_pop_challenge(token))
    headers = {"X-AITP-TCT": token, "X-AITP-PoP": b64(response.encode())}
    await refused(worker, sink, headers, "pop_invalid", "POP_RESPONSE_INVALID", told=False)


async def test_token_of_a_third_party_for_the_same_capability_is_refused(
    worker: WorkerProcess, caller: SdkPeer, sink: TelemetrySink
) -> None:
    third = SdkPeer("third", ["demo.echo"])
    token = mint(third, caller, ["demo.echo"])
    assert claims_of(token)["grants"] == ["demo.echo"]
    await refused(worker, sink, await caller.proof(worker, token), "wrong_issuer", "TCT_SIGNATURE_INVALID")


async def test_token_whose_issuer_was_rewritten_is_refused(
    worker: WorkerProcess, caller: SdkPeer, sink: TelemetrySink
) -> None:
    third = SdkPeer("third", ["demo.echo"])
    head, _, signature = mint(third, caller, ["demo.echo"]).split(".")
    claims = claims_of(mint(third, caller, ["demo.echo"])) | {"iss": worker.aid}
    forged = ".".join((head, b64(json.dumps(claims).encode()), signature))
    await refused(worker, sink, await caller.proof(worker, forged), "tct_invalid", "TCT_SIGNATURE_INVALID")


async def test_token_without_the_grant_is_refused(worker: WorkerProcess, caller: SdkPeer, sink: TelemetrySink) -> None:
    token = await caller.token_from(worker, ["demo.who"])
    await refused(worker, sink, await caller.proof(worker, token), "grant_missing", "POLICY_VIOLATION")
    ok = await worker.request("POST", "/capabilities/demo.who", "{}", await caller.proof(worker, token))
    assert ok.status == 200


async def test_token_with_grants_written_in_is_refused(
    worker: WorkerProcess, caller: SdkPeer, sink: TelemetrySink
) -> None:
    head, _, signature = (token := await caller.token_from(worker, ["demo.who"])).split(".")
    claims = claims_of(token) | {"grants": ["demo.echo"]}
    forged = ".".join((head, b64(json.dumps(claims).encode()), signature))
    await refused(worker, sink, await caller.proof(worker, forged), "tct_invalid", "TCT_SIGNATURE_INVALID")


async def test_expired_token_is_refused(start: Start, sink: TelemetrySink) -> None:
    worker = await start("alice", ttl_secs=6)
    caller = SdkPeer("carol")
    await introduce(worker, caller)
    token = await caller.token_from(worker)
    await asyncio.sleep(claims_of(token)["exp"] + 1 - time.time())  # nothing but time expires a token
    await refused(worker, sink, await caller.proof(worker, token), "tct_expired", "TCT_EXPIRED")


@pytest.mark.parametrize(
    ("token", "code"),
    [
        ("garbage", "TCT_SIGNATURE_INVALID"),
        ("a.b.c", "TCT_SIGNATURE_INVALID"),
        ("e30.e30.e30", "TOKEN_TYP_MISMATCH"),
    ],
)
async def test_challenge_for_something_that_is_no_token_is_refused(
    worker: WorkerProcess, sink: TelemetrySink, token: str, code: str
) -> None:
    answer = await worker.request("POST", "/aitp/pop/challenge", "{}", {"X-AITP-TCT": token})
    assert (answer.status, answer.body["error"]["code"]) == (403, code)
    payload = (await sink.wait_for("capability.denied"))[0]["payload"]
    assert (payload["code"], payload["registry_code"]) == ("tct_invalid", code)


async def test_challenge_without_token_is_refused(worker: WorkerProcess) -> None:
    answer = await worker.request("POST", "/aitp/pop/challenge", "{}")
    assert (answer.status, answer.body["error"]["code"]) == (403, "POLICY_VIOLATION")


@pytest.mark.parametrize("header", ["X-AITP-PoP", "x-aitp-pop-response"])
@pytest.mark.parametrize(
    "proof", ["%%%", b64(b"[]"), b64(b"{}"), b64(b"\xff"), b64(b'{"message_type": "pop_response"}')]
)
async def test_proof_that_is_none_is_refused(
    worker: WorkerProcess, caller: SdkPeer, sink: TelemetrySink, header: str, proof: str
) -> None:
    headers = {"X-AITP-TCT": await caller.token_from(worker), header: proof}
    await refused(worker, sink, headers, "pop_invalid", "POP_RESPONSE_INVALID", told=False)


async def test_token_with_claims_of_the_wrong_shape_is_refused(worker: WorkerProcess, sink: TelemetrySink) -> None:
    token = ".".join(b64(part) for part in (b"{}", b'{"iss": [], "jti": {}, "sub": 1, "grants": 5, "exp": "x"}', b"s"))
    response = json.dumps({"nonce_echo": "n"})
    headers = {"X-AITP-TCT": token, "X-AITP-PoP": b64(response.encode())}
    await refused(worker, sink, headers, "pop_invalid", "POP_RESPONSE_INVALID", told=False)


async def test_unknown_capability_is_404(worker: WorkerProcess) -> None:
    answer = await worker.request("POST", "/capabilities/demo.nothing", "{}")
    assert (answer.status, answer.body["error"]["code"]) == (404, "POLICY_VIOLATION")


async def test_function_that_is_not_offered_is_not_served(start: Start) -> None:
    worker = await start("alice", offered_caps=["demo.who"])
    assert (await worker.request("POST", ECHO, "{}")).status == 404
    answer = await worker.admin("self-execute", {"capability": "demo.echo", "input": {}})
    assert (answer.status, answer.body["error"]["code"]) == (404, "capability_unknown")


@pytest.mark.parametrize(
    ("body", "status"),
    [
        (b"{", 400),
        (b"[]", 400),
        (b'{"a": NaN}', 400),
        (b'"' + b"x" * (2 << 20) + b'"', 413),
        (b'{"a": [' + b"0," * MAX_VALUES + b"0]}", 413),
    ],
)
async def test_authorised_call_with_a_bad_body_is_refused_as_such(
    worker: WorkerProcess, caller: SdkPeer, body: Any, status: int
) -> None:
    reason = "payload_too_large" if status == 413 else "invalid_request"
    for known in (True, False):
        headers = await caller.proof(worker, await caller.token_from(worker))
        await introduce(worker, *[caller] * known)
        answer = await worker.request("POST", ECHO, body, headers)
        told = answer.body["error"]
        assert (answer.status, told["code"], told["retryable"]) == (status, "INVALID_ENVELOPE", False)
        assert told.get("details") == ({"reason": reason} if known else None), "only the introduced are told more"


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
    assert bare.body["body"]["error"]["code"] == "POLICY_VIOLATION"
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
    assert answer.body["body"]["error"]["details"]["reason"] == "grant_missing"


async def test_held_token_is_found_under_the_agent_id_after_the_peer_changed_its_key(pair: Pair, start: Start) -> None:
    alice, bob = pair
    jti = (await alice.admin("initiate-handshake", {"peer": "bob"})).body["received"]["jti"]
    changed = await start("bob")
    assert changed.aid != bob.aid
    await introduce(alice, changed)
    answer = await alice.admin("invoke", {"peer": "bob", "capability": "demo.echo", "input": {}})
    assert answer.body["presented_jti"] == jti
    assert answer.body["body"]["error"]["code"] == "TCT_SIGNATURE_INVALID"


async def test_caller_proves_nothing_to_another_key_than_its_peers(pair: Pair, sink: TelemetrySink) -> None:
    alice, bob = pair
    await alice.admin("initiate-handshake", {"peer": "bob"})
    other = {"agent_id": "bob", "aid": SdkPeer("x").aid, "manifest_url": bob.base_url + "/.well-known/aitp-manifest"}
    await alice.admin("peers", {"peers": [other]}, method="PUT")
    answer = await alice.admin("invoke", {"peer": "bob", "capability": "demo.echo", "input": {}})
    assert (answer.status, answer.body["error"]["details"]["code"]) == (502, "POP_CHALLENGE_INVALID")
    await bob.admin("flush", {})
    assert not sink.of_type("capability.invoked")


class Callee:
    """Serves ``m.one`` as a peer with a handshake behind it, with whatever challenge ``challenge(token)`` gives."""

    def __init__(self, peer: SdkPeer) -> None:
        self.peer = peer
        self.challenge: Callable[[str], str] = peer.agent.new_pop_challenge
        self.content_type = "application/json"
        self.proofs: list[dict[str, str]] = []
        self._runner: web.AppRunner | None = None

    async def start(self) -> str:
        app = web.Application()
        app.router.add_post("/aitp/pop/challenge", self._challenge)
        app.router.add_post("/capabilities/m.one", self._capability)
        self._runner = web.AppRunner(app, access_log=None)
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", 0).start()
        return f"http://127.0.0.1:{self._runner.addresses[0][1]}"

    async def close(self) -> None:
        assert self._runner
        await self._runner.cleanup()

    def signed(self, token: str, **given: Any) -> str:
        return self.peer.agent.sign_envelope("pop_challenge", self.peer.agent.new_pop_challenge(token), **given)

    async def _challenge(self, request: web.Request) -> web.Response:
        return web.Response(text=self.challenge(request.headers["X-AITP-TCT"]), content_type=self.content_type)

    async def _capability(self, request: web.Request) -> web.Response:
        self.proofs.append({name: value for name, value in request.headers.items() if "pop" in name.lower()})
        return web.json_response({})


@pytest.fixture
async def callee(worker: WorkerProcess) -> AsyncIterator[Callee]:
    """One from which ``worker`` holds a token."""
    shaken = MaliciousResponder(SdkPeer("mallory", ["m.one"]), worker.aid)
    await shaken.start()
    callee = Callee(shaken.peer)
    try:
        await introduce(worker, shaken.peer)
        assert (await worker.admin("initiate-handshake", {"peer": "mallory"})).status == 200
        shaken.peer.base_url = await callee.start()
        await introduce(worker, shaken.peer)
        yield callee
    finally:
        await callee.close()
        await shaken.close()


CALL = {"peer": "mallory", "capability": "m.one", "input": {}}


def unpacked(text: str) -> dict[str, Any]:
    document: dict[str, Any] = json.loads(base64.urlsafe_b64decode(text + "=" * (-len(text) % 4)))
    return document


async def test_caller_answers_an_envelope_with_one_of_its_own(worker: WorkerProcess, callee: Callee) -> None:
    callee.challenge = callee.signed
    assert (await worker.admin("invoke", CALL)).body["status_code"] == 200
    [(name, text)] = callee.proofs[0].items()
    envelope = unpacked(text)
    aitp.verify_envelope(json.dumps(envelope), worker.aid)
    assert (name.lower(), envelope["message_type"]) == ("x-aitp-pop-response", "pop_response")
    assert envelope["payload"].keys() == {"tct_jti", "nonce_echo", "pop_signature"}


async def test_caller_answers_a_bare_challenge_as_barely(worker: WorkerProcess, callee: Callee) -> None:
    assert (await worker.admin("invoke", CALL)).body["status_code"] == 200
    [(name, text)] = callee.proofs[0].items()
    assert (name.lower(), unpacked(text).keys()) == ("x-aitp-pop", {"tct_jti", "nonce_echo", "pop_signature"})


@pytest.mark.parametrize("form", ["bare", "signed"])
async def test_caller_signs_no_challenge_about_another_token(worker: WorkerProcess, callee: Callee, form: str) -> None:
    other = mint(SdkPeer("o", ["x.y"]), SdkPeer("p"), ["x.y"])
    make = callee.peer.agent.new_pop_challenge if form == "bare" else callee.signed
    callee.challenge = lambda _token: make(other)
    answer = await worker.admin("invoke", CALL)
    assert answer.body["error"]["details"]["code"] == "challenge_mismatch"
    assert not callee.proofs


async def test_caller_signs_no_challenge_that_its_peer_did_not_make(worker: WorkerProcess, callee: Callee) -> None:
    other = aitp.AitpAgent.generate()

    def passed_on(token: str) -> str:
        return other.sign_envelope("pop_challenge", callee.peer.agent.new_pop_challenge(token))

    def forged(token: str) -> str:
        return passed_on(token).replace(other.aid, callee.peer.aid)

    def of_another_type(token: str) -> str:
        return callee.peer.agent.sign_envelope("pop_response", callee.peer.agent.new_pop_challenge(token))

    def no_challenge(_token: str) -> str:
        return "[]"

    for challenge in (passed_on, forged, of_another_type, no_challenge):
        callee.challenge = challenge
        answer = await worker.admin("invoke", CALL)
        assert answer.body["error"]["details"]["code"] == "POP_CHALLENGE_INVALID", challenge
    callee.challenge = lambda token: callee.signed(token, timestamp=int(time.time()) - 400)
    assert (await worker.admin("invoke", CALL)).body["error"]["details"]["code"] == "TIMESTAMP_EXPIRED"
    assert not callee.proofs


async def test_caller_reads_no_challenge_that_does_not_say_it_is_json(worker: WorkerProcess, callee: Callee) -> None:
    callee.content_type = "text/html"
    answer = await worker.admin("invoke", CALL)
    assert answer.body["error"]["details"]["class"] == "not_json"
    assert not callee.proofs


@pytest.mark.parametrize("header", ["X-AITP-PoP", "x-aitp-pop-response"])
@pytest.mark.parametrize("bare", [False, True])
async def test_proof_is_read_in_either_form_from_either_header(
    worker: WorkerProcess, caller: SdkPeer, header: str, bare: bool
) -> None:
    headers = await caller.proof(worker, await caller.token_from(worker), bare=bare, header=header)
    assert (await worker.request("POST", ECHO, "{}", headers)).status == 200


async def test_challenge_is_signed_fresh_and_of_128_bits(worker: WorkerProcess, caller: SdkPeer) -> None:
    token = await caller.token_from(worker)
    given = [json.loads(await caller.challenge(worker, token)) for _ in range(20)]
    assert {len(base64.urlsafe_b64decode(challenge["nonce"] + "==")) for challenge in given} == {16}
    assert len({challenge["nonce"] for challenge in given}) == 20
    assert {challenge["tct_jti"] for challenge in given} == {claims_of(token)["jti"]}
    assert all(0 < challenge["expires_at"] - time.time() <= 60 for challenge in given)


async def test_envelope_of_another_around_the_holders_proof_is_refused(
    worker: WorkerProcess, caller: SdkPeer, sink: TelemetrySink
) -> None:
    token, thief = await caller.token_from(worker), SdkPeer("thief")
    response = caller.agent.sign_pop_response(await caller.challenge(worker, token))
    envelope = thief.agent.sign_envelope("pop_response", response)
    headers = {"X-AITP-TCT": token, "X-AITP-PoP-Response": b64(envelope.encode())}
    await refused(worker, sink, headers, "pop_invalid", "POP_RESPONSE_INVALID", told=False)


async def test_independent_verifier_accepts_the_exchange_and_so_does_the_worker(
    worker: WorkerProcess, caller: SdkPeer
) -> None:
    token = await caller.token_from(worker)
    challenge = json.loads(await caller.challenge(worker, token))
    response = caller.agent.sign_pop_response(json.dumps(challenge))
    envelope = caller.agent.sign_envelope("pop_response", response)
    asked = {
        "self_aid": worker.aid,
        "tct_token": token,
        "envelope": json.loads(envelope),
        "outstanding_pop_challenges": [challenge],
        "policy": {"fail_mode": "fail_open"},
    }
    verified = tct.verify_tct_as_issuer(asked, int(time.time()))
    assert verified == {"presenter_aid": caller.aid, "grants": ["demo.echo"]}
    headers = {"X-AITP-TCT": token, "X-AITP-PoP-Response": b64(envelope.encode())}
    assert (await worker.request("POST", ECHO, "{}", headers)).status == 200


async def test_strangers_challenges_do_not_push_out_an_honest_callers(worker: WorkerProcess, caller: SdkPeer) -> None:
    honest = await caller.token_from(worker)
    headers = await caller.proof(worker, honest)
    stranger = SdkPeer("stranger", ["demo.echo"])
    head, _, signature = mint(stranger, caller, ["demo.echo"]).split(".")
    forged = ".".join((head, b64(json.dumps(claims_of(honest)).encode()), signature))

    async def ask(times: int) -> None:
        for _ in range(times):
            answer = await worker.request("POST", "/aitp/pop/challenge", "{}", {"X-AITP-TCT": forged})
            assert answer.status == 200

    await asyncio.gather(*(ask(550) for _ in range(8)))
    assert (await worker.request("POST", ECHO, "{}", headers)).status == 200
