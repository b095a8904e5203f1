"""Agents with an OIDC identity: the issuer's key stays elsewhere, each ID token is asked for."""

from __future__ import annotations

import json
import time
from collections.abc import AsyncIterator
from typing import Any

import aitp
import pytest
from aiohttp import web
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from tests.integration.agents.harness import Start, TelemetrySink, WorkerProcess, b64, introduce

ISSUER = "https://idp.example/"


class TokenDesk:
    """The service's side: an issuer whose key never leaves it."""

    def __init__(self) -> None:
        self.key = Ed25519PrivateKey.generate()
        self.asked: list[dict[str, Any]] = []
        self.status = 200
        self.changes: dict[str, Any] = {}
        self.url = ""

    @property
    def jwk(self) -> dict[str, str]:
        public = self.key.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw)
        return {"kty": "OKP", "crv": "Ed25519", "kid": "k1", "x": b64(public)}

    async def hand_out(self, request: web.Request) -> web.Response:
        asked = await request.json()
        self.asked.append(asked | {"authorization": request.headers["Authorization"]})
        if self.status != 200:
            return web.json_response({"error": {"code": "forbidden"}}, status=self.status)
        now = int(time.time())
        claims = {
            "iss": ISSUER,
            "sub": "researcher",
            "aud": asked["audience"],
            "iat": now,
            "exp": now + 60,
            "nonce": asked["nonce"],
            "cnf": {"jkt": aitp.compute_aid_jkt(asked["aid"])},
        } | self.changes
        head = {"alg": "EdDSA", "typ": "JWT", "kid": "k1"}
        signed = ".".join(b64(json.dumps(part).encode()) for part in (head, claims))
        return web.json_response({"id_token": f"{signed}.{b64(self.key.sign(signed.encode()))}"})


@pytest.fixture
async def desk() -> AsyncIterator[TokenDesk]:
    desk = TokenDesk()
    app = web.Application()
    app.router.add_post("/token", desk.hand_out)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    desk.url = f"http://127.0.0.1:{runner.addresses[0][1]}/token"
    yield desk
    await runner.cleanup()


@pytest.fixture
async def oidc_and_pinned(start: Start, desk: TokenDesk) -> tuple[WorkerProcess, WorkerProcess]:
    """An agent with an OIDC identity and one with a pinned key that trusts the issuer."""
    trust = {"trusted": {ISSUER: [desk.jwk]}}
    own = {"issuer": ISSUER, "subject": "researcher", "token_url": desk.url, "token": "desk-token"}
    alice = await start("alice", identity_type="oidc", oidc=trust | own)
    bob = await start("bob", oidc=trust)
    await introduce(alice, bob)
    return alice, bob


@pytest.mark.parametrize("initiator", [0, 1], ids=["oidc asks pinned", "pinned asks oidc"])
@pytest.mark.parametrize("direction", ["both", "one"])
async def test_oidc_agent_shakes_hands_in_either_role(
    oidc_and_pinned: tuple[WorkerProcess, WorkerProcess], desk: TokenDesk, initiator: int, direction: str
) -> None:
    asking, asked = oidc_and_pinned[initiator], oidc_and_pinned[1 - initiator]
    answer = await asking.admin("initiate-handshake", {"peer": asked.agent_id, "direction": direction})
    assert answer.status == 200, answer
    call = await asking.admin("invoke", {"peer": asked.agent_id, "capability": "demo.echo", "input": {}})
    assert call.body["status_code"] == 200
    alice, bob = oidc_and_pinned
    [request] = desk.asked
    assert (request["aid"], request["audience"]) == (alice.aid, bob.aid)
    assert request["authorization"] == "Bearer desk-token"


@pytest.mark.parametrize(
    "changes", [{"sub": "someone"}, {"nonce": "old"}, {"aud": "aid:pubkey:x"}, {"exp": 1}, {"iss": "https://other/"}]
)
async def test_id_token_that_does_not_fit_is_refused_by_the_responder(
    oidc_and_pinned: tuple[WorkerProcess, WorkerProcess], desk: TokenDesk, sink: TelemetrySink, changes: dict[str, Any]
) -> None:
    desk.changes = changes
    answer = await oidc_and_pinned[0].admin("initiate-handshake", {"peer": "bob"})
    assert (answer.status, answer.body["error"]["details"]["status"]) == (502, 400)
    assert answer.body["error"]["details"]["code"] == "IDENTITY_FAILED"
    refusals = [event for event in await sink.wait_for("handshake.failed", 2) if "refused_by" in event["payload"]]
    assert len(refusals) == 1


async def test_desk_that_gives_no_token_is_named_as_the_reason(
    oidc_and_pinned: tuple[WorkerProcess, WorkerProcess], desk: TokenDesk
) -> None:
    desk.status = 403
    answer = await oidc_and_pinned[0].admin("initiate-handshake", {"peer": "bob"})
    assert answer.status == 502
    assert answer.body["error"]["details"] == {
        "class": "http_4xx",
        "url": desk.url,
        "status": 403,
        "code": "forbidden",
    }


async def test_oidc_peer_that_was_not_introduced_is_refused(
    oidc_and_pinned: tuple[WorkerProcess, WorkerProcess], desk: TokenDesk
) -> None:
    alice, bob = oidc_and_pinned
    await bob.admin("peers", {"peers": []}, method="PUT")
    answer = await alice.admin("initiate-handshake", {"peer": "bob"})
    assert answer.body["error"]["details"]["code"] == "IDENTITY_FAILED"
