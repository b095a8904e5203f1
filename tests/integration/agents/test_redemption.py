"""Redeeming at the resource owner: what any delegatee may send, and what is said to each that is wrong."""

from __future__ import annotations

import asyncio
import base64
import json
import shutil
import time
import uuid
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aitp
import pytest
from aitp_verifier import delegation as verifier
from aitp_verifier.crypto import PrivateKey
from aitp_verifier.errors import AitpError
from aitp_verifier.jws import encode_jws

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

OPEN = {"fail_mode": "fail_open", "max_staleness_secs": 300, "poll_secs": 60}
CHALLENGE, REDEEM = "/aitp/delegation/challenge", "/aitp/delegation/redeem"


@dataclass
class Bench:
    """A real owner and peers made of the bare SDK; ``delegator`` is served, so that the owner can look it up."""

    owner: WorkerProcess
    delegator: SdkPeer
    delegatee: SdkPeer
    served: MaliciousResponder
    voucher: str

    def delegation(self, scope: list[str] | None = None, **options: Any) -> str:
        made = self.delegator.agent.build_delegation(
            self.voucher, self.delegatee.aid, scope or ["demo.echo"], **options
        )
        return str(made)

    def written(self, **changes: Any) -> str:
        """A delegation with these claims (None: without), properly signed by the delegator."""
        claims = {**claims_of(self.delegation()), **changes}
        claims = {name: value for name, value in claims.items() if value is not None}
        key = PrivateKey.ed25519_from_seed(self.delegator.seed)
        return str(encode_jws("aitp-delegation+jwt", claims, key, alg="EdDSA"))

    def granted(self, kind: str = "aitp-grant+jwt", **changes: Any) -> str:
        """The owner's voucher with other claims, properly signed by the owner."""
        key = PrivateKey.ed25519_from_seed(self.owner.seed)
        return str(encode_jws(kind, claims_of(self.voucher) | changes, key, alg="EdDSA"))

    async def challenge(self, delegation: str) -> dict[str, Any]:
        """The payload of the owner's challenge."""
        answer = await self.owner.request("POST", CHALLENGE, json.dumps({"delegation_token": delegation}))
        assert answer.status == 200, answer
        aitp.verify_envelope(json.dumps(answer.body), self.owner.aid)
        assert answer.body["message_type"] == "pop_challenge"
        given: dict[str, Any] = answer.body["payload"]
        return given

    async def redeem(self, delegation: str, signer: SdkPeer | None = None, **changes: Any) -> Answer:
        """As the standard has it: the registered members of a ``pop_response``, with the delegation beside them."""
        challenge = await self.challenge(delegation) | changes.pop("challenge", {})
        kind = changes.pop("kind", "pop_response")
        agent = (signer or self.delegatee).agent
        payload = {
            "delegation_token": delegation,
            **json.loads(agent.sign_pop_response(json.dumps(challenge))),
        } | changes
        return await self.send(agent, {name: value for name, value in payload.items() if value is not None}, kind)

    async def redeem_plainly(self, delegation: str, signer: SdkPeer | None = None, **changes: Any) -> Answer:
        """As agents like these used to: the nonce beside the delegation and the owner it is meant for."""
        nonce = changes.pop("nonce", None) or (await self.challenge(delegation))["nonce"]
        payload = {"delegation_token": delegation, "nonce_echo": nonce, "audience": self.owner.aid} | changes
        return await self.send((signer or self.delegatee).agent, payload)

    async def send(self, agent: aitp.AitpAgent, payload: dict[str, Any], kind: str = "pop_response") -> Answer:
        return await self.owner.request("POST", REDEEM, agent.sign_envelope(kind, json.dumps(payload)))

    def verdict(self, delegation: str) -> str:
        """What the independent verifier says of a delegation in the owner's place, or ``accepted``."""
        asked = {
            "self_aid": self.owner.aid,
            "delegation_token": delegation,
            "issuer_manifests": [json.loads(self.delegator.manifest)["manifest"]],
            "policy": {"fail_mode": "fail_open"},
        }
        try:
            verifier.verify_delegation_token(asked, int(time.time()))
        except AitpError as error:
            return str(error.code)
        return "accepted"


@pytest.fixture
async def bench(start: Start) -> Any:
    owner = await start("owner")
    delegator, delegatee = SdkPeer("delegator"), SdkPeer("delegatee")
    served = MaliciousResponder(delegator, owner.aid)
    await served.start()
    await introduce(owner, delegator, delegatee)
    voucher = (await shaken(delegator, owner, ["demo.echo", "demo.who"]))["grant_voucher"]
    yield Bench(owner, delegator, delegatee, served, voucher)
    await served.close()


async def shaken(peer: SdkPeer, owner: WorkerProcess, grants: list[str]) -> dict[str, Any]:
    """What ``peer`` has of a handshake with ``owner``: ``{"tct", "grant_voucher"}``."""
    session, commit, session_id = await peer.open(owner, grants)
    answer = await owner.request("POST", "/aitp/handshake/commit", commit, {"X-Aitp-Session-Id": session_id})
    given: dict[str, Any] = json.loads(session.complete(json.dumps(answer.body), revoked_jtis=set()))
    return given


def denied(answer: Answer, code: str, reason: str | None) -> None:
    """400 under the registry's code, and the finer word for one that was introduced and proved its key."""
    assert (answer.status, answer.body["error"]["code"]) == (400, code), answer
    assert answer.body["error"].get("details", {}).get("reason") == reason


async def test_proven_delegatee_gets_a_token_and_without_leave_no_voucher(bench: Bench) -> None:
    answer = await bench.redeem(bench.delegation())
    assert (answer.status, answer.body.keys()) == (200, {"tct"}), answer
    tct = claims_of(answer.body["tct"])
    assert (tct["iss"], tct["sub"], tct["grants"]) == (bench.owner.aid, bench.delegatee.aid, ["demo.echo"])
    headers = await bench.delegatee.proof(bench.owner, answer.body["tct"])
    assert (await bench.owner.request("POST", "/capabilities/demo.echo", "{}", headers)).status == 200


async def test_voucher_comes_along_where_the_owner_allows_delegating_on(bench: Bench, start: Start) -> None:
    bench.owner = await start("owner", redelegation=1, seed=b64(bench.owner.seed))
    await introduce(bench.owner, bench.delegator, bench.delegatee)
    answer = await bench.redeem(bench.delegation())
    tct, voucher = claims_of(answer.body["tct"]), claims_of(answer.body["grant_voucher"])
    assert (voucher["src_jti"], voucher["sub"]) == (tct["jti"], bench.delegatee.aid)


async def test_challenge_is_the_owners_fresh_and_of_128_bits(bench: Bench) -> None:
    delegation = bench.delegation()
    given = [await bench.challenge(delegation) for _ in range(10)]
    assert len({challenge["nonce"] for challenge in given}) == 10
    assert {len(base64.urlsafe_b64decode(challenge["nonce"] + "==")) for challenge in given} == {16}
    assert all(challenge.keys() == {"tct_jti", "nonce", "expires_at"} for challenge in given)
    assert len({challenge["tct_jti"] for challenge in given}) == 1


async def test_plain_form_is_still_read(bench: Bench) -> None:
    assert (await bench.redeem_plainly(bench.delegation())).status == 200


async def test_delegatee_that_nobody_introduced_is_served(bench: Bench) -> None:
    await introduce(bench.owner, bench.delegator)
    answer = await bench.redeem(bench.delegation())
    assert answer.status == 200, answer
    assert claims_of(answer.body["tct"])["sub"] == bench.delegatee.aid


async def test_delegatee_under_the_other_spelling_of_its_key_is_the_same(bench: Bench) -> None:
    tagged = bench.delegatee.aid.replace("aid:pubkey:", "aid:pubkey:ed25519:")
    answer = await bench.redeem(bench.written(sub=tagged))
    assert answer.status == 200, answer
    assert claims_of(answer.body["tct"])["sub"] == tagged


async def test_delegation_to_oneself_is_none_in_either_spelling(bench: Bench) -> None:
    tagged = bench.delegator.aid.replace("aid:pubkey:", "aid:pubkey:ed25519:")
    answer = await bench.redeem(bench.written(sub=tagged), signer=bench.delegator)
    denied(answer, "DELEGATION_INVALID_SIGNATURE", "tct_invalid")


async def test_lost_answer_is_had_again_by_proving_anew_and_by_nobody_else(bench: Bench) -> None:
    delegation = bench.delegation()
    first, again = await bench.redeem(delegation), await bench.redeem_plainly(delegation)
    assert (first.status, again.status, again.body) == (200, 200, first.body)
    denied(await bench.redeem(delegation, signer=bench.delegator), "REPLAY_DETECTED", "delegation_redeemed")
    denied(await bench.redeem(delegation, signer=SdkPeer("thief")), "REPLAY_DETECTED", None)
    unproven = await bench.send(bench.delegatee.agent, {"delegation_token": delegation})
    denied(unproven, "DELEGATION_POP_FAILED", "pop_required")


async def test_token_whose_origin_cannot_be_kept_is_not_handed_out_by_asking_again(
    start: Start, tmp_path: Path
) -> None:
    """What falls with a revoked token must be known after a restart too."""
    kept = tmp_path / "record"
    kept.mkdir(mode=0o700)
    owner = await start("owner", accept="any-verified", revocation=OPEN | {"record_dir": str(kept)})
    guest = SdkPeer("guest")
    voucher = (await shaken(guest, owner, ["demo.echo"]))["grant_voucher"]
    bench = Bench(owner, guest, SdkPeer("delegatee"), MaliciousResponder(guest, owner.aid), voucher)
    delegation = bench.delegation()
    shutil.rmtree(kept)
    for _ in range(2):
        assert (await bench.redeem(delegation)).status == 503
    kept.mkdir(mode=0o700)
    assert (await bench.redeem(delegation)).status == 200


async def test_same_claims_signed_anew_are_the_same_delegation(bench: Bench) -> None:
    delegation = bench.delegation()
    first = await bench.redeem(delegation)
    other_signature = ".".join((*delegation.split(".")[:2], b64(b"\x01" * 64)))
    assert (await bench.redeem(other_signature)).body == first.body


async def test_proof_by_another_key_is_refused(bench: Bench, sink: TelemetrySink) -> None:
    delegation = bench.delegation()
    denied(await bench.redeem(delegation, signer=bench.delegator), "DELEGATION_POP_FAILED", "pop_invalid")
    denied(await bench.redeem(delegation, signer=SdkPeer("stranger")), "DELEGATION_POP_FAILED", None)
    first, _ = await sink.wait_for("delegation.rejected", 2)
    assert (first["payload"]["code"], first["payload"]["registry_code"]) == ("pop_invalid", "DELEGATION_POP_FAILED")
    assert (await bench.redeem(delegation)).status == 200


async def test_proof_whose_envelope_is_not_the_senders_is_refused(bench: Bench) -> None:
    delegation, thief = bench.delegation(), SdkPeer("thief")
    proof = json.loads(thief.agent.sign_pop_response(json.dumps(await bench.challenge(delegation))))
    raw = thief.agent.sign_envelope("pop_response", json.dumps({"delegation_token": delegation, **proof}))
    answer = await bench.owner.request("POST", REDEEM, raw.replace(thief.aid, bench.delegatee.aid))
    denied(answer, "DELEGATION_POP_FAILED", None)


async def test_signature_over_the_nonce_is_the_delegatees_own(bench: Bench) -> None:
    delegation = bench.delegation()
    thief = SdkPeer("thief").agent
    stolen = json.loads(thief.sign_pop_response(json.dumps(await bench.challenge(delegation))))["pop_signature"]
    for changes in ({"pop_signature": stolen}, {"pop_signature": 5}, {"tct_jti": str(uuid.uuid4())}, {"tct_jti": None}):
        denied(await bench.redeem(delegation, **changes), "DELEGATION_POP_FAILED", "pop_invalid")
    assert (await bench.redeem(delegation)).status == 200


async def test_proof_is_good_once_and_for_its_own_delegation(bench: Bench) -> None:
    first, second = bench.delegation(), bench.delegation(ttl_secs=60)
    challenge = await bench.challenge(first)
    for delegation in (second, first):  # the attempt has used it up
        answer = await bench.redeem(delegation, challenge=challenge)
        denied(answer, "DELEGATION_POP_FAILED", "pop_invalid")
    denied(await bench.redeem_plainly(second, nonce=challenge["nonce"]), "DELEGATION_POP_FAILED", "pop_invalid")
    assert (await bench.redeem(first)).status == 200


async def test_copied_message_is_a_replay(bench: Bench) -> None:
    delegation = bench.delegation()
    nonce = (await bench.challenge(delegation))["nonce"]
    payload = {"delegation_token": delegation, "nonce_echo": nonce, "audience": bench.owner.aid}
    raw = bench.delegatee.agent.sign_envelope("pop_response", json.dumps(payload))
    assert (await bench.owner.request("POST", REDEEM, raw)).status == 200
    denied(await bench.owner.request("POST", REDEEM, raw), "REPLAY_DETECTED", None)


async def test_proof_made_for_another_agent_is_refused(bench: Bench) -> None:
    """Whoever it was made for may have passed it on: it is not told who is known here."""
    for redeem in (bench.redeem, bench.redeem_plainly):
        answer = await redeem(bench.delegation(), audience=bench.delegator.aid)
        denied(answer, "DELEGATION_POP_FAILED", None)
    own = bench.owner.aid.replace("aid:pubkey:", "aid:pubkey:ed25519:")
    assert (await bench.redeem_plainly(bench.delegation(), audience=own)).status == 200


async def test_proof_for_a_call_is_no_redemption_and_tells_whoever_passes_it_on_nothing(bench: Bench) -> None:
    challenge = {"tct_jti": str(uuid.uuid4()), "nonce": b64(bytes(16)), "expires_at": int(time.time()) + 60}
    for known in (True, False):
        await introduce(bench.owner, bench.delegator, *[bench.delegatee] * known)
        proof = json.loads(bench.delegatee.agent.sign_pop_response(json.dumps(challenge)))
        denied(await bench.send(bench.delegatee.agent, proof), "INVALID_ENVELOPE", None)


async def test_redemption_at_another_owner_tells_whoever_passes_it_on_nothing(bench: Bench) -> None:
    elsewhere = bench.written(aud=SdkPeer("another owner").aid)
    for delegation in (elsewhere, "junk", 5):
        answer = await bench.send(bench.delegatee.agent, {"delegation_token": delegation, "nonce_echo": "n"})
        assert (answer.status, answer.body["error"].get("details")) == (400, None)


async def test_envelope_of_another_type_is_refused(bench: Bench) -> None:
    denied(await bench.redeem(bench.delegation(), kind="error"), "DELEGATION_POP_FAILED", None)


async def test_nonce_of_the_delegatees_own_making_is_refused(bench: Bench) -> None:
    answer = await bench.redeem_plainly(bench.delegation(), nonce="made-up")
    denied(answer, "DELEGATION_POP_FAILED", "pop_invalid")


async def test_delegator_that_is_not_known_is_refused(bench: Bench, sink: TelemetrySink) -> None:
    await introduce(bench.owner, bench.delegatee)
    denied(await bench.redeem(bench.delegation()), "KEY_RESOLUTION_FAILED", "peer_unknown")
    assert (await sink.wait_for("delegation.rejected"))[0]["payload"]["code"] == "peer_unknown"


async def test_guest_delegates_by_the_manifest_it_came_with(start: Start, sink: TelemetrySink) -> None:
    """Its manifest names an address at which nobody answers, and to which the owner does not go."""
    owner = await start("owner", accept="any-verified")
    guest, delegatee = SdkPeer("guest"), SdkPeer("delegatee")
    voucher = (await shaken(guest, owner, ["demo.echo"]))["grant_voucher"]
    bench = Bench(owner, guest, delegatee, MaliciousResponder(guest, owner.aid), voucher)
    answer = await bench.redeem(bench.delegation())
    assert answer.status == 200, answer
    headers = await delegatee.proof(owner, answer.body["tct"])
    assert (await owner.request("POST", "/capabilities/demo.echo", "{}", headers)).status == 200
    [event] = await sink.wait_for("delegation.redeemed")
    assert (event["aid_a"], event["aid_b"]) == (guest.aid, delegatee.aid)


async def test_guests_manifest_is_the_one_it_came_with_last(start: Start) -> None:
    owner = await start("owner", accept="any-verified")
    guest, endpoint = SdkPeer("guest"), "http://localhost:1/aitp/handshake/"
    guest.manifest = guest.agent.build_manifest("guest", endpoint, guest.caps, ttl_secs=3)
    expires_at = json.loads(guest.manifest)["manifest"]["expires_at"]
    voucher = (await shaken(guest, owner, ["demo.echo"]))["grant_voucher"]
    bench = Bench(owner, guest, SdkPeer("delegatee"), MaliciousResponder(guest, owner.aid), voucher)
    await asyncio.sleep(expires_at + 1 - time.time())  # nothing but time expires a manifest
    denied(await bench.redeem(bench.delegation()), "KEY_RESOLUTION_FAILED", None)
    guest.build()
    await shaken(guest, owner, ["demo.echo"])
    assert (await bench.redeem(bench.delegation())).status == 200


async def test_agent_that_is_known_by_its_aid_alone_delegates_by_the_manifest_it_came_with(start: Start) -> None:
    owner, friend = await start("owner"), SdkPeer("friend")
    listed = {"peers": [{"agent_id": "friend", "aid": friend.aid}]}
    assert (await owner.admin("peers", listed, method="PUT")).status == 200
    voucher = (await shaken(friend, owner, ["demo.echo"]))["grant_voucher"]
    bench = Bench(owner, friend, SdkPeer("delegatee"), MaliciousResponder(friend, owner.aid), voucher)
    assert (await bench.redeem(bench.delegation())).status == 200
    for route, body in (("initiate-handshake", {}), ("invoke", {"capability": "demo.echo", "input": {}})):
        answer = await owner.admin(route, {"peer": "friend", **body})
        error = answer.body["error"]
        assert (answer.status, error["details"]["class"]) == (502, "refused"), "it has nowhere to go"
        assert "no address of friend is known" in error["message"]
    assert (await owner.admin("peers", listed, method="PUT")).status == 200
    assert (await bench.redeem(bench.delegation(ttl_secs=60))).status == 200
    for peers in ([], listed["peers"]):  # forgotten, and then known again
        assert (await owner.admin("peers", {"peers": peers}, method="PUT")).status == 200
    denied(await bench.redeem(bench.delegation(ttl_secs=61)), "KEY_RESOLUTION_FAILED", None)
    await shaken(friend, owner, ["demo.echo"])
    assert (await bench.redeem(bench.delegation(ttl_secs=61))).status == 200


async def test_guest_that_is_introduced_by_its_aid_delegates_on(start: Start) -> None:
    owner, guest = await start("owner", accept="any-verified"), SdkPeer("guest")
    voucher = (await shaken(guest, owner, ["demo.echo"]))["grant_voucher"]
    listed = {"peers": [{"agent_id": "guest", "aid": guest.aid}]}
    assert (await owner.admin("peers", listed, method="PUT")).status == 200
    bench = Bench(owner, guest, SdkPeer("delegatee"), MaliciousResponder(guest, owner.aid), voucher)
    assert (await bench.redeem(bench.delegation())).status == 200


async def test_delegator_that_cannot_be_looked_up_is_an_error_and_the_delegation_stays_good(bench: Bench) -> None:
    delegation = bench.delegation()
    bench.served.tamper = lambda _route, text: text.replace("peer.thing", "peer.other")
    answer = await bench.redeem(delegation)
    denied(answer, "KEY_RESOLUTION_FAILED", "peer_failed")
    assert (answer.body["error"]["retryable"], answer.body["error"]["details"]) == (True, {"reason": "peer_failed"})
    assert bench.delegator.base_url not in json.dumps(answer.body), "where it is, is not the delegatee's to know"
    bench.served.tamper = lambda _route, text: text
    assert (await bench.redeem(delegation)).status == 200


async def test_delegator_that_is_forgotten_while_it_is_looked_up_is_not_known(bench: Bench) -> None:
    delegation = bench.delegation()
    bench.served.meanwhile = lambda: introduce(bench.owner, bench.delegatee)
    denied(await bench.redeem(delegation), "KEY_RESOLUTION_FAILED", "peer_unknown")
    bench.served.meanwhile = None
    await introduce(bench.owner, bench.delegator, bench.delegatee)
    assert (await bench.redeem(delegation)).status == 200


async def test_capability_that_is_no_longer_offered_is_not_minted(bench: Bench, start: Start) -> None:
    owner = await start("owner", offered_caps=["demo.who"], seed=b64(bench.owner.seed))
    assert owner.aid == bench.owner.aid
    await introduce(owner, bench.delegator, bench.delegatee)
    bench.owner = owner
    denied(await bench.redeem(bench.delegation(["demo.echo", "demo.who"])), "POLICY_VIOLATION", "grant_missing")
    assert (await bench.redeem(bench.delegation(["demo.who"]))).status == 200


async def test_voucher_of_what_was_redeemed_is_refused_beyond_the_owners_depth(bench: Bench) -> None:
    """Such a voucher is not handed out; this one is forged with the owner's key."""
    redeemed = claims_of((await bench.redeem(bench.delegation())).body["tct"])
    beyond = bench.granted(sub=bench.delegator.aid, src_jti=redeemed["jti"], grants=["demo.echo"])
    deeper = bench.written(voucher=beyond, exp=claims_of(beyond)["exp"] - 1)
    denied(await bench.redeem(deeper), "DELEGATION_HOP_LIMIT_EXCEEDED", "delegation_depth")


async def test_what_was_granted_in_one_direction_cannot_be_delegated(bench: Bench) -> None:
    given = await bench.owner.admin("initiate-handshake", {"peer": "delegator", "direction": "one"})
    assert given.status == 200, given
    made = bench.delegator.agent.build_delegation(bench.served.vouchers[-1], bench.delegatee.aid, ["demo.echo"])
    denied(await bench.redeem(str(made)), "POLICY_VIOLATION", "grant_missing")


async def test_spelling_of_owner_and_delegator_is_the_vouchers(bench: Bench) -> None:
    """The SDK compares them as texts."""
    for name in ("aud", "iss"):
        tagged = claims_of(bench.delegation())[name].replace("aid:pubkey:", "aid:pubkey:ed25519:")
        denied(await bench.redeem(bench.written(**{name: tagged})), "DELEGATION_INVALID_VOUCHER", "tct_invalid")


CHAINED: list[dict[str, Any]] = [
    {"chain": ["a.b.c"], "chain_hash": "x", "jti": str(uuid.uuid4()), "voucher": None},
    {"chain": []},
    {"chain_hash": "x"},
    {"jti": str(uuid.uuid4())},
]


@pytest.mark.parametrize("members", CHAINED)
async def test_chain_is_refused_by_its_name_before_anything_else_about_it(
    bench: Bench, members: dict[str, Any]
) -> None:
    chained = bench.written(**members)
    denied(await bench.redeem(chained), "DELEGATION_MULTIHOP_NOT_SUPPORTED", "delegation_chained")
    unanswered = {"delegation_token": chained.rpartition(".")[0] + ".AAAA", "nonce_echo": "n", "audience": "x"}
    answer = await bench.send(bench.delegatee.agent, unanswered)
    denied(answer, "DELEGATION_MULTIHOP_NOT_SUPPORTED", None)
    assert (await bench.redeem(bench.delegation())).status == 200


def in_a_year() -> int:
    return int(time.time()) + 365 * 24 * 3600


async def test_defects_of_a_delegation_are_named_as_the_independent_verifier_does(bench: Bench) -> None:
    past, third = int(time.time()) - 60, SdkPeer("third")
    head, _, signature = bench.delegation().split(".")
    forged = json.dumps(claims_of(bench.delegation()) | {"scope": ["demo.echo", "demo.who"]}).encode()
    unsigned = b64(json.dumps({"alg": "none", "typ": "aitp-delegation+jwt"}).encode())
    other_alg = b64(json.dumps({"alg": "ES256", "typ": "aitp-delegation+jwt"}).encode())
    to_itself = {"sub": bench.delegator.aid, "cnf": {"jkt": aitp.compute_aid_jkt(bench.delegator.aid)}}
    bad_voucher = bench.voucher.rpartition(".")[0] + "." + b64(b"\x01" * 64)
    named_ours = third.reissue(mint_voucher(third, bench.delegator), iss=bench.owner.aid)
    cases = {
        "DELEGATION_SCOPE_EXCEEDED": [bench.written(scope=["demo.echo", "demo.broken"])],
        "DELEGATION_EXPIRED": [
            bench.written(exp=past),
            bench.written(exp=in_a_year()),
            bench.written(voucher=bench.granted(exp=past)),
        ],
        "DELEGATION_INVALID_VOUCHER": [
            bench.written(voucher=bad_voucher),
            bench.written(voucher=named_ours),
            bench.written(voucher=bench.granted(sub=third.aid)),
            bench.written(voucher=mint_voucher(third, bench.delegator)),
            bench.written(voucher=None),
            bench.written(voucher="garbage"),
        ],
        "DELEGATION_AUDIENCE_MISMATCH": [bench.written(aud=third.aid)],
        "DELEGATION_INVALID_SIGNATURE": [
            f"{head}.{b64(forged)}.{signature}",
            bench.written(scope="demo.echo"),
        ],
        "TOKEN_ALG_MISMATCH": [
            f"{unsigned}.{bench.delegation().split('.')[1]}.{signature}",
            f"{other_alg}.{bench.delegation().split('.')[1]}.{signature}",
        ],
        "TOKEN_TYP_MISMATCH": [
            str(encode_jws("aitp-tct+jwt", claims_of(bench.delegation()), key(bench.delegator), alg="EdDSA")),
            bench.voucher,
            bench.written(voucher=bench.granted("aitp-tct+jwt")),
        ],
        "UNKNOWN_FIELD": [bench.written(extra=1), bench.written(voucher=bench.granted(extra=1))],
        "UNKNOWN_VERSION": [bench.written(ver="aitp/0.2")],
    }
    for code, delegations in cases.items():
        for place, delegation in enumerate(delegations):
            answer = await bench.redeem(delegation)
            assert (answer.status, answer.body["error"]["code"]) == (400, code), (code, place, answer)
            if code != "UNKNOWN_VERSION" and delegation != bench.voucher:  # it looks at no version here, and for claims
                assert bench.verdict(delegation) == code, (code, place)
    itself = bench.written(**to_itself)
    assert bench.verdict(itself) == "DELEGATION_INVALID_SIGNATURE"
    denied(await bench.redeem(itself, signer=bench.delegator), "DELEGATION_INVALID_SIGNATURE", "tct_invalid")
    assert bench.verdict(bench.delegation()) == "accepted"
    assert (await bench.redeem(bench.written(ext={"com.example.x": 1}))).status == 200


def key(peer: SdkPeer) -> PrivateKey:
    return PrivateKey.ed25519_from_seed(peer.seed)


def mint_voucher(issuer: SdkPeer, holder: SdkPeer) -> str:
    """The voucher that comes with a token that ``issuer`` gives ``holder``, between the two of them."""
    issuer.manifest = issuer.agent.build_manifest(issuer.agent_id, "http://localhost:1/", ["demo.echo"], ttl_secs=7200)
    session = holder.agent.new_session(pinned_keys=[issuer.aid])
    responder = issuer.agent.new_responder(pinned_keys=[holder.aid])
    ack, session_id = responder.process_hello(session.build_hello(issuer.manifest, ["demo.echo"]))
    commit_ack, _ = responder.process_commit(session.process_hello_ack(ack, session_id), revoked_jtis=set())
    voucher: str = json.loads(session.complete(commit_ack, revoked_jtis=set()))["grant_voucher"]
    return voucher


async def test_binding_and_scope_of_nothing_are_refused(bench: Bench) -> None:
    other = {"jkt": aitp.compute_aid_jkt(SdkPeer("other").aid)}
    for changes in ({"cnf": other}, {"scope": []}, {"cnf": {}}):
        denied(await bench.redeem(bench.written(**changes)), "DELEGATION_INVALID_SIGNATURE", "tct_invalid")


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"aud": []}, "DELEGATION_AUDIENCE_MISMATCH"),
        ({"aud": {}}, "DELEGATION_AUDIENCE_MISMATCH"),
        ({"iss": []}, "KEY_RESOLUTION_FAILED"),
        ({"voucher": 5}, "DELEGATION_INVALID_VOUCHER"),
        ({"exp": "soon"}, "DELEGATION_INVALID_SIGNATURE"),
        ({"sub": []}, "DELEGATION_POP_FAILED"),
    ],
)
async def test_claims_of_the_wrong_shape_are_refused(bench: Bench, changes: dict[str, Any], code: str) -> None:
    answer = await bench.redeem(bench.written(**changes))
    assert (answer.status, answer.body["error"]["code"]) == (400, code), answer


@pytest.mark.parametrize(
    ("token", "code"),
    [
        ("garbage", "DELEGATION_INVALID_SIGNATURE"),
        ("a.b.c", "DELEGATION_INVALID_SIGNATURE"),
        ("e30.e30.e30", "TOKEN_TYP_MISMATCH"),
        ("e30.eyJ2b3VjaGVyIjo1fQ.e30", "TOKEN_TYP_MISMATCH"),
    ],
)
async def test_text_that_is_no_delegation_is_refused(bench: Bench, token: str, code: str) -> None:
    denied(await bench.redeem(token), code, None)


async def test_tokens_of_other_kinds_are_no_delegation(bench: Bench) -> None:
    for token in (
        bench.voucher,
        await bench.delegator.token_from(bench.owner),
        mint(SdkPeer("a", ["x"]), SdkPeer("b"), ["x"]),
    ):
        denied(await bench.redeem(token), "TOKEN_TYP_MISMATCH", None)


@pytest.mark.parametrize(
    "changes",
    [{"nonce_echo": 5}, {"audience": 5}, {"delegation_token": []}, {"pop_signature": None}, {"audience": None}],
)
async def test_proof_without_its_parts_is_malformed(bench: Bench, changes: dict[str, Any]) -> None:
    plainly = {"delegation_token": bench.delegation(), "nonce_echo": "n"}
    answer = await bench.send(bench.delegatee.agent, plainly | changes)
    assert (answer.status, answer.body["error"]["code"]) == (400, "INVALID_ENVELOPE")


@pytest.mark.parametrize("body", ["", "[]", "{}", '{"delegation_token": 5}', '{"delegation_token": ""}'])
async def test_challenge_for_nothing_is_malformed(bench: Bench, body: str) -> None:
    for path in (CHALLENGE, REDEEM):
        answer = await bench.owner.request("POST", path, body)
        assert (answer.status, answer.body["error"]["code"]) == (400, "INVALID_ENVELOPE")


async def test_strangers_challenges_do_not_push_out_a_delegatees(bench: Bench) -> None:
    delegation = bench.delegation()
    challenge = await bench.challenge(delegation)

    async def ask(times: int) -> None:
        for n in range(times):
            body = json.dumps({"delegation_token": f"{n}.e30.e30"})
            assert (await bench.owner.request("POST", CHALLENGE, body)).status == 200

    await asyncio.gather(*(ask(550) for _ in range(8)))
    assert (await bench.redeem(delegation, challenge=challenge)).status == 200
