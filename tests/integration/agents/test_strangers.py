"""Agents that accept whoever can prove who they are, and those that do not."""

from __future__ import annotations

import json

import pytest

from tests.integration.agents.harness import Answer, SdkPeer, Start, WorkerProcess, introduce

HELLO = "/aitp/handshake/hello"


@pytest.fixture
async def host(start: Start) -> WorkerProcess:
    """An agent that accepts any verified sender and was introduced to nobody."""
    return await start("host", accept="any-verified")


def refusal(answer: Answer) -> tuple[int, str]:
    return answer.status, answer.body["error"]["code"]


async def point_at(caller: WorkerProcess, host: WorkerProcess) -> None:
    """Introduce ``host`` to ``caller``, and not the other way round."""
    entry = {
        "agent_id": host.agent_id,
        "aid": host.aid,
        "manifest_url": f"{host.base_url}/.well-known/aitp-manifest",
    }
    assert (await caller.admin("peers", {"peers": [entry]}, method="PUT")).status == 200


async def test_a_stranger_shakes_hands_and_uses_what_it_is_granted(start: Start, host: WorkerProcess) -> None:
    caller = await start("caller")
    await point_at(caller, host)
    assert (await caller.admin("initiate-handshake", {"peer": "host"})).status == 200
    called = await caller.admin("invoke", {"peer": "host", "capability": "demo.echo", "input": {"word": "hi"}})
    assert called.body["status_code"] == 200


async def test_strangers_are_refused_unless_the_bootstrap_document_says_otherwise(start: Start) -> None:
    caller, plain = await start("caller"), await start("plain")
    await point_at(caller, plain)
    answer = await caller.admin("initiate-handshake", {"peer": "plain"})
    assert answer.body["error"]["details"]["code"] == "IDENTITY_FAILED"


async def test_a_stranger_with_a_changed_manifest_is_refused(host: WorkerProcess) -> None:
    mallory = SdkPeer("mallory")
    hello = json.loads((await mallory.hello(host))[1])
    hello["payload"]["manifest"]["display_name"] = "Somebody else"
    forged = mallory.signed_again(json.dumps(hello))
    assert refusal(await host.request("POST", HELLO, forged)) == (400, "MANIFEST_SIGNATURE_INVALID")


async def test_a_stranger_with_the_manifest_of_another_is_refused(host: WorkerProcess) -> None:
    mallory = SdkPeer("mallory")
    hello, honest = [json.loads((await peer.hello(host))[1]) for peer in (mallory, SdkPeer("honest"))]
    hello["payload"]["manifest"] = honest["payload"]["manifest"]
    answer = await host.request("POST", HELLO, mallory.signed_again(json.dumps(hello)))
    assert refusal(answer) == (400, "INVALID_ENVELOPE")


async def test_a_hello_without_a_manifest_is_malformed(host: WorkerProcess) -> None:
    mallory = SdkPeer("mallory")
    hello = json.loads((await mallory.hello(host))[1])
    del hello["payload"]["manifest"]
    assert refusal(await host.request("POST", HELLO, mallory.signed_again(json.dumps(hello)))) == (
        400,
        "INVALID_ENVELOPE",
    )


async def test_a_guest_is_nobody_the_agent_goes_to_itself(start: Start, host: WorkerProcess) -> None:
    caller = await start("caller")
    await point_at(caller, host)
    await caller.admin("initiate-handshake", {"peer": "host"})
    errand = {"peer": caller.aid, "capability": "demo.echo", "input": {}}
    assert refusal(await host.admin("invoke", errand)) == (403, "peer_unknown")


async def test_a_peer_that_was_introduced_keeps_its_name(start: Start, host: WorkerProcess) -> None:
    caller = await start("caller")
    await introduce(caller, host)
    await caller.admin("initiate-handshake", {"peer": "host"})
    assert (await host.admin("revoke-tct", {"audience": "caller"})).status == 200
