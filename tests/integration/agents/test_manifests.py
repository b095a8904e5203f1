"""What an agent makes of other agents' manifests, before and in a handshake, and how it publishes its own."""

from __future__ import annotations

import json
import time
from typing import Any

import aitp
import pytest

from base.protocol.envelopes import MAX_PARTS
from tests.integration.agents.harness import (
    Answer,
    MaliciousResponder,
    SdkPeer,
    TelemetrySink,
    WorkerProcess,
    introduce,
)

HANDSHAKE = "/aitp/handshake/"


async def shake(worker: WorkerProcess, **given: Any) -> Answer:
    answer: Answer = await worker.admin("initiate-handshake", {"peer": "mallory", **given})
    return answer


def serve(responder: MaliciousResponder, manifest: str) -> None:
    responder.tamper = lambda route, text: manifest if route == "manifest" else text


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"accepted_identity_types": ["oidc"]}, "INCOMPATIBLE_IDENTITY_TYPE"),
        ({"accepted_identity_types": None}, "INCOMPATIBLE_IDENTITY_TYPE"),
        ({"accepted_signature_algorithms": ["ES256"]}, "TOKEN_ALG_MISMATCH"),
        ({"display_name": "x" * 129}, "MANIFEST_INVALID"),
        ({"published_at": 4_000_000_000}, "MANIFEST_INVALID"),
    ],
)
async def test_a_manifest_with_which_no_handshake_can_succeed_is_not_greeted(
    worker: WorkerProcess,
    responder: MaliciousResponder,
    sink: TelemetrySink,
    changes: dict[str, Any],
    code: str,
) -> None:
    serve(responder, responder.peer.altered(**changes))
    answer = await shake(worker)
    assert (answer.status, answer.body["error"]["details"]["code"]) == (502, code), answer
    assert not responder.hellos
    [event] = await sink.wait_for("handshake.failed")
    assert event["payload"]["registry_code"] == code
    serve(responder, responder.peer.altered(accepted_identity_types=["oidc", "pinned_key"]))
    assert (await shake(worker)).status == 200


async def test_an_older_manifest_inside_a_message_does_not_bring_back_what_the_published_one_took_away(
    worker: WorkerProcess, responder: MaliciousResponder
) -> None:
    now = int(time.time())
    published = responder.peer.altered(offered_capabilities=["m.one"], published_at=now)
    inline = json.loads(responder.peer.altered(published_at=now - 100))["manifest"]

    def tamper(route: str, text: str) -> str:
        if route == "manifest":
            return published
        return responder.peer.signed_again(text, manifest=inline) if route == "ack" else text

    responder.tamper = tamper
    refused = await shake(worker, requested_grants=["m.one", "m.two"])
    assert (refused.status, refused.body["error"]["details"]["code"]) == (502, "GRANT_OVERFLOW"), refused
    assert (await shake(worker, requested_grants=["m.one"])).status == 200


async def test_a_newer_manifest_inside_a_message_counts(worker: WorkerProcess, responder: MaliciousResponder) -> None:
    serve(responder, responder.peer.altered(offered_capabilities=["m.one"], published_at=int(time.time()) - 100))
    answer = await shake(worker, requested_grants=["m.one", "m.two"])
    assert (answer.status, answer.body["received"]["grants"]) == (200, ["m.one", "m.two"]), answer


@pytest.mark.parametrize("kind", ["text/html", "text/plain", "application/octet-stream"])
async def test_an_answer_that_does_not_say_it_is_json_is_none(
    worker: WorkerProcess, responder: MaliciousResponder, kind: str
) -> None:
    responder.content_type = kind
    answer = await shake(worker)
    assert (answer.status, answer.body["error"]["details"]["class"]) == (502, "not_json"), answer
    responder.content_type = "application/aitp+json"
    assert (await shake(worker)).status == 200


async def test_a_manifest_larger_than_any_is_none(worker: WorkerProcess, responder: MaliciousResponder) -> None:
    responder.tamper = lambda route, text: text + " " * (256 << 10) if route == "manifest" else text
    answer = await shake(worker)
    assert (answer.status, answer.body["error"]["details"]["code"]) == (502, "too_large"), answer


async def test_a_manifest_of_more_parts_than_any_is_none(worker: WorkerProcess, responder: MaliciousResponder) -> None:
    responder.peer.caps = [f"m.c{number}" for number in range(MAX_PARTS)]
    responder.peer.build()
    answer = await shake(worker, requested_grants=["m.c1"])
    assert (answer.status, answer.body["error"]["details"]["code"]) == (502, "too_large"), answer


HELLO_DEFECTS: list[tuple[dict[str, Any], str]] = [
    ({"requested_grants": ["demo. echo"]}, "INVALID_ENVELOPE"),
    ({"requested_grants": "demo.echo"}, "INVALID_ENVELOPE"),
    ({"more": 1}, "UNKNOWN_FIELD"),
    ({"manifest": []}, "INVALID_ENVELOPE"),
    ({"identity": {"type": "x509"}}, "IDENTITY_FAILED"),
    ({"identity": {}}, "IDENTITY_FAILED"),
    ({"pop_nonce": 7}, "INVALID_ENVELOPE"),
]


@pytest.mark.parametrize(("changes", "code"), HELLO_DEFECTS)
async def test_a_hello_that_is_not_well_formed_is_refused_by_its_defect(
    worker: WorkerProcess, changes: dict[str, Any], code: str
) -> None:
    peer = SdkPeer("mallory")
    await introduce(worker, peer)
    _, hello = await peer.hello(worker)
    answer = await worker.request("POST", HANDSHAKE + "hello", peer.signed_again(hello, **changes))
    assert (answer.status, answer.body["error"]["code"]) == (400, code), answer
    assert (await worker.request("POST", HANDSHAKE + "hello", (await peer.hello(worker))[1])).status == 200


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"region": "x"}, "UNKNOWN_FIELD"),
        ({"handshake_endpoint": None}, "MANIFEST_INVALID"),
        ({"handshake_endpoint": "relative"}, "MANIFEST_INVALID"),
        ({"expires_at": 1}, "MANIFEST_EXPIRED"),
        ({"version": "aitp/0.9"}, "MANIFEST_VERSION_UNKNOWN"),
        ({"identity_hint": {"type": "pinned_key", "subject": "mallory", "public_key": "A" * 43}}, "IDENTITY_FAILED"),
        ({"identity_hint": {"type": "oidc", "subject": "mallory", "issuer": "https://id/"}}, "IDENTITY_FAILED"),
    ],
)
async def test_a_hello_with_a_manifest_that_is_no_good_is_refused_by_its_defect(
    worker: WorkerProcess, changes: dict[str, Any], code: str
) -> None:
    peer = SdkPeer("mallory")
    await introduce(worker, peer)
    _, hello = await peer.hello(worker)
    manifest = json.loads(peer.altered(**changes))["manifest"]
    answer = await worker.request("POST", HANDSHAKE + "hello", peer.signed_again(hello, manifest=manifest))
    assert (answer.status, answer.body["error"]["code"]) == (400, code), answer


async def test_the_published_manifest_says_how_long_to_keep_it(worker: WorkerProcess) -> None:
    answer = await worker.request("GET", "/.well-known/aitp-manifest")
    left = answer.body["manifest"]["expires_at"] - time.time()
    seconds = int(answer.headers["Cache-Control"].removeprefix("max-age="))
    assert left / 2 - 5 <= seconds <= left
    assert (await worker.request("GET", "/.well-known/aitp-revocation-list")).headers["Cache-Control"] == "no-cache"


async def test_a_peer_that_speaks_under_the_other_spelling_of_its_key_is_the_same_peer(
    worker: WorkerProcess, sink: TelemetrySink
) -> None:
    """The SDK speaks the short form alone, so here the long one is what was introduced."""
    peer = SdkPeer("mallory")
    tagged = "aid:pubkey:ed25519:" + peer.aid.rpartition(":")[2]
    entry = {"agent_id": "mallory", "aid": tagged, "manifest_url": "http://localhost:1/.well-known/aitp-manifest"}
    assert (await worker.admin("peers", {"peers": [entry]}, method="PUT")).status == 200
    token = await peer.token_from(worker)
    called = await worker.request("POST", "/capabilities/demo.echo", "{}", await peer.proof(worker, token))
    assert called.status == 200, called
    [invoked] = await sink.wait_for("capability.invoked")
    assert invoked["payload"]["caller"] == "mallory"
    both = [entry, entry | {"agent_id": "twice", "aid": aitp.AitpAgent.from_seed(peer.seed).aid}]
    assert (await worker.admin("peers", {"peers": both}, method="PUT")).status == 400
