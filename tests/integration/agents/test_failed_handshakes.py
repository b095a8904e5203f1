"""Handshakes that fail, broken after each of their four messages: whoever reports the failure is left with nothing."""

from __future__ import annotations

import json

import aitp
import pytest

from base.protocol.budgets import PER_STRANGER
from tests.integration.agents.harness import (
    DEMO_CAPS,
    Answer,
    MaliciousResponder,
    Pair,
    SdkPeer,
    TelemetrySink,
    WorkerProcess,
    claims_of,
    introduce,
)

LIST = "/.well-known/aitp-revocation-list"
HANDSHAKE = "/aitp/handshake/"


@pytest.fixture
async def initiator(worker: WorkerProcess) -> SdkPeer:
    peer = SdkPeer("mallory")
    await introduce(worker, peer)
    return peer


async def listed(worker: WorkerProcess) -> set[str]:
    """The jtis on the worker's own list, whose signature holds."""
    answer = await worker.request("GET", LIST)
    aitp.verify_revocation_list(json.dumps(answer.body), worker.aid)
    return {entry["jti"] for entry in answer.body["revocation_list"]["entries"]}


async def call(worker: WorkerProcess, peer: SdkPeer, token: str) -> Answer:
    return await worker.request("POST", f"/capabilities/{DEMO_CAPS[0]}", "{}", await peer.proof(worker, token))


async def shake(worker: WorkerProcess, direction: str = "both") -> Answer:
    answer: Answer = await worker.admin("initiate-handshake", {"peer": "mallory", "direction": direction})
    return answer


@pytest.mark.parametrize("how", ["hang up", "garbage", "refuse", "fail"])
@pytest.mark.parametrize("direction", ["both", "one"])
async def test_an_answer_to_the_commit_that_is_none_takes_back_the_token_that_was_sent(
    worker: WorkerProcess, responder: MaliciousResponder, sink: TelemetrySink, how: str, direction: str
) -> None:
    responder.broken["commit_ack"] = how
    assert (await shake(worker, direction)).status == 502
    [token] = responder.tokens
    refused = await call(worker, responder.peer, token)
    assert refused.status == 403, refused
    assert refused.body["error"]["code"] == ("TCT_REVOKED" if direction == "both" else "POLICY_VIOLATION")
    jti = claims_of(token)["jti"]
    assert await listed(worker) == {jti}
    [dropped] = await sink.wait_for("tct.dropped")
    assert (dropped["jti"], dropped["target"], dropped["payload"]) == (
        jti,
        "mallory",
        {"because": "handshake_failed", "side": "issued"},
    )
    held = await worker.admin("invoke", {"peer": "mallory", "capability": "m.one", "input": {}})
    assert (held.status, held.body["error"]["code"]) == (409, "no_tct_held")
    failed = sink.of_type("handshake.failed")
    assert len(failed) == 1
    responder.broken.clear()
    assert (await shake(worker)).status == 200
    assert (await call(worker, responder.peer, responder.tokens[-1])).status == 200, "a later handshake is good"


@pytest.mark.parametrize("how", ["hang up", "garbage", "refuse", "fail"])
async def test_an_answer_to_the_hello_that_is_none_leaves_nothing_to_take_back(
    worker: WorkerProcess, responder: MaliciousResponder, sink: TelemetrySink, how: str
) -> None:
    responder.broken["ack"] = how
    answer = await shake(worker)
    assert answer.status == 502
    await sink.wait_for("handshake.failed")
    assert not responder.tokens
    assert not await listed(worker)
    assert not sink.of_type("tct.dropped")


async def test_the_code_of_an_error_envelope_is_read(
    worker: WorkerProcess, responder: MaliciousResponder, sink: TelemetrySink
) -> None:
    responder.broken["ack"] = "refuse"
    details = (await shake(worker)).body["error"]["details"]
    assert (details["code"], details["retryable"], details["status"]) == ("POLICY_VIOLATION", False, 400)
    [event] = await sink.wait_for("handshake.failed")
    assert (event["payload"]["code"], event["payload"]["registry_code"]) == ("POLICY_VIOLATION", "POLICY_VIOLATION")


DEFECTS = {
    "nonce": ({"pop_nonce_echo": "A" * 22}, "NONCE_MISMATCH"),
    "proof": ({"pop_signature": "A" * 86}, "POP_VERIFICATION_FAILED"),
    "no token": ({"tct": "a.b.c"}, "TCT_SIGNATURE_INVALID"),
    "a member too many": ({"more": 1}, "UNKNOWN_FIELD"),
}


@pytest.mark.parametrize("defect", DEFECTS)
async def test_a_last_message_that_is_no_good_takes_the_token_back_and_tells_the_peer(
    worker: WorkerProcess, responder: MaliciousResponder, sink: TelemetrySink, defect: str
) -> None:
    changes, code = DEFECTS[defect]
    responder.tamper = lambda route, text: (
        responder.peer.signed_again(text, **changes) if route == "commit_ack" else text
    )
    assert (await shake(worker)).body["error"]["details"]["code"] == code
    assert (await call(worker, responder.peer, responder.tokens[0])).body["error"]["code"] == "TCT_REVOKED"
    assert await listed(worker) == {claims_of(responder.tokens[0])["jti"]}
    [error] = responder.errors
    aitp.verify_envelope(json.dumps(error), worker.aid)
    assert (error["message_type"], error["payload"]["code"]) == ("error", code)
    assert error["payload"].keys() == {"code", "reason", "retryable"}


async def test_a_peer_that_hung_up_or_refused_is_told_nothing(
    worker: WorkerProcess, responder: MaliciousResponder
) -> None:
    for how in ("hang up", "refuse"):
        responder.broken["commit_ack"] = how
        await shake(worker)
    assert not responder.errors


@pytest.mark.parametrize("defect", DEFECTS)
async def test_a_commit_that_is_refused_leaves_no_token_on_either_side(
    worker: WorkerProcess, initiator: SdkPeer, sink: TelemetrySink, defect: str
) -> None:
    changes, code = DEFECTS[defect]
    _, commit, session_id = await initiator.open(worker)
    header = {"X-Aitp-Session-Id": session_id}
    bad = initiator.agent.sign_envelope("mutual_commit", json.dumps(json.loads(commit)["payload"] | changes))
    answer = await worker.request("POST", HANDSHAKE + "commit", bad, header)
    assert (answer.status, answer.body["error"]["code"]) == (400, code)
    again = await worker.request("POST", HANDSHAKE + "commit", commit, header)
    assert (again.status, again.body["error"]["code"]) == (400, "INVALID_ENVELOPE"), "the session was spent"
    held = await worker.admin("invoke", {"peer": "mallory", "capability": "peer.thing", "input": {}})
    assert (held.status, held.body["error"]["code"]) == (409, "no_tct_held")
    revoke = await worker.admin("revoke-tct", {"audience": "mallory"})
    assert (revoke.status, revoke.body["error"]["code"]) == (409, "no_tct_issued")


@pytest.mark.parametrize("path", [HANDSHAKE, HANDSHAKE + "hello", HANDSHAKE + "commit"])
async def test_a_responder_takes_back_what_its_initiator_says_has_failed(
    worker: WorkerProcess, initiator: SdkPeer, sink: TelemetrySink, path: str
) -> None:
    _, commit, session_id = await initiator.open(worker)
    header = {"X-Aitp-Session-Id": session_id}
    commit_ack = await worker.request("POST", HANDSHAKE + "commit", commit, header)
    token = commit_ack.body["payload"]["tct"]
    assert (await call(worker, initiator, token)).status == 200
    error = {"code": "NONCE_MISMATCH", "reason": "the nonce is not the one that was sent", "retryable": False}
    message = initiator.agent.sign_envelope("error", json.dumps(error))
    assert (await worker.request("POST", path, message, header)).status == 200
    assert (await call(worker, initiator, token)).body["error"]["code"] == "TCT_REVOKED"
    assert await listed(worker) == {claims_of(token)["jti"]}
    dropped = await sink.wait_for("tct.dropped", 2)
    assert {event["payload"]["side"] for event in dropped} == {"issued", "held"}
    assert {event["payload"]["because"] for event in dropped} == {"peer_failed_it"}
    held = await worker.admin("invoke", {"peer": "mallory", "capability": "peer.thing", "input": {}})
    assert (held.status, held.body["error"]["code"]) == (409, "no_tct_held")


async def test_nobody_takes_back_the_handshake_of_another(worker: WorkerProcess) -> None:
    honest, mallory = SdkPeer("honest"), SdkPeer("mallory")
    await introduce(worker, honest, mallory)
    _, commit, session_id = await honest.open(worker)
    header = {"X-Aitp-Session-Id": session_id}
    token = (await worker.request("POST", HANDSHAKE + "commit", commit, header)).body["payload"]["tct"]
    error = json.dumps({"code": "NONCE_MISMATCH", "reason": "", "retryable": False})
    answer = await worker.request("POST", HANDSHAKE, mallory.agent.sign_envelope("error", error), header)
    assert (answer.status, answer.body["payload"]["code"]) == (400, "INVALID_ENVELOPE")
    forged = json.loads(mallory.agent.sign_envelope("error", error)) | {"sender": {"agent_id": honest.aid}}
    answer = await worker.request("POST", HANDSHAKE, json.dumps(forged), header)
    assert (answer.status, answer.body["payload"]["code"]) == (400, "INVALID_SIGNATURE")
    assert (await call(worker, honest, token)).status == 200


async def test_a_token_that_bears_the_id_of_anothers_does_not_take_that_one_along(worker: WorkerProcess) -> None:
    """The id of what an initiator issues is of its own choosing, and may be known from a voucher."""
    honest, mallory = SdkPeer("honest"), SdkPeer("mallory")
    await introduce(worker, honest, mallory)
    token = await honest.token_from(worker)
    jti = claims_of(token)["jti"]
    _, commit, session_id = await mallory.open(worker)
    payload = json.loads(commit)["payload"]
    payload |= {"tct": mallory.reissue(payload["tct"], jti=jti), "grant_voucher": None}
    header = {"X-Aitp-Session-Id": session_id}
    message = mallory.agent.sign_envelope("mutual_commit", json.dumps(payload))
    assert (await worker.request("POST", HANDSHAKE + "commit", message, header)).status == 200
    error = json.dumps({"code": "NONCE_MISMATCH", "reason": "", "retryable": False})
    ended = await worker.request("POST", HANDSHAKE, mallory.agent.sign_envelope("error", error), header)
    assert ended.status == 200
    assert (await call(worker, honest, token)).status == 200
    assert jti not in await listed(worker)


async def test_an_error_about_a_handshake_that_is_open_leaves_the_one_before_alone(
    worker: WorkerProcess, initiator: SdkPeer, sink: TelemetrySink
) -> None:
    token = await initiator.token_from(worker)
    _, commit, session_id = await initiator.open(worker)
    error = json.dumps({"code": "IDENTITY_FAILED", "reason": "", "retryable": False})
    header = {"X-Aitp-Session-Id": session_id}
    answer = await worker.request("POST", HANDSHAKE, initiator.agent.sign_envelope("error", error), header)
    assert answer.status == 200
    assert (await call(worker, initiator, token)).status == 200
    assert not await listed(worker)
    late = await worker.request("POST", HANDSHAKE + "commit", commit, header)
    assert (late.status, late.body["error"]["code"]) == (400, "INVALID_ENVELOPE"), "it is over"


@pytest.mark.parametrize("known", [True, False])
async def test_an_error_that_was_signed_for_somebody_else_does_nothing_and_tells_nothing(
    pair: Pair, known: bool
) -> None:
    """An agent signs an error to anybody who posts nonsense; it names neither whom it is for nor which handshake."""
    alice, bob = pair
    await bob.admin("initiate-handshake", {"peer": "alice"})
    if not known:
        await introduce(alice)
    signed = json.dumps((await bob.request("POST", HANDSHAKE, "{}")).body)
    for header in ({}, {"X-Aitp-Session-Id": "made up"}):
        answers = [await alice.request("POST", HANDSHAKE, signed, header) for _ in range(PER_STRANGER)]
        if header == {}:
            assert {answer.body["payload"]["code"] for answer in answers} == {"INVALID_ENVELOPE"}
        else:
            assert {answer.status for answer in answers} == {429}, "they are charged like a stranger's"
    await introduce(alice, bob)
    task = {"peer": "alice", "capability": "demo.echo", "input": {}}
    assert (await bob.admin("invoke", task)).body["status_code"] == 200
    assert (await bob.admin("initiate-handshake", {"peer": "alice"})).status == 200


async def test_a_commit_that_was_made_for_somebody_else_ends_no_handshake(worker: WorkerProcess) -> None:
    victim, mallory = SdkPeer("victim"), SdkPeer("mallory")
    await introduce(worker, victim)
    session, commit, _ = await victim.open(worker)
    elsewhere = victim.agent.new_session(pinned_keys=[mallory.aid])
    responder = mallory.agent.new_responder(pinned_keys=[victim.aid])
    for_mallory = elsewhere.process_hello_ack(
        *responder.process_hello(elsewhere.build_hello(mallory.manifest, ["peer.thing"]))
    )
    passed_on = await worker.request("POST", HANDSHAKE, for_mallory)
    assert (passed_on.status, passed_on.body["payload"]["code"]) == (400, "NONCE_MISMATCH")
    answer = await worker.request("POST", HANDSHAKE, commit)
    assert answer.status == 200, answer
    session.complete(json.dumps(answer.body), revoked_jtis=set())


async def test_a_signed_error_under_a_good_status_is_an_error(
    worker: WorkerProcess, responder: MaliciousResponder
) -> None:
    error = {"code": "POLICY_VIOLATION", "reason": "no", "retryable": False}
    responder.tamper = lambda route, text: (
        responder.peer.agent.sign_envelope("error", json.dumps(error)) if route == "commit_ack" else text
    )
    details = (await shake(worker)).body["error"]["details"]
    assert (details["code"], details["retryable"], details["status"]) == ("POLICY_VIOLATION", False, 200)
    assert (await call(worker, responder.peer, responder.tokens[0])).body["error"]["code"] == "TCT_REVOKED"
    assert not responder.errors, "it knows"
