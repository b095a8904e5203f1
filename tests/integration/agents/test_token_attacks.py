"""Attacks with every kind of token on a live agent, at each of its doors: a call, a renewal, a session bundle.

Each is refused under its own reason, told in the log, and disturbs nobody: an honest holder is served right after it.
"""

from __future__ import annotations

import json
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from typing import Any

import aitp
import pytest
from aitp_verifier.crypto import PrivateKey
from aitp_verifier.jws import encode_jws
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from tests.integration.agents.harness import (
    Answer,
    MaliciousResponder,
    SdkPeer,
    Start,
    TelemetrySink,
    WorkerProcess,
    b64,
    claims_of,
    introduce,
    mint,
)

ISSUER = "https://idp.example/"
ECHO, RENEW, BUNDLES = "/capabilities/demo.echo", "/aitp/tct/renew", "/aitp/session-bundles/"


class VouchedPeer(SdkPeer):
    """A peer for whom an issuer vouches, with whatever ID token it likes to show."""

    def __init__(self, agent_id: str) -> None:
        self.issuer_key = Ed25519PrivateKey.generate()
        self.changes: dict[str, Any] = {}
        self.shown: list[str] = []
        self.again: str | None = None
        self.audience = ""
        super().__init__(agent_id)

    def build(self) -> None:
        self.manifest = self.agent.build_manifest(
            self.agent_id,
            self.base_url + self.handshake_path,
            self.caps,
            ttl_secs=7200,
            identity_type="oidc",
            oidc_issuer=ISSUER,
            oidc_subject=self.agent_id,
            accepted_identity_types=["pinned_key", "oidc"],
        )

    @property
    def trust(self) -> dict[str, Any]:
        public = self.issuer_key.public_key().public_bytes_raw()
        return {"trusted": {ISSUER: [{"kty": "OKP", "crv": "Ed25519", "kid": "k1", "x": b64(public)}]}}

    def id_token(self, nonce: str) -> str:
        if self.again is not None:
            return self.again
        now = int(time.time())
        claims = {"iss": ISSUER, "sub": self.agent_id, "aud": self.audience, "iat": now, "exp": now + 60}
        claims |= {"nonce": nonce, "cnf": {"jkt": aitp.compute_aid_jkt(self.aid)}}
        parts = ({"alg": "EdDSA", "typ": "JWT", "kid": "k1"}, claims | self.changes)
        signed = ".".join(b64(json.dumps(part).encode()) for part in parts)
        self.shown.append(f"{signed}.{b64(self.issuer_key.sign(signed.encode()))}")
        return self.shown[-1]

    async def hello(self, worker: WorkerProcess, grants: list[str] | None = None) -> tuple[aitp.InitiatorSession, str]:
        manifest = json.dumps((await worker.request("GET", "/.well-known/aitp-manifest")).body)
        self.audience = worker.aid
        session = self.agent.new_session(pinned_keys=[worker.aid])
        return session, session.build_hello(manifest, grants or ["demo.echo"], self.id_token)


@dataclass
class Held:
    """A token of the worker's, in the hands of its holder, and the key that the worker signs with (None: unknown)."""

    worker: WorkerProcess
    holder: SdkPeer
    bystander: SdkPeer
    thief: SdkPeer
    token: str
    bundle_ref: str
    issuer_key: PrivateKey | None
    alg: str = "EdDSA"

    def expired(self) -> str:
        """The same token, as it will be: signed by its issuer, with its end in the past."""
        assert self.issuer_key is not None
        now = int(time.time())
        claims = claims_of(self.token) | {"iat": now - 200, "exp": now - 100}
        return str(encode_jws("aitp-tct+jwt", claims, self.issuer_key, alg=self.alg))

    async def at_every_door(self, token: str, headers: Callable[[], Awaitable[dict[str, str]]]) -> dict[str, Answer]:
        """What a call, a renewal and the fetching of a bundle are answered with; ``headers`` is asked for each anew."""
        request = self.holder.agent.build_renewal_request(token)
        return {
            "capability.denied": await self.worker.request("POST", ECHO, "{}", await headers()),
            "tct.renewal.refused": await self.worker.request("POST", RENEW, request, await headers()),
            "bundle": await self.worker.request("POST", BUNDLES + self.bundle_ref, "{}", await headers()),
        }


async def redeemed(worker: WorkerProcess, token: dict[str, Any], giver: SdkPeer, taker: SdkPeer) -> dict[str, Any]:
    """What ``taker`` has of the worker for a delegation of ``giver``'s."""
    delegation = giver.agent.build_delegation(token["grant_voucher"], taker.aid, ["demo.echo"])
    asked = json.dumps({"delegation_token": delegation})
    challenge = (await worker.request("POST", "/aitp/delegation/challenge", asked)).body["payload"]
    payload = {"delegation_token": delegation, **json.loads(taker.agent.sign_pop_response(json.dumps(challenge)))}
    envelope = taker.agent.sign_envelope("pop_response", json.dumps(payload))
    answer = await worker.request("POST", "/aitp/delegation/redeem", envelope)
    assert answer.status == 200, answer
    given: dict[str, Any] = answer.body
    return given


async def shaken(peer: SdkPeer, worker: WorkerProcess) -> dict[str, Any]:
    session, commit, session_id = await peer.open(worker)
    answer = await worker.request("POST", "/aitp/handshake/commit", commit, {"X-Aitp-Session-Id": session_id})
    assert answer.status == 200, answer
    given: dict[str, Any] = json.loads(session.complete(json.dumps(answer.body), revoked_jtis=set()))
    return given


async def renewed(worker: WorkerProcess, peer: SdkPeer, token: str) -> str:
    request = peer.agent.build_renewal_request(token)
    answer = await worker.request("POST", RENEW, request, await peer.proof(worker, token))
    assert answer.status == 200, answer
    return str(answer.body["tct"])


KINDS = ["plain", "renewed", "redeemed", "multi-hop", "renewed after redemption", "rotated issuer", "oidc", "p256"]
Hold = Callable[[str], Awaitable[Held]]


@pytest.fixture
async def hold(start: Start) -> AsyncIterator[Hold]:
    """A token of a kind."""
    serving: list[MaliciousResponder] = []

    async def make(kind: str) -> Held:
        holder: SdkPeer = VouchedPeer("holder") if kind == "oidc" else SdkPeer("holder")
        options: dict[str, Any] = {"redelegation": 2}
        if isinstance(holder, VouchedPeer):
            options |= {"oidc": holder.trust, "accepted_identity_types": ["pinned_key", "oidc"]}
        if kind == "p256":
            options["signing_suite"] = "p256"
            holder.agent = aitp.AitpAgent.from_seed(holder.seed, "p256")
            holder.build()
        worker = await start("worker", **options)
        bystander, thief, first, second = (SdkPeer(name) for name in ("bystander", "thief", "first", "second"))
        everybody = (holder, bystander, thief, first, second)
        key: PrivateKey | None = PrivateKey.ed25519_from_seed(worker.seed)
        if kind == "p256":
            key = PrivateKey.p256_from_scalar(int.from_bytes(worker.seed, "big"))
        if kind == "rotated issuer":
            worker.aid = (await worker.admin("rotate-keys", {})).body["new_aid"]
            key = None
        for delegator in (first, second):  # the owner looks them up
            serving.append(MaliciousResponder(delegator, worker.aid))
            await serving[-1].start()
        await introduce(worker, *everybody)
        if kind in ("redeemed", "renewed after redemption"):
            token = (await redeemed(worker, await shaken(first, worker), first, holder))["tct"]
        elif kind == "multi-hop":
            middle = await redeemed(worker, await shaken(first, worker), first, second)
            token = (await redeemed(worker, middle, second, holder))["tct"]
        else:
            token = await holder.token_from(worker)
        if kind.startswith("renewed"):
            token = await renewed(worker, holder, token)
        made = await worker.admin("export-session-bundle", {"participants": ["holder"]})
        assert made.status == 200, made
        ref = made.body["bundle_ref"]
        return Held(worker, holder, bystander, thief, token, ref, key, "ES256" if kind == "p256" else "EdDSA")

    yield make
    for responder in serving:
        await responder.close()


async def served(held: Held, peer: SdkPeer, token: str) -> None:
    """An honest call is answered."""
    answer = await held.worker.request("POST", ECHO, "{}", await peer.proof(held.worker, token))
    assert answer.status == 200, answer


async def refused(
    sink: TelemetrySink, answers: dict[str, Answer], code: str, registry: str, *, told: bool = True
) -> None:
    """403 at each door, under the standard's code, the finer word for who proved its key, and both in the log."""
    for door, answer in answers.items():
        assert (answer.status, answer.body["error"]["code"]) == (403, registry), (door, answer)
        assert answer.body["error"].get("details", {}).get("reason") == (code if told else None), (door, answer)
    events = [*await sink.wait_for("capability.denied", 2), *await sink.wait_for("tct.renewal.refused")]
    assert {(event["payload"]["code"], event["payload"]["registry_code"]) for event in events} == {(code, registry)}
    assert all(event["error"] for event in events)
    assert not sink.of_type("capability.invoked")


@pytest.mark.parametrize("kind", KINDS)
async def test_stolen_token_opens_nothing_without_its_key(hold: Hold, sink: TelemetrySink, kind: str) -> None:
    held = await hold(kind)

    async def by_thief() -> dict[str, str]:
        return await held.holder.proof(held.worker, held.token, signer=held.thief.agent)

    answers = await held.at_every_door(held.token, by_thief)
    await refused(sink, answers, "pop_invalid", "POP_RESPONSE_INVALID", told=False)
    await served(held, held.holder, held.token)


@pytest.mark.parametrize("kind", KINDS)
async def test_token_opens_nothing_without_a_proof(hold: Hold, sink: TelemetrySink, kind: str) -> None:
    held = await hold(kind)

    async def bare() -> dict[str, str]:
        return {"X-AITP-TCT": held.token}

    answers = await held.at_every_door(held.token, bare)
    await refused(sink, answers, "pop_required", "POP_RESPONSE_INVALID", told=False)
    await served(held, held.holder, held.token)


@pytest.mark.parametrize("kind", KINDS)
async def test_proof_is_good_once_at_whichever_door(hold: Hold, sink: TelemetrySink, kind: str) -> None:
    held = await hold(kind)
    used = await held.holder.proof(held.worker, held.token)
    answer = await held.worker.request("POST", BUNDLES + held.bundle_ref, "{}", used)
    assert answer.status == 200, answer

    async def again() -> dict[str, str]:
        return used

    answers = await held.at_every_door(held.token, again)
    await refused(sink, answers, "pop_invalid", "POP_CHALLENGE_INVALID", told=False)
    await served(held, held.holder, held.token)


@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind != "rotated issuer"])
async def test_expired_token_opens_nothing_and_is_not_renewed(hold: Hold, sink: TelemetrySink, kind: str) -> None:
    held = await hold(kind)
    over = held.expired()

    async def honest() -> dict[str, str]:
        return await held.holder.proof(held.worker, over)

    await refused(sink, await held.at_every_door(over, honest), "tct_expired", "TCT_EXPIRED")
    await served(held, held.holder, held.token)


@pytest.mark.parametrize("kind", KINDS)
async def test_revoked_token_opens_nothing_and_is_not_renewed(hold: Hold, sink: TelemetrySink, kind: str) -> None:
    held = await hold(kind)
    assert (await held.worker.admin("revoke-tct", {"audience": "holder"})).status == 200

    async def honest() -> dict[str, str]:
        return await held.holder.proof(held.worker, held.token)

    await refused(sink, await held.at_every_door(held.token, honest), "tct_revoked", "TCT_REVOKED")
    await served(held, held.bystander, await held.bystander.token_from(held.worker))


@pytest.mark.parametrize("kind", ["redeemed", "multi-hop", "renewed after redemption"])
async def test_token_falls_with_the_one_it_came_from(hold: Hold, sink: TelemetrySink, kind: str) -> None:
    held = await hold(kind)
    assert (await held.worker.admin("revoke-tct", {"audience": "first"})).status == 200

    async def honest() -> dict[str, str]:
        return await held.holder.proof(held.worker, held.token)

    answers = await held.at_every_door(held.token, honest)
    assert {answer.body["error"]["details"].get("source") for answer in answers.values()} == {"lineage"}
    await refused(sink, answers, "tct_revoked", "TCT_REVOKED")
    await served(held, held.bystander, await held.bystander.token_from(held.worker))


@pytest.mark.parametrize("kind", KINDS)
async def test_token_of_another_issuer_opens_nothing_and_is_not_renewed(
    hold: Hold, sink: TelemetrySink, kind: str
) -> None:
    held = await hold(kind)
    other = SdkPeer("other", ["demo.echo"])
    foreign = other.reissue(mint(other, SdkPeer("anybody"), ["demo.echo"]), **_bound_to(claims_of(held.token)))

    async def honest() -> dict[str, str]:
        return await held.holder.proof(held.worker, foreign)

    await refused(sink, await held.at_every_door(foreign, honest), "wrong_issuer", "TCT_SIGNATURE_INVALID")
    await served(held, held.holder, held.token)


def _bound_to(claims: dict[str, Any]) -> dict[str, Any]:
    """The claims that say to whom a token was given."""
    return {name: claims[name] for name in ("sub", "aud", "cnf") if name in claims}


@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind != "rotated issuer"])
async def test_token_of_the_issuers_old_key_opens_nothing_and_is_not_renewed(
    hold: Hold, sink: TelemetrySink, kind: str
) -> None:
    held = await hold(kind)
    held.worker.aid = (await held.worker.admin("rotate-keys", {})).body["new_aid"]

    async def honest() -> dict[str, str]:
        return await held.holder.proof(held.worker, held.token)

    await refused(sink, await held.at_every_door(held.token, honest), "wrong_issuer", "TCT_SIGNATURE_INVALID")
    await served(held, held.bystander, await held.bystander.token_from(held.worker))


@pytest.mark.parametrize("kind", KINDS)
async def test_grants_are_neither_written_in_nor_widened_by_a_renewal(
    hold: Hold, sink: TelemetrySink, kind: str
) -> None:
    held = await hold(kind)
    head, _, signature = held.token.split(".")
    claims = claims_of(held.token) | {"grants": ["demo.echo", "demo.who"]}
    wider = ".".join((head, b64(json.dumps(claims).encode()), signature))

    async def honest() -> dict[str, str]:
        return await held.holder.proof(held.worker, wider)

    await refused(sink, await held.at_every_door(wider, honest), "tct_invalid", "TCT_SIGNATURE_INVALID")
    request = json.loads(held.holder.agent.build_renewal_request(held.token)) | {"grants": ["demo.who"]}
    answer = await held.worker.request(
        "POST", RENEW, json.dumps(request), await held.holder.proof(held.worker, held.token)
    )
    if answer.status == 200:
        assert claims_of(answer.body["tct"])["grants"] == ["demo.echo"]
    beyond = await held.worker.request(
        "POST", "/capabilities/demo.who", "{}", await held.holder.proof(held.worker, held.token)
    )
    assert (beyond.status, beyond.body["error"]["details"]["reason"]) == (403, "grant_missing")
    await served(held, held.holder, held.token)


async def test_bundle_is_not_given_for_its_name_alone(hold: Hold, sink: TelemetrySink) -> None:
    """Whoever hears its name, and even holds a good token, gets nothing of what is in it."""
    held = await hold("plain")
    token = await held.thief.token_from(held.worker)
    answer = await held.worker.request(
        "POST", BUNDLES + held.bundle_ref, "{}", await held.thief.proof(held.worker, token)
    )
    assert (answer.status, answer.body["error"]["details"]["reason"]) == (403, "grant_missing")
    assert held.token not in json.dumps(answer.body)
    [event] = await sink.wait_for("capability.denied")
    assert (event["payload"]["code"], event["payload"]["caller"]) == ("grant_missing", "thief")
    await served(held, held.holder, held.token)


async def test_renewal_is_of_the_token_that_was_proven_and_of_no_other(hold: Hold, sink: TelemetrySink) -> None:
    """A thief with a token and a key of its own asks for a new one in place of somebody else's."""
    held = await hold("plain")
    own = await held.thief.token_from(held.worker)
    for request in (
        held.thief.agent.build_renewal_request(held.token),
        json.dumps(json.loads(held.holder.agent.build_renewal_request(held.token))),
    ):
        answer = await held.worker.request("POST", RENEW, request, await held.thief.proof(held.worker, own))
        assert (answer.status, answer.body["error"]["code"]) == (403, "POP_RESPONSE_INVALID"), answer
        assert "tct" not in answer.body
    assert len(await sink.wait_for("tct.renewal.refused", 2)) == 2
    assert not sink.of_type("tct.renewal.issued")
    await served(held, held.holder, held.token)


# -- identities that an issuer vouches for -----------------------------------------------------------------------------


async def hello(peer: VouchedPeer, worker: WorkerProcess) -> Answer:
    _, message = await peer.hello(worker)
    return await worker.request("POST", "/aitp/handshake/hello", message)


@pytest.mark.parametrize("attack", ["shown before", "for another key", "for another receiver", "of another issuer"])
async def test_id_token_that_was_not_made_for_this_hello_is_refused(
    hold: Hold, sink: TelemetrySink, attack: str
) -> None:
    held = await hold("oidc")
    peer = held.holder
    assert isinstance(peer, VouchedPeer)
    honest_key = peer.issuer_key
    if attack == "shown before":
        peer.again = peer.shown[-1]
    elif attack == "for another key":
        peer.changes = {"cnf": {"jkt": aitp.compute_aid_jkt(held.thief.aid)}}
    elif attack == "for another receiver":
        peer.changes = {"aud": held.thief.aid}
    else:
        peer.issuer_key = Ed25519PrivateKey.generate()
    answer = await hello(peer, held.worker)
    assert (answer.status, answer.body["error"]["code"]) == (400, "IDENTITY_FAILED"), answer
    [event] = await sink.wait_for("handshake.failed")
    assert event["payload"]["registry_code"] == "IDENTITY_FAILED"
    assert event["error"]
    peer.again, peer.changes, peer.issuer_key = None, {}, honest_key
    await served(held, peer, await peer.token_from(held.worker))


async def test_stolen_id_token_is_no_good_under_another_agents_key(hold: Hold, sink: TelemetrySink) -> None:
    held = await hold("oidc")
    peer = held.holder
    assert isinstance(peer, VouchedPeer)
    thief = VouchedPeer("thief")
    thief.again = peer.id_token("a nonce")
    await introduce(held.worker, peer, thief, held.bystander)
    answer = await hello(thief, held.worker)
    assert (answer.status, answer.body["error"]["code"]) == (400, "IDENTITY_FAILED"), answer
    await sink.wait_for("handshake.failed")
    await served(held, peer, held.token)
