"""Handshakes between real workers, and with peers that do not play fair."""

from __future__ import annotations

import asyncio
import json
import time
import uuid
from typing import Any

import aitp
import pytest

from tests.integration.agents.harness import (
    DEMO_CAPS,
    Answer,
    Make,
    MaliciousResponder,
    Pair,
    SdkPeer,
    Start,
    TelemetrySink,
    WorkerProcess,
    claims_of,
    introduce,
)

HELLO = "/aitp/handshake/hello"
COMMIT = "/aitp/handshake/commit"


@pytest.fixture
async def stranger(worker: WorkerProcess) -> SdkPeer:
    """An introduced peer in the hands of the test."""
    peer = SdkPeer("mallory")
    await introduce(worker, peer)
    return peer


def refusal(answer: Answer) -> tuple[int, str]:
    return answer.status, answer.body["error"]["code"]


def reason(answer: Answer) -> str:
    """Our own word for a refusal, which only those are told that were introduced and have proven their key."""
    word: str = answer.body["error"]["details"]["reason"]
    return word


async def shake(worker: WorkerProcess, peer: str, **given: Any) -> Any:
    return await worker.admin("initiate-handshake", {"peer": peer, **given})


async def test_mutual_handshake_gives_each_side_a_token_it_can_use(pair: Pair, sink: TelemetrySink) -> None:
    alice, bob = pair
    answer = await shake(alice, "bob", requested_grants=["demo.echo"], direction="both")
    assert answer.status == 200
    assert answer.body["peer_aid"] == bob.aid
    assert answer.body["received"]["grants"] == ["demo.echo"]
    assert answer.body["issued"]["grants"] == DEMO_CAPS
    there = await alice.admin("invoke", {"peer": "bob", "capability": "demo.echo", "input": {"n": 1}})
    back = await bob.admin("invoke", {"peer": "alice", "capability": "demo.who", "input": {}})
    assert (there.body["status_code"], there.body["body"]) == (200, {"echo": {"n": 1}})
    assert there.body["presented_jti"] == answer.body["received"]["jti"]
    assert (back.body["status_code"], back.body["body"]["agent_id"]) == (200, "alice")
    assert back.body["presented_jti"] == answer.body["issued"]["jti"]


async def test_initiator_alone_reports_the_handshake_with_the_claims_of_both_tokens(
    pair: Pair, sink: TelemetrySink
) -> None:
    alice, bob = pair
    answer = (await shake(alice, "bob", direction="both")).body
    await bob.admin("flush", {})
    [complete] = await sink.wait_for("handshake.complete")
    [started] = sink.of_type("handshake.started")
    for event in (started, complete):
        assert (event["initiator"], event["target"]) == ("alice", "bob")
        assert (event["aid_a"], event["aid_b"]) == (alice.aid, bob.aid)
        assert event["session_id"] == answer["session_id"]
        assert event["payload"]["boundary"] == "intra_org"
    assert complete["grants"] == DEMO_CAPS
    assert [claims["jti"] for claims in complete["payload"]["tcts"]] == [
        answer["received"]["jti"],
        answer["issued"]["jti"],
    ]


@pytest.mark.parametrize("direction", ["both", "one"])
async def test_responder_reports_what_it_issued_and_what_it_keeps(
    pair: Pair, sink: TelemetrySink, direction: str
) -> None:
    alice, bob = pair
    answer = (await shake(alice, "bob", requested_grants=["demo.echo"], direction=direction)).body
    [answered] = await sink.wait_for("handshake.answered")
    assert (answered["initiator"], answered["target"], answered["session_id"]) == ("alice", "bob", answer["session_id"])
    assert (answered["aid_a"], answered["aid_b"]) == (alice.aid, bob.aid)
    assert (answered["jti"], answered["grants"]) == (answer["received"]["jti"], ["demo.echo"])
    kept = [answer["received"]["jti"]] + ([answer["issued"]["jti"]] if direction == "both" else [])
    assert [claims["jti"] for claims in answered["payload"]["tcts"]] == kept
    assert answered["payload"]["direction"] == direction


async def test_one_way_handshake_leaves_the_responder_with_nothing(pair: Pair) -> None:
    alice, bob = pair
    answer = await shake(alice, "bob", requested_grants=["demo.echo"], direction="one")
    assert answer.status == 200
    assert answer.body["issued"] is None
    there = await alice.admin("invoke", {"peer": "bob", "capability": "demo.echo", "input": {}})
    assert there.body["status_code"] == 200
    back = await bob.admin("invoke", {"peer": "alice", "capability": "demo.echo", "input": {}})
    assert refusal(back) == (409, "no_tct_held")


async def test_one_way_initiator_shows_its_published_manifest_and_grants_one_thing_that_it_does_not_honour(
    worker: WorkerProcess, responder: MaliciousResponder
) -> None:
    published = (await worker.request("GET", "/.well-known/aitp-manifest")).body["manifest"]
    answer = await shake(worker, "mallory", direction="one")
    assert (answer.status, answer.body["issued"]) == (200, None)
    [hello] = responder.hellos
    assert hello["payload"]["manifest"] == published
    assert published["offered_capabilities"] == DEMO_CAPS
    assert hello["extensions"] == {"io.aitp-playground.direction": "one"}
    [given] = responder.received
    assert (given["iss"], given["grants"]) == (worker.aid, DEMO_CAPS[:1])
    proof = await responder.peer.proof(worker, responder.tokens[0])
    called = await worker.request("POST", f"/capabilities/{DEMO_CAPS[0]}", "{}", proof)
    assert (*refusal(called), reason(called)) == (403, "POLICY_VIOLATION", "grant_missing")


async def test_a_token_given_in_both_directions_is_honoured(
    worker: WorkerProcess, responder: MaliciousResponder
) -> None:
    assert (await shake(worker, "mallory", direction="both")).status == 200
    proof = await responder.peer.proof(worker, responder.tokens[0])
    assert (await worker.request("POST", f"/capabilities/{DEMO_CAPS[0]}", "{}", proof)).status == 200


async def test_asking_for_nothing_in_particular_asks_for_all_the_manifest_offers(
    worker: WorkerProcess, responder: MaliciousResponder
) -> None:
    answer = await shake(worker, "mallory")
    assert answer.body["received"]["grants"] == ["m.one", "m.two"]


async def test_getting_less_than_asked_for_is_a_result_that_says_what_is_missing(
    worker: WorkerProcess, responder: MaliciousResponder, sink: TelemetrySink
) -> None:
    answer = await shake(worker, "mallory", requested_grants=["m.one", "m.nine"])
    assert (answer.status, answer.body["received"]["grants"], answer.body["missing"]) == (200, ["m.one"], ["m.nine"])
    [event] = await sink.wait_for("handshake.complete")
    assert (event["grants"], event["payload"]["missing"]) == (["m.one"], ["m.nine"])
    assert (await shake(worker, "mallory", requested_grants=["m.one"])).body["missing"] == []


async def test_unknown_sender_is_refused_and_the_refusal_reported(worker: WorkerProcess, sink: TelemetrySink) -> None:
    _, hello = await SdkPeer("mallory").hello(worker)
    answer = await worker.request("POST", HELLO, hello)
    assert refusal(answer) == (400, "IDENTITY_FAILED")
    assert answer.body["error"] == {
        "code": "IDENTITY_FAILED",
        "message": "the identity is not accepted",
        "retryable": False,
    }
    assert answer.headers["Cache-Control"] == "no-store"
    [event] = await sink.wait_for("handshake.failed")
    assert (event["target"], event["payload"]["code"]) == ("alice", "peer_unknown")
    assert event["payload"]["registry_code"] == "IDENTITY_FAILED"


async def test_a_peer_no_longer_in_the_list_is_unknown(worker: WorkerProcess, stranger: SdkPeer) -> None:
    _, hello = await stranger.hello(worker)
    await worker.admin("peers", {"peers": []}, method="PUT")
    assert refusal(await worker.request("POST", HELLO, hello)) == (400, "IDENTITY_FAILED")


async def test_tampered_hello_is_refused(worker: WorkerProcess, stranger: SdkPeer) -> None:
    _, hello = await stranger.hello(worker, ["demo.echo"])
    forged = hello.replace('["demo.echo"]', '["demo.who"]')
    assert forged != hello
    answer = await worker.request("POST", HELLO, forged)
    assert refusal(answer) == (400, "INVALID_SIGNATURE")
    assert "details" not in answer.body["error"]


async def test_a_broken_signature_tells_nobody_who_is_known_here(worker: WorkerProcess, stranger: SdkPeer) -> None:
    bodies = []
    for sender in (stranger, SdkPeer("nobody")):
        _, hello = await sender.hello(worker)
        forged = json.dumps(json.loads(hello) | {"signature": "A" * 86})
        answer = await worker.request("POST", HELLO, forged)
        bodies.append((answer.status, answer.body))
    assert bodies[0] == bodies[1]


async def test_replayed_hello_is_refused(worker: WorkerProcess, stranger: SdkPeer) -> None:
    _, hello = await stranger.hello(worker)
    assert (await worker.request("POST", HELLO, hello)).status == 200
    assert refusal(await worker.request("POST", HELLO, hello)) == (400, "REPLAY_DETECTED")


async def test_a_copy_is_known_before_its_signature_is_looked_at(worker: WorkerProcess, stranger: SdkPeer) -> None:
    _, hello = await stranger.hello(worker)
    broken = json.dumps(json.loads(hello) | {"signature": "A" * 86})
    assert refusal(await worker.request("POST", HELLO, broken)) == (400, "INVALID_SIGNATURE")
    assert (await worker.request("POST", HELLO, hello)).status == 200, "a forgery used up the id of its original"
    assert refusal(await worker.request("POST", HELLO, broken)) == (400, "REPLAY_DETECTED")


@pytest.mark.parametrize("offset", [-310, 310], ids=["old", "from the future"])
async def test_stale_hello_is_refused(worker: WorkerProcess, stranger: SdkPeer, offset: int) -> None:
    _, hello = await stranger.hello(worker)
    payload = json.dumps(json.loads(hello)["payload"])
    shifted = stranger.agent.sign_envelope("mutual_hello", payload, timestamp=int(time.time()) + offset)
    answer = await worker.request("POST", HELLO, shifted)
    assert (*refusal(answer), answer.body["error"]["retryable"]) == (400, "TIMESTAMP_EXPIRED", True)


async def test_message_of_another_type_is_refused(worker: WorkerProcess, stranger: SdkPeer) -> None:
    _, hello = await stranger.hello(worker)
    payload = json.dumps(json.loads(hello)["payload"])
    for kind in ("pop_challenge", "mutual_hello_ack", "mutual_commit", "error"):
        answer = await worker.request("POST", HELLO, stranger.agent.sign_envelope(kind, payload))
        assert refusal(answer) == (400, "INVALID_ENVELOPE")


async def test_commits_without_a_session_id_find_their_sessions_by_the_nonce(
    worker: WorkerProcess, stranger: SdkPeer
) -> None:
    (one, commit_one, _), (two, commit_two, _) = await stranger.open(worker), await stranger.open(worker)
    for session, commit in ((two, commit_two), (one, commit_one)):
        answer = await worker.request("POST", COMMIT, commit)
        assert answer.status == 200, answer
        session.complete(json.dumps(answer.body), revoked_jtis=set())


async def test_a_commit_with_another_nonce_and_no_id_ends_no_session(worker: WorkerProcess, stranger: SdkPeer) -> None:
    _, commit, _ = await stranger.open(worker)
    payload = json.loads(commit)["payload"] | {"pop_nonce_echo": "A" * 22}
    odd = stranger.agent.sign_envelope("mutual_commit", json.dumps(payload))
    assert refusal(await worker.request("POST", COMMIT, odd)) == (400, "NONCE_MISMATCH")
    assert (await worker.request("POST", COMMIT, commit)).status == 200


async def test_hello_and_commit_are_taken_at_the_one_url_of_the_manifest(
    worker: WorkerProcess, stranger: SdkPeer
) -> None:
    manifest = (await worker.request("GET", "/.well-known/aitp-manifest")).body["manifest"]
    path = manifest["handshake_endpoint"].removeprefix(worker.base_url)
    assert path == "/aitp/handshake/"
    session, hello = await stranger.hello(worker)
    ack = await worker.request("POST", path, hello)
    assert ack.status == 200
    answer = await worker.request("POST", path, session.process_hello_ack(json.dumps(ack.body), "any"))
    assert answer.status == 200, answer
    session.complete(json.dumps(answer.body), revoked_jtis=set())


async def test_what_fails_at_that_url_is_answered_with_a_signed_error(worker: WorkerProcess, stranger: SdkPeer) -> None:
    _, hello = await stranger.hello(worker)
    await worker.request("POST", "/aitp/handshake/", hello)
    again = await worker.request("POST", "/aitp/handshake/", hello)
    assert (again.status, again.body["message_type"]) == (400, "error")
    aitp.verify_envelope(json.dumps(again.body), worker.aid)
    assert again.body["payload"] == {
        "code": "REPLAY_DETECTED",
        "reason": "this was received before",
        "retryable": False,
    }
    broken = await worker.request("POST", "/aitp/handshake/", "{")
    assert (broken.status, broken.body["payload"]["code"]) == (400, "INVALID_ENVELOPE")


async def test_a_body_that_does_not_say_it_is_json_is_refused(worker: WorkerProcess, stranger: SdkPeer) -> None:
    _, hello = await stranger.hello(worker)
    for kind in ("text/plain", "application/x-www-form-urlencoded"):
        answer = await worker.request("POST", HELLO, hello, {"Content-Type": kind})
        assert refusal(answer) == (400, "INVALID_ENVELOPE")
    answer = await worker.request("POST", HELLO, hello, {"Content-Type": "application/json; charset=utf-8"})
    assert answer.status == 200


async def test_commit_for_a_session_nobody_opened_is_refused(worker: WorkerProcess, stranger: SdkPeer) -> None:
    _, commit, _ = await stranger.open(worker)
    answer = await worker.request("POST", COMMIT, commit, {"X-Aitp-Session-Id": str(uuid.uuid4())})
    assert refusal(answer) == (400, "INVALID_ENVELOPE")


async def test_commit_for_another_peers_session_is_refused_and_leaves_it_open(worker: WorkerProcess) -> None:
    one, two = SdkPeer("one"), SdkPeer("two")
    await introduce(worker, one, two)
    _, commit_one, session_one = await one.open(worker)
    _, commit_two, _ = await two.open(worker)
    foreign = await worker.request("POST", COMMIT, commit_two, {"X-Aitp-Session-Id": session_one})
    assert refusal(foreign) == (400, "INVALID_ENVELOPE")
    own = await worker.request("POST", COMMIT, commit_one, {"X-Aitp-Session-Id": session_one})
    assert own.status == 200


async def test_commit_stripped_of_its_voucher_is_refused(worker: WorkerProcess, stranger: SdkPeer) -> None:
    _, commit, session_id = await stranger.open(worker)
    envelope = json.loads(commit)
    envelope["payload"]["grant_voucher"] = None
    answer = await worker.request("POST", COMMIT, json.dumps(envelope), {"X-Aitp-Session-Id": session_id})
    assert refusal(answer) == (400, "INVALID_SIGNATURE")


async def test_an_initiator_need_not_give_a_voucher(worker: WorkerProcess, stranger: SdkPeer) -> None:
    for absent in (True, False):
        session, commit, session_id = await stranger.open(worker)
        payload = json.loads(commit)["payload"] | {"grant_voucher": None}
        if absent:
            del payload["grant_voucher"]
        bare = stranger.agent.sign_envelope("mutual_commit", json.dumps(payload))
        answer = await worker.request("POST", COMMIT, bare, {"X-Aitp-Session-Id": session_id})
        assert answer.status == 200, answer
        session.complete(json.dumps(answer.body), revoked_jtis=set())
    delegated = await worker.admin(
        "delegate", {"delegatee": "mallory", "via_peer": "mallory", "scope": stranger.caps, "ttl_secs": 60}
    )
    assert refusal(delegated) == (409, "no_voucher_held")


async def test_a_voucher_of_another_token_is_refused(worker: WorkerProcess, stranger: SdkPeer) -> None:
    _, commit, session_id = await stranger.open(worker)
    payload = json.loads(commit)["payload"]
    payload["grant_voucher"] = stranger.reissue(payload["grant_voucher"], src_jti=str(uuid.uuid4()))
    odd = stranger.agent.sign_envelope("mutual_commit", json.dumps(payload))
    answer = await worker.request("POST", COMMIT, odd, {"X-Aitp-Session-Id": session_id})
    assert refusal(answer) == (400, "TCT_SIGNATURE_INVALID")


async def test_replayed_commit_is_refused(worker: WorkerProcess, stranger: SdkPeer) -> None:
    _, commit, session_id = await stranger.open(worker)
    headers = {"X-Aitp-Session-Id": session_id}
    assert (await worker.request("POST", COMMIT, commit, headers)).status == 200
    assert refusal(await worker.request("POST", COMMIT, commit, headers)) == (400, "REPLAY_DETECTED")


@pytest.mark.parametrize(
    ("body", "status"),
    [(b"{", 400), (b"[]", 400), (b"{}", 400), (b"\xff", 400), (b"[" * 60_000, 400), (b"x" * 70_000, 413)],
    ids=["broken", "list", "empty", "not UTF-8", "deep", "large"],
)
async def test_malformed_and_oversized_messages_are_refused_as_such(
    worker: WorkerProcess, body: Any, status: int
) -> None:
    for path in (HELLO, COMMIT):
        answer = await worker.request("POST", path, body, {"X-Aitp-Session-Id": "x"})
        assert answer.status == status
        assert answer.body["error"]["code"] == "INVALID_ENVELOPE"


async def expect_protocol_failure(worker: WorkerProcess, sink: TelemetrySink, code: str) -> None:
    answer = await shake(worker, "mallory", direction="both")
    assert refusal(answer) == (502, "peer_failed"), answer
    assert answer.body["error"]["details"]["class"] == "protocol"
    assert answer.body["error"]["details"]["code"] == code
    [event] = await sink.wait_for("handshake.failed")
    assert event["payload"]["code"] == code
    assert not sink.of_type("handshake.complete")


async def test_manifest_with_a_broken_signature_is_not_used(
    worker: WorkerProcess, responder: MaliciousResponder, sink: TelemetrySink
) -> None:
    responder.tamper = lambda route, text: text.replace("m.one", "m.six") if route == "manifest" else text
    await expect_protocol_failure(worker, sink, "MANIFEST_SIGNATURE_INVALID")


async def test_manifest_of_another_key_than_the_pinned_one_is_not_used(
    worker: WorkerProcess, responder: MaliciousResponder, sink: TelemetrySink
) -> None:
    other = SdkPeer("mallory")
    responder.tamper = lambda route, text: other.manifest if route == "manifest" else text
    await expect_protocol_failure(worker, sink, "aid_mismatch")


async def test_tampered_ack_is_not_followed_by_a_commit(
    worker: WorkerProcess, responder: MaliciousResponder, sink: TelemetrySink
) -> None:
    responder.tamper = lambda route, text: text.replace("m.one", "m.six") if route == "ack" else text
    await expect_protocol_failure(worker, sink, "INVALID_SIGNATURE")
    assert not responder.received


@pytest.mark.parametrize("layout", ["one url", "below a slash", "a hello beside its commit", "one url with a slash"])
async def test_a_peer_is_met_where_its_manifest_says_with_or_without_a_session_id(
    worker: WorkerProcess, responder: MaliciousResponder, sink: TelemetrySink, layout: str
) -> None:
    responder.lay_out(layout)
    responder.session_header = None if layout.startswith("one url") else "X-Aitp-Session-Id"
    answer = await shake(worker, "mallory")
    assert answer.status == 200, answer
    [complete] = await sink.wait_for("handshake.complete")
    assert complete["session_id"] == answer.body["session_id"] == sink.of_type("handshake.started")[0]["session_id"]


async def test_voucher_stripped_on_the_way_back_is_a_failure(
    worker: WorkerProcess, responder: MaliciousResponder, sink: TelemetrySink
) -> None:
    def strip(route: str, text: str) -> str:
        envelope = json.loads(text)
        if route == "commit_ack":
            envelope["payload"]["grant_voucher"] = None
        return json.dumps(envelope)

    responder.tamper = strip
    await expect_protocol_failure(worker, sink, "INVALID_SIGNATURE")


async def test_a_responder_need_not_give_a_voucher(worker: WorkerProcess, responder: MaliciousResponder) -> None:
    def strip(route: str, text: str) -> str:
        payload = json.loads(text).get("payload", {})
        if route != "commit_ack":
            return text
        return responder.peer.agent.sign_envelope("mutual_commit_ack", json.dumps(payload | {"grant_voucher": None}))

    responder.tamper = strip
    answer = await shake(worker, "mallory", direction="both")
    assert (answer.status, answer.body["received"]["grants"]) == (200, ["m.one", "m.two"]), answer
    delegated = await worker.admin("delegate", {"delegatee": "mallory", "via_peer": "mallory", "scope": ["m.one"]})
    assert refusal(delegated) == (409, "no_voucher_held")


async def test_answers_that_were_seen_before_are_not_taken_again(
    worker: WorkerProcess, responder: MaliciousResponder, sink: TelemetrySink
) -> None:
    first: dict[str, str] = {}
    responder.tamper = lambda route, text: first.setdefault(route, text) if route == "ack" else text
    assert (await shake(worker, "mallory")).status == 200
    await expect_replay(worker, sink)


async def expect_replay(worker: WorkerProcess, sink: TelemetrySink) -> None:
    answer = await shake(worker, "mallory")
    assert answer.body["error"]["details"]["code"] == "REPLAY_DETECTED"
    await sink.wait_for("handshake.failed")


@pytest.mark.parametrize(
    ("path", "failure"), [("/.well-known/aitp-manifest-missing", "http_4xx"), ("/nowhere", "http_4xx")]
)
async def test_faulted_manifest_url_fails_with_its_class(pair: Pair, path: str, failure: str) -> None:
    alice, bob = pair
    answer = await shake(alice, "bob", manifest_url=bob.base_url + path)
    assert refusal(answer) == (502, "peer_failed")
    assert answer.body["error"]["details"] == {
        "class": failure,
        "url": bob.base_url + path,
        "status": 404,
        "code": "not_found",
    }


async def test_peer_that_is_offline_is_refused_by_class(pair: Pair, make: Make) -> None:
    alice, _bob = pair
    gone = make("gone")
    gone.listener.close()
    answer = await shake(alice, "bob", manifest_url=gone.base_url + "/.well-known/aitp-manifest")
    assert answer.body["error"]["details"]["class"] == "refused"


async def test_handshakes_of_two_suites_work(start: Start) -> None:
    alice, bob = await start("alice"), await start("bob", signing_suite="p256")
    await introduce(alice, bob)
    assert bob.aid.startswith("aid:pubkey:p256:")
    assert (await shake(alice, "bob", direction="both")).status == 200
    for caller, peer in ((alice, "bob"), (bob, "alice")):
        answer = await caller.admin("invoke", {"peer": peer, "capability": "demo.echo", "input": {}})
        assert answer.body["status_code"] == 200


async def test_token_lives_no_longer_than_an_hour(worker: WorkerProcess, stranger: SdkPeer) -> None:
    claims = claims_of(await stranger.token_from(worker))
    assert claims["exp"] - claims["iat"] <= 3600


def issued_later(peer: SdkPeer, message: str, seconds: int) -> str:
    """A commit or its ack from a peer whose clock is ahead."""
    envelope = json.loads(message)
    payload = envelope["payload"]
    issued_at = int(time.time()) + seconds
    payload |= {name: peer.reissue(payload[name], iat=issued_at) for name in ("tct", "grant_voucher")}
    return peer.agent.sign_envelope(envelope["message_type"], json.dumps(payload))


async def test_initiator_waits_for_a_peer_whose_clock_is_slightly_ahead(
    worker: WorkerProcess, responder: MaliciousResponder
) -> None:
    responder.tamper = lambda route, text: issued_later(responder.peer, text, 4) if route == "commit_ack" else text
    answer = await shake(worker, "mallory")
    assert answer.status == 200, answer


async def test_responder_waits_for_a_peer_whose_clock_is_slightly_ahead(
    worker: WorkerProcess, stranger: SdkPeer
) -> None:
    _, commit, session_id = await stranger.open(worker)
    ahead = issued_later(stranger, commit, 4)
    assert (await worker.request("POST", COMMIT, ahead, {"X-Aitp-Session-Id": session_id})).status == 200


async def test_nobody_waits_for_a_clock_that_is_far_ahead(worker: WorkerProcess, stranger: SdkPeer) -> None:
    _, commit, session_id = await stranger.open(worker)
    answer = await worker.request("POST", COMMIT, issued_later(stranger, commit, 60), {"X-Aitp-Session-Id": session_id})
    assert (*refusal(answer), answer.body["error"]["retryable"]) == (400, "TIMESTAMP_EXPIRED", True)
    details = answer.body["error"]["details"]
    assert details["reason"] == "clock_skew"
    assert 55 <= details["seconds"] <= 60


async def test_an_initiator_calls_a_clock_that_is_far_ahead_by_its_name(
    worker: WorkerProcess, responder: MaliciousResponder, sink: TelemetrySink
) -> None:
    responder.tamper = lambda route, text: issued_later(responder.peer, text, 120) if route == "commit_ack" else text
    await expect_protocol_failure(worker, sink, "TIMESTAMP_EXPIRED")
    [event] = sink.of_type("handshake.failed")
    assert (event["payload"]["reason"], event["payload"]["retryable"]) == ("clock_skew", True)
    assert 110 <= event["payload"]["seconds"] <= 120


async def test_handshakes_in_both_directions_at_once_do_not_disturb_each_other(pair: Pair) -> None:
    alice, bob = pair
    answers = await asyncio.gather(
        *[shake(one, two) for _ in range(5) for one, two in ((alice, "bob"), (bob, "alice"))]
    )
    assert [answer.status for answer in answers] == [200] * 10
    assert len({answer.body["session_id"] for answer in answers}) == 10
