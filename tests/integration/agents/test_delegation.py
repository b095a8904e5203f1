"""What a delegation gives, to whom, for how long, and what ends it."""

from __future__ import annotations

import asyncio
import hashlib
import json
import time
from dataclasses import dataclass
from typing import Any

import aitp
import pytest
from aiohttp import web

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

    async def redeem(self, delegation: dict[str, Any]) -> Answer:
        body = {"target": "owner", "delegation_token": delegation["delegation_token"]}
        return await self.sub.admin("redeem-delegation", body)


@pytest.fixture
async def trio(start: Start) -> Trio:
    workers = await asyncio.gather(*(start(name) for name in ("owner", "alice", "sub")))
    await introduce(*workers)
    shaken = await workers[1].admin("initiate-handshake", {"peer": "owner", "direction": "one"})
    assert shaken.status == 200
    return Trio(*workers)


def refused(answer: Answer, code: str) -> None:
    """The target's refusal, as the delegatee passes it on."""
    assert (answer.status, answer.body["error"]["code"]) == (502, "peer_failed"), answer
    details = answer.body["error"]["details"]
    assert (details["status"], details["code"]) == (403, code)


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
    assert (other.body["status_code"], other.body["body"]["error"]["code"]) == (403, "grant_missing")


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


async def test_delegation_is_redeemed_once(trio: Trio, sink: TelemetrySink) -> None:
    delegation = await trio.delegate()
    assert (await trio.redeem(delegation)).status == 200
    refused(await trio.redeem(delegation), "delegation_redeemed")
    [event] = await sink.wait_for("delegation.rejected")
    assert event["payload"] == {"code": "delegation_redeemed", "delegator": "alice", "delegatee": "sub"}
    assert event["aid"] == trio.sub.aid


async def test_of_many_redemptions_at_once_one_succeeds(trio: Trio) -> None:
    delegation = await trio.delegate()
    answers = await asyncio.gather(*(trio.redeem(delegation) for _ in range(8)))
    assert sorted(answer.status for answer in answers) == [200] + [502] * 7


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
    refused(await trio.redeem(delegation), "tct_expired")


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
    refused(answer, "wrong_audience")


async def test_delegation_to_another_key_is_refused(trio: Trio) -> None:
    delegation = await trio.delegate()
    body = {"target": "owner", "delegation_token": delegation["delegation_token"]}
    refused(await trio.alice.admin("redeem-delegation", body), "pop_invalid")
    assert (await trio.redeem(delegation)).status == 200


async def test_second_hop_works_out_of_the_redeemed_token(start: Start, trio: Trio) -> None:
    await trio.redeem(await trio.delegate())
    last = await start("last")
    await introduce(trio.owner, trio.alice, trio.sub, last)
    body = {"delegatee": "last", "via_peer": "owner", "scope": ["demo.echo"]}
    second = (await trio.sub.admin("delegate", body)).body
    answer = await last.admin("redeem-delegation", {"target": "owner", "delegation_token": second["delegation_token"]})
    assert answer.status == 200, answer
    assert (await last.admin("invoke", ECHO)).body["status_code"] == 200


async def test_revoking_the_first_hop_ends_the_whole_tree(start: Start, trio: Trio, sink: TelemetrySink) -> None:
    last = await start("last")
    await introduce(trio.owner, trio.alice, trio.sub, last)
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
        assert (error["code"], error["details"]["source"]) == ("tct_revoked", source)
    refused(await trio.redeem(unredeemed), "tct_revoked")
    told = {"target": "owner", "delegation_token": third["delegation_token"]}
    refused(await last.admin("redeem-delegation", told), "tct_revoked")
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

    async def challenge(self, delegation: str) -> dict[str, Any]:
        answer = await self.owner.request("POST", CHALLENGE, json.dumps({"delegation_token": delegation}))
        assert answer.status == 200, answer
        given: dict[str, Any] = answer.body
        return given

    async def redeem(self, delegation: str, signer: SdkPeer | None = None, **changes: Any) -> Answer:
        nonce = changes.pop("nonce", None) or (await self.challenge(delegation))["nonce"]
        kind = changes.pop("kind", "pop_response")
        payload = {"delegation_token": delegation, "nonce_echo": nonce, "audience": self.owner.aid} | changes
        raw = (signer or self.delegatee).agent.sign_envelope(kind, json.dumps(payload))
        return await self.owner.request("POST", REDEEM, raw)


@pytest.fixture
async def bench(start: Start) -> Any:
    owner = await start("owner")
    delegator, delegatee = SdkPeer("delegator"), SdkPeer("delegatee")
    served = MaliciousResponder(delegator, owner.aid)
    await served.start()
    await introduce(owner, delegator, delegatee)
    session, commit, session_id = await delegator.open(owner, ["demo.echo", "demo.who"])
    answer = await owner.request("POST", "/aitp/handshake/commit", commit, {"X-Aitp-Session-Id": session_id})
    voucher = json.loads(session.complete(json.dumps(answer.body), revoked_jtis=set()))["grant_voucher"]
    yield Bench(owner, delegator, delegatee, served, voucher)
    await served.close()


def denied(answer: Answer, code: str) -> None:
    assert (answer.status, answer.body["error"]["code"]) == (403, code), answer


async def test_protocol_route_gives_token_and_voucher_to_the_proven_delegatee(bench: Bench) -> None:
    answer = await bench.redeem(bench.delegation())
    assert answer.status == 200, answer
    tct, voucher = claims_of(answer.body["tct"]), claims_of(answer.body["grant_voucher"])
    assert (tct["iss"], tct["sub"], tct["grants"]) == (bench.owner.aid, bench.delegatee.aid, ["demo.echo"])
    assert (voucher["src_jti"], voucher["sub"]) == (tct["jti"], bench.delegatee.aid)


async def test_proof_by_another_introduced_key_is_refused(bench: Bench) -> None:
    denied(await bench.redeem(bench.delegation(), signer=bench.delegator), "pop_invalid")


async def test_proof_by_a_stranger_is_refused(bench: Bench) -> None:
    denied(await bench.redeem(bench.delegation(), signer=SdkPeer("stranger")), "peer_unknown")


async def test_proof_whose_signature_is_not_the_senders_is_refused(bench: Bench) -> None:
    delegation = bench.delegation()
    nonce = (await bench.challenge(delegation))["nonce"]
    payload = {"delegation_token": delegation, "nonce_echo": nonce, "audience": bench.owner.aid}
    thief = SdkPeer("thief")
    raw = thief.agent.sign_envelope("pop_response", json.dumps(payload)).replace(thief.aid, bench.delegatee.aid)
    denied(await bench.owner.request("POST", REDEEM, raw), "pop_invalid")


async def test_proof_is_good_once(bench: Bench) -> None:
    first, second = bench.delegation(), bench.delegation(ttl_secs=60)
    nonce = (await bench.challenge(first))["nonce"]
    denied(await bench.redeem(second, nonce=nonce), "pop_invalid")
    denied(await bench.redeem(first, nonce=nonce), "pop_invalid")
    assert (await bench.redeem(first)).status == 200


async def test_copied_proof_is_a_replay(bench: Bench) -> None:
    delegation = bench.delegation()
    nonce = (await bench.challenge(delegation))["nonce"]
    payload = {"delegation_token": delegation, "nonce_echo": nonce, "audience": bench.owner.aid}
    raw = bench.delegatee.agent.sign_envelope("pop_response", json.dumps(payload))
    assert (await bench.owner.request("POST", REDEEM, raw)).status == 200
    denied(await bench.owner.request("POST", REDEEM, raw), "replay")


async def test_proof_made_for_another_agent_is_refused(bench: Bench) -> None:
    denied(await bench.redeem(bench.delegation(), audience=bench.delegator.aid), "pop_invalid")


async def test_proof_in_an_envelope_of_another_type_is_refused(bench: Bench) -> None:
    denied(await bench.redeem(bench.delegation(), kind="error"), "pop_invalid")


async def test_proof_on_a_nonce_of_the_delegatees_own_making_is_refused(bench: Bench) -> None:
    denied(await bench.redeem(bench.delegation(), nonce="made-up"), "pop_invalid")


async def test_delegator_that_was_not_introduced_is_refused(bench: Bench, sink: TelemetrySink) -> None:
    await introduce(bench.owner, bench.delegatee)
    denied(await bench.redeem(bench.delegation()), "peer_unknown")
    assert (await sink.wait_for("delegation.rejected"))[0]["payload"]["code"] == "peer_unknown"


async def test_delegation_signed_by_another_than_it_says_is_refused(bench: Bench) -> None:
    head, _, signature = bench.delegation().split(".")
    claims = claims_of(bench.delegation()) | {"scope": ["demo.echo", "demo.who"]}
    forged = ".".join((head, b64(json.dumps(claims).encode()), signature))
    denied(await bench.redeem(forged), "tct_invalid")


async def test_voucher_of_a_foreign_owner_is_refused(bench: Bench) -> None:
    """The delegator signs a delegation for this audience over what somebody else granted."""
    foreign = SdkPeer("foreign", ["demo.echo"])
    session = bench.delegator.agent.new_session(pinned_keys=[foreign.aid])
    responder = foreign.agent.new_responder(pinned_keys=[bench.delegator.aid])
    ack, sid = responder.process_hello(session.build_hello(foreign.manifest, ["demo.echo"]))
    commit_ack, _ = responder.process_commit(session.process_hello_ack(ack, sid), revoked_jtis=set())
    voucher = json.loads(session.complete(commit_ack, revoked_jtis=set()))["grant_voucher"]
    made = bench.delegator.agent.build_delegation(voucher, bench.delegatee.aid, ["demo.echo"])
    denied(await bench.redeem(made), "wrong_audience")
    denied(await bench.redeem(bench.delegator.reissue(made, aud=bench.owner.aid)), "wrong_issuer")


async def test_scope_written_wider_than_the_voucher_is_refused(bench: Bench) -> None:
    wider = bench.delegator.reissue(bench.delegation(), scope=["demo.echo", "demo.broken"])
    denied(await bench.redeem(wider), "tct_invalid")


async def test_delegation_that_outlives_its_voucher_is_refused(bench: Bench) -> None:
    longer = bench.delegator.reissue(bench.delegation(), exp=int(time.time()) + 10**6)
    denied(await bench.redeem(longer), "tct_invalid")


async def test_same_claims_signed_anew_are_the_same_delegation(bench: Bench) -> None:
    delegation = bench.delegation()
    assert (await bench.redeem(delegation)).status == 200
    head, body, _ = delegation.split(".")
    other_signature = ".".join((head, body, b64(b"\x01" * 64)))
    denied(await bench.redeem(other_signature), "delegation_redeemed")


async def test_delegator_that_cannot_be_looked_up_is_an_error_and_the_delegation_stays_good(bench: Bench) -> None:
    delegation = bench.delegation()
    bench.served.tamper = lambda _route, text: text.replace("peer.thing", "peer.other")
    answer = await bench.redeem(delegation)
    assert (answer.status, answer.body["error"]["code"]) == (502, "peer_failed")
    bench.served.tamper = lambda _route, text: text
    assert (await bench.redeem(delegation)).status == 200


async def test_capability_that_is_no_longer_offered_is_not_minted(bench: Bench, start: Start) -> None:
    owner = await start("owner", offered_caps=["demo.who"], seed=b64(bench.owner.seed))
    assert owner.aid == bench.owner.aid
    await introduce(owner, bench.delegator, bench.delegatee)
    bench.owner = owner
    denied(await bench.redeem(bench.delegation(["demo.echo", "demo.who"])), "grant_missing")
    assert (await bench.redeem(bench.delegation(["demo.who"]))).status == 200


@pytest.mark.parametrize("token", ["garbage", "a.b.c", "e30.e30.e30", "e30.eyJ2b3VjaGVyIjo1fQ.e30"])
async def test_text_that_is_no_delegation_is_refused(bench: Bench, token: str) -> None:
    denied(await bench.redeem(token), "tct_invalid")


async def test_token_of_another_kind_is_no_delegation(bench: Bench) -> None:
    for token in (bench.voucher, await bench.delegator.token_from(bench.owner)):
        denied(await bench.redeem(token), "tct_invalid")


@pytest.mark.parametrize("changes", [{"aud": []}, {"aud": {}, "sub": []}, {"iss": []}, {"voucher": 5}, {"exp": "soon"}])
async def test_claims_of_the_wrong_shape_are_refused(bench: Bench, changes: dict[str, Any]) -> None:
    answer = await bench.redeem(bench.delegator.reissue(bench.delegation(), **changes))
    assert answer.status == 403, answer


@pytest.mark.parametrize("changes", [{"nonce_echo": 5}, {"audience": None}, {"delegation_token": []}])
async def test_proof_without_its_parts_is_malformed(bench: Bench, changes: dict[str, Any]) -> None:
    answer = await bench.redeem(bench.delegation(), **changes)
    assert (answer.status, answer.body["error"]["code"]) == (400, "invalid_request")


@pytest.mark.parametrize("body", ["", "[]", "{}", '{"delegation_token": 5}', '{"delegation_token": ""}'])
async def test_challenge_for_nothing_is_malformed(bench: Bench, body: str) -> None:
    assert (await bench.owner.request("POST", CHALLENGE, body)).status == 400
    assert (await bench.owner.request("POST", REDEEM, body)).status == 400


class CrookedOwner:
    """Answers redemptions as an owner would, with whatever ``challenge`` and ``answer`` say instead."""

    def __init__(self, owner: SdkPeer, delegatee: WorkerProcess) -> None:
        self.owner = owner
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
        return web.Response(text=self.owner.manifest)

    async def _challenge(self, request: web.Request) -> web.Response:
        shown = (await request.json())["delegation_token"]
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
