"""What a delegation gives, to whom, for how long, and what ends it."""

from __future__ import annotations

import asyncio
import hashlib
import json
import time
import uuid
from dataclasses import dataclass
from typing import Any

import aitp
import pytest
from aiohttp import web

from tests.integration.agents.harness import (
    Answer,
    SdkPeer,
    Start,
    TelemetrySink,
    WorkerProcess,
    claims_of,
    introduce,
    mint,
)

CHALLENGE, REDEEM = "/aitp/delegation/challenge", "/aitp/delegation/redeem"
ECHO = {"peer": "owner", "capability": "demo.echo", "input": {"n": 1}}


@dataclass
class Trio:
    """``alice`` holds a token of ``owner``; ``sub`` holds nothing."""

    owner: WorkerProcess
    alice: WorkerProcess
    sub: WorkerProcess

    async def delegate(self, **changes: Any) -> dict[str, Any]:
        body = {"delegatee": "sub", "via_peer": "owner", "scope": ["demo.echo"]} | changes
        answer = await self.alice.admin("delegate", body)
        assert answer.status == 200, answer
        given: dict[str, Any] = answer.body
        return given

    async def redeem(self, delegation: dict[str, Any], by: WorkerProcess | None = None) -> Answer:
        body = {"target": "owner", "delegation_token": delegation["delegation_token"]}
        return await (by or self.sub).admin("redeem-delegation", body)


@pytest.fixture
async def trio(start: Start) -> Trio:
    workers = await asyncio.gather(*(start(name) for name in ("owner", "alice", "sub")))
    await introduce(*workers)
    shaken = await workers[1].admin("initiate-handshake", {"peer": "owner", "direction": "one"})
    assert shaken.status == 200
    return Trio(*workers)


async def know(worker: WorkerProcess, *others: WorkerProcess) -> None:
    """Introduce these to ``worker``, nobody else, and ``worker`` to nobody."""
    listed = [
        {"agent_id": other.agent_id, "aid": other.aid, "manifest_url": f"{other.base_url}/.well-known/aitp-manifest"}
        for other in others
    ]
    assert (await worker.admin("peers", {"peers": listed}, method="PUT")).status == 200


def refused(answer: Answer, code: str, reason: str | None) -> None:
    """The target's refusal, as the delegatee passes it on; ``reason`` only to one that was introduced."""
    assert (answer.status, answer.body["error"]["code"]) == (502, "peer_failed"), answer
    details = answer.body["error"]["details"]
    assert (details["status"], details["code"], details.get("reason")) == (400, code, reason)


async def test_redeemed_delegation_opens_what_was_delegated_and_nothing_else(trio: Trio) -> None:
    before = await trio.sub.admin("invoke", ECHO)
    assert before.body["error"]["code"] == "no_tct_held"
    delegation = await trio.delegate()
    redeemed = await trio.redeem(delegation)
    assert (redeemed.status, redeemed.body["ok"]) == (200, True)
    assert (redeemed.body["peer_aid"], redeemed.body["grants"]) == (trio.owner.aid, ["demo.echo"])
    called = await trio.sub.admin("invoke", ECHO)
    assert (called.body["status_code"], called.body["presented_jti"]) == (200, redeemed.body["jti"])
    other = await trio.sub.admin("invoke", ECHO | {"capability": "demo.who"})
    assert (other.body["status_code"], other.body["body"]["error"]["details"]["reason"]) == (403, "grant_missing")


async def test_both_ends_are_told_with_claims_and_without_tokens(trio: Trio, sink: TelemetrySink) -> None:
    delegation = await trio.delegate(ttl_secs=600)
    redeemed = await trio.redeem(delegation)
    [issued] = await sink.wait_for("delegation.issued")
    assert (issued["jti"], issued["target"], issued["grants"]) == (delegation["jti"], "sub", ["demo.echo"])
    assert (issued["aid_a"], issued["aid_b"]) == (trio.alice.aid, trio.sub.aid)
    assert issued["payload"]["parent_jti"] == delegation["parent_jti"]
    claims = claims_of(delegation["delegation_token"])
    told = issued["payload"]["delegation"]["claims"]
    assert told == claims | {"voucher": claims_of(claims["voucher"])}
    assert delegation["parent_jti"] == told["voucher"]["src_jti"]
    [taken] = await sink.wait_for("delegation.redeemed")
    assert (taken["initiator"], taken["target"], taken["jti"]) == ("alice", "sub", redeemed.body["jti"])
    assert taken["payload"]["parent_jti"] == delegation["parent_jti"]
    assert taken["payload"]["delegation_jti"] == delegation["jti"]
    assert taken["payload"]["tct"]["claims"]["sub"] == trio.sub.aid
    logged = json.dumps(sink.events)
    assert delegation["delegation_token"].split(".")[2] not in logged
    assert claims["voucher"].split(".")[2] not in logged
    assert "eyJ" not in logged


async def test_delegation_has_one_v4_id_however_often_the_same_text_is_made(trio: Trio) -> None:
    first = await trio.delegate()
    second = await trio.delegate()
    assert first["jti"][14] == "4"
    assert (first["jti"] == second["jti"]) == (first["delegation_token"] == second["delegation_token"])


async def test_one_delegation_is_one_token_however_often_its_delegatee_asks(trio: Trio, sink: TelemetrySink) -> None:
    delegation = await trio.delegate()
    first, again = await trio.redeem(delegation), await trio.redeem(delegation)
    assert (first.status, again.status) == (200, 200)
    assert again.body["jti"] == first.body["jti"]
    assert (await trio.sub.admin("invoke", ECHO)).body["status_code"] == 200
    await trio.owner.admin("flush", {})
    assert len(sink.of_type("delegation.redeemed")) == 1


async def test_redeemed_delegation_is_a_replay_in_the_hands_of_anybody_else(trio: Trio, sink: TelemetrySink) -> None:
    delegation = await trio.delegate()
    assert (await trio.redeem(delegation)).status == 200
    refused(await trio.redeem(delegation, by=trio.alice), "REPLAY_DETECTED", "delegation_redeemed")
    [event] = await sink.wait_for("delegation.rejected")
    assert event["payload"] == {
        "code": "delegation_redeemed",
        "registry_code": "REPLAY_DETECTED",
        "delegator": "alice",
        "delegatee": "alice",
    }
    assert event["aid"] == trio.alice.aid


async def test_holder_reports_what_it_got_for_a_delegation_once(trio: Trio, sink: TelemetrySink) -> None:
    delegation = await trio.delegate()
    redeemed = await trio.redeem(delegation)
    assert (await trio.redeem(delegation)).body["jti"] == redeemed.body["jti"]
    await trio.sub.admin("flush", {})
    [received] = await sink.wait_for("tct.received")
    assert (received["jti"], received["grants"], received["target"]) == (redeemed.body["jti"], ["demo.echo"], "owner")
    told = received["payload"]
    assert (told["how"], told["parent_jti"]) == ("redeemed", delegation["parent_jti"])
    assert told["tct"]["claims"]["sub"] == trio.sub.aid


async def test_what_was_redeemed_and_revoked_is_not_fetched_again(trio: Trio) -> None:
    delegation = await trio.delegate()
    assert (await trio.redeem(delegation)).status == 200
    assert (await trio.owner.admin("revoke-tct", {"audience": "sub"})).status == 200
    refused(await trio.redeem(delegation), "TCT_REVOKED", "tct_revoked")


async def test_what_was_redeemed_is_not_fetched_again_once_its_source_is_revoked(trio: Trio) -> None:
    delegation = await trio.delegate()
    assert (await trio.redeem(delegation)).status == 200
    assert (await trio.owner.admin("revoke-tct", {"audience": "alice"})).status == 200
    refused(await trio.redeem(delegation), "DELEGATION_SOURCE_TCT_REVOKED", "tct_revoked")


async def test_of_many_redemptions_at_once_one_mints(trio: Trio, sink: TelemetrySink) -> None:
    delegation = await trio.delegate()
    answers = await asyncio.gather(*(trio.redeem(delegation) for _ in range(8)))
    assert [answer.status for answer in answers] == [200] * 8
    assert len({answer.body["jti"] for answer in answers}) == 1
    await trio.owner.admin("flush", {})
    assert len(sink.of_type("delegation.redeemed")) == 1


async def test_delegatee_need_not_be_introduced_to_the_owner(trio: Trio, sink: TelemetrySink) -> None:
    await know(trio.owner, trio.alice)
    delegation = await trio.delegate()
    redeemed = await trio.redeem(delegation)
    assert (redeemed.status, redeemed.body["grants"]) == (200, ["demo.echo"])
    assert (await trio.sub.admin("invoke", ECHO)).body["status_code"] == 200
    [event] = await sink.wait_for("delegation.redeemed")
    assert (event["initiator"], event["aid_b"]) == ("alice", trio.sub.aid)
    assert "target" not in event, "nobody knows an agent of that name there"
    assert "delegatee" not in event["payload"]


async def test_stranger_is_refused_without_the_reason(trio: Trio) -> None:
    await know(trio.owner, trio.alice)
    delegation = await trio.delegate(ttl_secs=1)
    await asyncio.sleep(delegation["expires_at"] + 1 - time.time())  # nothing but time expires a delegation
    refused(await trio.redeem(delegation), "DELEGATION_EXPIRED", None)


async def test_strangers_redeem_within_a_budget_and_the_introduced_beside_it(trio: Trio) -> None:
    stranger, made = SdkPeer("stranger"), await trio.delegate()

    async def send(peer: SdkPeer) -> Answer:
        raw = peer.agent.sign_envelope("pop_response", json.dumps({"delegation_token": made["delegation_token"]}))
        return await trio.owner.request("POST", REDEEM, raw)

    statuses = [(await send(stranger)).status for _ in range(12)]
    assert statuses == [400] * 10 + [429] * 2
    assert (await send(stranger)).headers["Retry-After"]
    assert (await trio.redeem(made)).status == 200


async def test_scope_wider_than_the_grant_is_refused_to_the_delegator(start: Start, trio: Trio) -> None:
    shaken = {"peer": "owner", "requested_grants": ["demo.who"], "direction": "one"}
    assert (await trio.alice.admin("initiate-handshake", shaken)).status == 200
    body = {"delegatee": "sub", "via_peer": "owner", "scope": ["demo.who", "demo.echo"]}
    answer = await trio.alice.admin("delegate", body)
    assert (answer.status, answer.body["error"]["code"]) == (409, "delegation_refused")
    assert answer.body["error"]["details"] == {"not_granted": ["demo.echo"]}
    for scope in ([], ["demo.nothing"]):
        assert (await trio.alice.admin("delegate", body | {"scope": scope})).status == 409


async def test_without_a_voucher_there_is_nothing_to_delegate(trio: Trio) -> None:
    answer = await trio.sub.admin("delegate", {"delegatee": "alice", "via_peer": "owner", "scope": ["demo.echo"]})
    assert (answer.status, answer.body["error"]["code"]) == (409, "no_voucher_held")


async def test_token_ends_with_the_delegation(trio: Trio) -> None:
    delegation = await trio.delegate(ttl_secs=90)
    redeemed = await trio.redeem(delegation)
    assert delegation["expires_at"] - 3 <= redeemed.body["expires_at"] <= delegation["expires_at"]
    again = await trio.delegate(ttl_secs=10**8)
    assert again["expires_at"] == claims_of(claims_of(again["delegation_token"])["voucher"])["exp"]


async def test_expired_delegation_is_refused(trio: Trio) -> None:
    delegation = await trio.delegate(ttl_secs=1)
    await asyncio.sleep(delegation["expires_at"] + 1 - time.time())  # nothing but time expires a delegation
    refused(await trio.redeem(delegation), "DELEGATION_EXPIRED", "tct_expired")


async def test_voucher_that_has_expired_is_good_for_nothing(start: Start) -> None:
    owner, alice = await asyncio.gather(start("owner", ttl_secs=6), start("alice"))
    await introduce(owner, alice, sub := SdkPeer("sub"))
    got = await alice.admin("initiate-handshake", {"peer": "owner", "direction": "one"})
    await asyncio.sleep(got.body["received"]["expires_at"] + 0.1 - time.time())  # nothing but time expires a voucher
    answer = await alice.admin("delegate", {"delegatee": sub.agent_id, "via_peer": "owner", "scope": ["demo.echo"]})
    assert (answer.status, answer.body["error"]["code"]) == (409, "delegation_refused")


@pytest.mark.parametrize("suites", [("p256", "ed25519", "p256"), ("ed25519", "p256", "ed25519")])
async def test_keys_of_either_suite_delegate_and_redeem(start: Start, suites: tuple[str, ...]) -> None:
    names = ("owner", "alice", "sub")
    made = (start(name, signing_suite=suite) for name, suite in zip(names, suites, strict=True))
    trio = Trio(*await asyncio.gather(*made))
    await introduce(trio.owner, trio.alice, trio.sub)
    assert (await trio.alice.admin("initiate-handshake", {"peer": "owner", "direction": "one"})).status == 200
    assert (await trio.redeem(await trio.delegate())).status == 200
    assert (await trio.sub.admin("invoke", ECHO)).body["status_code"] == 200


async def test_delegation_for_another_audience_is_refused(trio: Trio) -> None:
    shaken = await trio.alice.admin("initiate-handshake", {"peer": "sub", "direction": "one"})
    assert shaken.status == 200
    body = {"delegatee": "owner", "via_peer": "sub", "scope": ["demo.echo"]}
    for_sub = (await trio.alice.admin("delegate", body)).body["delegation_token"]
    answer = await trio.owner.admin("redeem-delegation", {"target": "alice", "delegation_token": for_sub})
    refused(answer, "DELEGATION_AUDIENCE_MISMATCH", "wrong_audience")


async def test_delegation_to_another_key_is_refused(trio: Trio) -> None:
    delegation = await trio.delegate()
    body = {"target": "owner", "delegation_token": delegation["delegation_token"]}
    refused(await trio.alice.admin("redeem-delegation", body), "DELEGATION_POP_FAILED", "pop_invalid")
    assert (await trio.redeem(delegation)).status == 200


async def chain(start: Start, allowed: int) -> list[WorkerProcess]:
    """An owner that lets what was redeemed be passed on so often, and four agents; the first has a token of it."""
    owner, *agents = await asyncio.gather(
        start("owner", redelegation=allowed), *(start(name) for name in ("a", "b", "c", "d", "e"))
    )
    await introduce(owner, *agents)
    assert (await agents[0].admin("initiate-handshake", {"peer": "owner", "direction": "one"})).status == 200
    return [owner, *agents]


async def pass_on(holder: WorkerProcess, to: WorkerProcess) -> Answer:
    """Have ``holder`` delegate and ``to`` redeem; the refusal when there is nothing to delegate."""
    body = {"delegatee": to.agent_id, "via_peer": "owner", "scope": ["demo.echo"]}
    made = await holder.admin("delegate", body)
    if made.status != 200:
        return made
    told = {"target": "owner", "delegation_token": made.body["delegation_token"]}
    return await to.admin("redeem-delegation", told)


@pytest.mark.parametrize("allowed", [0, 1, 2])
async def test_what_was_redeemed_is_passed_on_as_often_as_its_issuer_allows(start: Start, allowed: int) -> None:
    _owner, *agents = await chain(start, allowed)
    for hop in range(allowed + 1):
        answer = await pass_on(agents[hop], agents[hop + 1])
        assert answer.status == 200, (hop, answer)
        assert (await agents[hop + 1].admin("invoke", ECHO)).body["status_code"] == 200
    end = await pass_on(agents[allowed + 1], agents[allowed + 2])
    assert (end.status, end.body["error"]["code"]) == (409, "no_voucher_held")


async def test_revoking_the_first_hop_ends_the_whole_tree(start: Start, sink: TelemetrySink) -> None:
    owner, alice, sub, last = await asyncio.gather(
        start("owner", redelegation=1), *(start(name) for name in ("alice", "sub", "last"))
    )
    trio = Trio(owner, alice, sub)
    await introduce(owner, alice, sub, last)
    assert (await alice.admin("initiate-handshake", {"peer": "owner", "direction": "one"})).status == 200
    unredeemed = await trio.delegate(scope=["demo.who"])
    first = (await trio.redeem(await trio.delegate())).body
    body = {"delegatee": "last", "via_peer": "owner", "scope": ["demo.echo"]}
    second = (await trio.sub.admin("delegate", body)).body
    third = (await trio.sub.admin("delegate", body | {"ttl_secs": 500})).body
    told = {"target": "owner", "delegation_token": second["delegation_token"]}
    minted = (await last.admin("redeem-delegation", told)).body
    for holder in (trio.sub, last):
        assert (await holder.admin("invoke", ECHO)).body["status_code"] == 200

    revoked = await trio.owner.admin("revoke-tct", {"audience": "alice", "reason": "lost"})
    assert revoked.body["revoked_jti"] == unredeemed["parent_jti"]
    assert revoked.body["also_revoked"] == [first["jti"], minted["jti"]]
    for holder, source in ((trio.alice, "local"), (trio.sub, "lineage"), (last, "lineage")):
        answer = await holder.admin("invoke", ECHO)
        assert answer.body["status_code"] == 403
        error = answer.body["body"]["error"]
        assert (error["code"], error["details"]["source"]) == ("TCT_REVOKED", source)
    refused(await trio.redeem(unredeemed), "DELEGATION_SOURCE_TCT_REVOKED", "tct_revoked")
    told = {"target": "owner", "delegation_token": third["delegation_token"]}
    refused(await last.admin("redeem-delegation", told), "DELEGATION_SOURCE_TCT_REVOKED", "tct_revoked")
    rejected = await sink.wait_for("delegation.rejected", 2)
    assert [event["payload"]["source"] for event in rejected] == ["local", "lineage"]
    events = await sink.wait_for("tct.revoked", 3)
    assert [event["jti"] for event in events] == [revoked.body["revoked_jti"], first["jti"], minted["jti"]]


async def test_revoking_a_delegatee_leaves_the_delegator_alone(trio: Trio) -> None:
    redeemed = (await trio.redeem(await trio.delegate())).body
    revoked = (await trio.owner.admin("revoke-tct", {"audience": "sub"})).body
    assert (revoked["revoked_jti"], revoked["also_revoked"]) == (redeemed["jti"], [])
    assert (await trio.sub.admin("invoke", ECHO)).body["status_code"] == 403
    assert (await trio.alice.admin("invoke", ECHO)).body["status_code"] == 200


async def test_revocation_that_is_somebody_elses_to_make_names_the_tokens_and_leaves_them(
    trio: Trio, sink: TelemetrySink
) -> None:
    redeemed = (await trio.redeem(await trio.delegate())).body
    named = (await trio.owner.admin("revoke-tct", {"audience": "alice", "local": False})).body
    assert named["also_revoked"] == [redeemed["jti"]]
    for holder in (trio.alice, trio.sub):
        assert (await holder.admin("invoke", ECHO)).body["status_code"] == 200
    listed = (await trio.owner.request("GET", "/.well-known/aitp-revocation-list")).body
    assert listed["revocation_list"]["entries"] == []
    await trio.owner.admin("flush", {})
    assert not sink.of_type("tct.revoked")


async def test_revoking_for_an_agent_that_got_no_token_is_an_error(trio: Trio) -> None:
    answer = await trio.owner.admin("revoke-tct", {"audience": "sub"})
    assert (answer.status, answer.body["error"]["code"]) == (409, "no_tct_issued")


async def test_faulted_addresses_are_met_before_anything_is_signed(trio: Trio, sink: TelemetrySink) -> None:
    missing = f"{trio.owner.base_url}/.well-known/aitp-manifest-missing"
    delegation = await trio.delegate()
    body = {"target": "owner", "delegation_token": delegation["delegation_token"], "manifest_url": missing}
    answer = await trio.sub.admin("redeem-delegation", body)
    assert (answer.body["error"]["details"]["class"], answer.body["error"]["details"]["status"]) == ("http_4xx", 404)
    told = {"delegatee": "sub", "via_peer": "owner", "scope": ["demo.echo"], "manifest_url": missing}
    assert (await trio.alice.admin("delegate", told)).status == 502
    await trio.alice.admin("flush", {})
    assert len(sink.of_type("delegation.issued")) == 1
    honest = f"{trio.owner.base_url}/.well-known/aitp-manifest"
    assert (await trio.sub.admin("redeem-delegation", body | {"manifest_url": honest})).status == 200


class CrookedOwner:
    """Answers redemptions as an owner would, with whatever ``challenge`` and ``answer`` say instead.

    With a ``signer`` its challenge is the standard's, in an envelope.
    """

    def __init__(self, owner: SdkPeer, delegatee: WorkerProcess) -> None:
        self.owner = owner
        self.signer: aitp.AitpAgent | None = None
        self.challenge: dict[str, Any] = {}
        self.answer: dict[str, Any] = {}
        self.proofs: list[dict[str, Any]] = []
        self._delegatee = delegatee
        self._runner: web.AppRunner | None = None

    async def start(self) -> None:
        app = web.Application()
        app.router.add_get("/.well-known/aitp-manifest", self._manifest)
        app.router.add_post(CHALLENGE, self._challenge)
        app.router.add_post(REDEEM, self._redeem)
        self._runner = web.AppRunner(app, access_log=None)
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", 0).start()
        self.owner.base_url = f"http://localhost:{self._runner.addresses[0][1]}"
        self.owner.build()

    async def close(self) -> None:
        assert self._runner
        await self._runner.cleanup()

    async def _manifest(self, _request: web.Request) -> web.Response:
        return web.json_response(text=self.owner.manifest)

    async def _challenge(self, request: web.Request) -> web.Response:
        shown = (await request.json())["delegation_token"]
        if self.signer is not None:
            given = {"tct_jti": str(uuid.uuid4()), "nonce": NONCE, "expires_at": int(time.time()) + 60} | self.challenge
            return web.json_response(text=self.signer.sign_envelope("pop_challenge", json.dumps(given)))
        fair = {
            "delegation_sha256": hashlib.sha256(shown.encode()).hexdigest(),
            "nonce": "n",
            "audience": self.owner.aid,
        }
        return web.json_response(fair | self.challenge)

    async def _redeem(self, request: web.Request) -> web.Response:
        raw = await request.text()
        aitp.verify_envelope(raw, self._delegatee.aid)
        self.proofs.append(json.loads(raw)["payload"])
        return web.json_response(self.answer)


@pytest.fixture
async def crooked(start: Start) -> Any:
    worker, owner = await start("sub"), SdkPeer("owner", ["demo.echo"])
    served = CrookedOwner(owner, worker)
    await served.start()
    await introduce(worker, owner)
    yield worker, served
    await served.close()


Crooked = tuple[WorkerProcess, CrookedOwner]
NONCE = "AAECAwQFBgcICQoLDA0ODw"
TOLD = {"target": "owner", "delegation_token": "some.delegation.token"}


@pytest.mark.parametrize(
    "challenge", [{"delegation_sha256": "0" * 64}, {"audience": "aid:pubkey:other"}, {"audience": None}, {"nonce": 5}]
)
async def test_delegatee_signs_nothing_about_another_delegation_or_for_another_agent(
    crooked: Crooked, challenge: dict[str, Any]
) -> None:
    worker, served = crooked
    served.challenge = challenge
    answer = await worker.admin("redeem-delegation", TOLD)
    assert (answer.status, answer.body["error"]["details"]["code"]) == (502, "challenge_mismatch")
    assert not served.proofs


async def test_proof_names_delegation_nonce_and_audience(crooked: Crooked) -> None:
    worker, served = crooked
    await worker.admin("redeem-delegation", TOLD)
    [proof] = served.proofs
    assert proof == {"delegation_token": TOLD["delegation_token"], "nonce_echo": "n", "audience": served.owner.aid}


async def test_proof_for_a_signed_challenge_has_the_standards_members_too(crooked: Crooked) -> None:
    worker, served = crooked
    served.signer, jti = served.owner.agent, str(uuid.uuid4())
    served.challenge = {"tct_jti": jti}
    await worker.admin("redeem-delegation", TOLD)
    [proof] = served.proofs
    assert proof.keys() == {"delegation_token", "audience", "tct_jti", "nonce_echo", "pop_signature"}
    assert (proof["delegation_token"], proof["audience"]) == (TOLD["delegation_token"], served.owner.aid)
    assert (proof["tct_jti"], proof["nonce_echo"]) == (jti, NONCE)


async def test_delegatee_signs_no_challenge_of_another_key_or_about_a_token_that_it_holds(
    crooked: Crooked, start: Start
) -> None:
    worker, served = crooked
    granting = await start("granting")
    await introduce(worker, granting)
    held = await worker.admin("initiate-handshake", {"peer": "granting"})
    await introduce(worker, served.owner)
    served.signer = served.owner.agent
    served.challenge = {"tct_jti": held.body["received"]["jti"]}
    answer = await worker.admin("redeem-delegation", TOLD)
    assert answer.body["error"]["details"]["code"] == "challenge_mismatch"
    served.challenge, served.signer = {}, SdkPeer("other").agent
    answer = await worker.admin("redeem-delegation", TOLD)
    assert answer.body["error"]["details"]["code"] == "POP_CHALLENGE_INVALID"
    assert not served.proofs


async def test_delegatee_keeps_no_token_that_is_not_its_own(crooked: Crooked) -> None:
    worker, served = crooked
    stranger, third = SdkPeer("stranger", ["demo.echo"]), SdkPeer("third")
    holder = SdkPeer("sub")
    holder.agent = aitp.AitpAgent.from_seed(worker.seed)
    holder.build()
    voucher = "e30.e30.e30"
    for tct in (mint(served.owner, third, ["demo.echo"]), mint(stranger, holder, ["demo.echo"]), "garbage", None, 5):
        served.answer = {"tct": tct, "grant_voucher": voucher}
        answer = await worker.admin("redeem-delegation", TOLD)
        assert (answer.status, answer.body["error"]["details"]["class"]) == (502, "protocol"), answer
    served.answer = {"tct": mint(served.owner, holder, ["demo.echo"]), "grant_voucher": voucher}
    assert (await worker.admin("redeem-delegation", TOLD)).status == 502
    served.answer = {}
    assert (await worker.admin("redeem-delegation", TOLD)).status == 502
    assert (await worker.admin("invoke", ECHO)).body["error"]["code"] == "no_tct_held"
