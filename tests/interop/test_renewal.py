"""Tokens that are renewed in-band, and sessions that are signed as one, with an agent from elsewhere on each side."""

from __future__ import annotations

from typing import Any

import pytest
from aitp_verifier.b64 import b64url_decode, b64url_encode
from aitp_verifier.errors import AitpError
from aitp_verifier.sessionbundle import verify_session_bundle
from aitp_verifier.tct import outlives_manifest, verify_tct
from aitp_verifier.voucher import verify_grant_voucher

from tests.interop.conftest import Room
from tests.interop.foreign import possession
from tests.interop.foreign.client import Client, Reply
from tests.interop.foreign.keys import Key
from tests.interop.foreign.tokens import claims_of

pytestmark = pytest.mark.asyncio(loop_scope="module")
requirement = pytest.mark.requirement
OTHER = Key()


async def holder(room: Room, **how: Any) -> Client:
    client = await room.client(**how)
    await client.shake(["demo.echo"])
    return client


def check(client: Client, reply: Reply, code: str, status: int = 403) -> None:
    told = client.told(reply)
    assert (reply.status, told.form, told.code) == (status, "body", code), reply
    assert "tct" not in reply.body
    assert reply.headers["cache-control"] == "no-store"


# --- ours issued it


@requirement(
    "RFC-AITP-0004 8.1", "a renewed token is a new one for the same key and grants, and the old one stays good"
)
@pytest.mark.parametrize("suite", ["ed25519", "p256"])
async def test_ours_renews(room: Room, suite: Any) -> None:
    client = await holder(room, suite=suite)
    old = client.agent.held[client.peer_aid].tct
    answer = client.wanted(await client.renew(ttl_secs=7000))
    manifest, now = await client.manifest(), client.agent.now()
    given = {"tct_token": answer["tct"], "expected_audience": client.agent.aid, "issuer_manifest": manifest}
    assert verify_tct(given | {"policy": {"fail_mode": "fail_open"}}, now) == {"grants": ["demo.echo"]}
    before, after = claims_of(old), claims_of(answer["tct"])
    assert {name: after[name] for name in ("iss", "sub", "aud", "cnf", "grants")} == {
        name: before[name] for name in ("iss", "sub", "aud", "cnf", "grants")
    }
    assert after["jti"] != before["jti"]
    assert after["exp"] > before["exp"]
    assert not outlives_manifest(after, manifest)
    assert verify_grant_voucher({"voucher_token": answer["grant_voucher"]}, now) == {"grants": ["demo.echo"]}
    assert claims_of(answer["grant_voucher"])["src_jti"] == after["jti"]
    for token in (old, answer["tct"]):
        assert (await client.call("demo.echo", {"n": 1}, tct=token)).body == {"echo": {"n": 1}}


@requirement("RFC-AITP-0008 1.1", "what was renewed from a revoked token is revoked with it, and neither is renewed")
async def test_what_is_revoked_is_not_renewed(room: Room) -> None:
    client = await holder(room)
    new = client.wanted(await client.renew())["tct"]
    await room.ours.admin("revoke-tct", {"audience": client.agent.agent_id})
    for token in (client.agent.held[client.peer_aid].tct, new):
        check(client, await client.call("demo.echo", tct=token), "TCT_REVOKED")
        check(client, await client.renew(tct=token), "TCT_REVOKED")
    assert await client.denied() >= {claims_of(new)["jti"], client.agent.held[client.peer_aid].jti}


@requirement("RFC-AITP-0004 8.1", "a token is renewed for its holder alone")
async def test_another_cannot_renew_it(room: Room) -> None:
    owner, thief = await holder(room), room.client_of(room.stranger())
    stolen = owner.agent.held[owner.peer_aid].tct
    check(thief, await thief.renew(tct=stolen), "POP_RESPONSE_INVALID")
    # Its holder's proof, and another's signature in the request.
    forged = possession.renewal(thief.agent, stolen)
    reply = await owner.renew(**forged)
    assert reply.status == 403, reply
    assert "tct" not in reply.body
    assert (await owner.renew()).status == 200


@requirement("RFC-AITP-0004 8.1", "a request for renewal is good once")
async def test_a_request_is_good_once(room: Room) -> None:
    client = await holder(room)
    token = client.agent.held[client.peer_aid].tct
    request = possession.renewal(client.agent, token)
    assert (await client.renew(**request)).status == 200
    check(client, await client.renew(**request), "REPLAY_DETECTED")
    fresh = possession.renewal(client.agent, token)
    proof = await client.prove(token)
    assert (await client.post("/aitp/tct/renew", fresh, proof)).status == 200
    again = await client.post("/aitp/tct/renew", possession.renewal(client.agent, token), proof)
    check(client, again, "POP_CHALLENGE_INVALID")


def _blotted(client: Client, token: str) -> str:
    head, _, signature = token.rpartition(".")
    raw = bytearray(b64url_decode(signature))
    raw[3] ^= 1
    return f"{head}.{b64url_encode(bytes(raw))}"


@requirement("RFC-AITP-0005 7.2", "a token whose signature does not hold, or of another issuer, is not renewed")
async def test_a_token_that_is_none_is_not_renewed(room: Room) -> None:
    client = await holder(room)
    token = client.agent.held[client.peer_aid].tct
    check(client, await client.renew(tct=_blotted(client, token)), "TCT_SIGNATURE_INVALID")
    own = client.agent.mint(client.agent.aid, ["demo.echo"])
    check(client, await client.renew(tct=own.tct), "TCT_SIGNATURE_INVALID")


@requirement("RFC-AITP-0001 7", "a request with unknown members, or without one, is no request")
@pytest.mark.parametrize(
    "changes",
    [
        {"more": 1},
        {"pop_nonce": None},
        {"pop_signature": 5},
        {"ttl_secs": 0},
        {"ttl_secs": True},
        {"ttl_secs": 10**300},
    ],
    ids=["more", "no nonce", "no text", "no time", "a truth", "for ever"],
)
async def test_a_request_that_is_none(room: Room, changes: dict[str, Any]) -> None:
    client = await holder(room)
    check(client, await client.renew(**changes), "INVALID_ENVELOPE", status=400)
    assert (await client.renew()).status == 200


# --- ours holds it


@requirement("RFC-AITP-0004 8.1", "a holder asks its issuer for another token, and verifies what it is given")
async def test_ours_has_its_token_renewed(room: Room) -> None:
    async with room.meeting() as met:
        first = (await met.shake()).body["received"]["jti"]
        answer = await room.ours.admin("renew-tct", {"peer": met.foreign.agent_id})
        assert answer.status == 200, answer
        assert answer.body["previous_jti"] == first
        assert answer.body["jti"] == met.foreign.given[-1].jti
        called = await met.invoke("far.look")
        assert (called.body["status_code"], called.body["presented_jti"]) == (200, answer.body["jti"])


@requirement("RFC-AITP-0005 7.2", "what an issuer gives as a renewed token is kept only if it verifies")
@pytest.mark.parametrize(
    "claims", [{"exp": 1}, {"sub": OTHER.aid, "aud": OTHER.aid}, {"iss": OTHER.aid}, {"grants": []}]
)
async def test_what_is_no_good_is_not_kept(room: Room, claims: dict[str, Any]) -> None:
    async with room.meeting() as met:
        first = (await met.shake()).body["received"]["jti"]
        mint = met.foreign.mint
        met.foreign.mint = lambda holder, grants, **also: mint(holder, grants, **{**also, **claims})  # type: ignore[method-assign]
        answer = await room.ours.admin("renew-tct", {"peer": met.foreign.agent_id})
        assert answer.status == 502, answer
        assert (await met.invoke("far.look")).body["presented_jti"] == first


# --- a session signed as one


@requirement("RFC-AITP-0010 3", "a bundle is signed over its body and holds a token of the coordinator's for each")
async def test_our_bundle_verifies_for_its_participants(room: Room) -> None:
    async with room.meeting() as first, room.meeting(suite="p256", beside=[first.foreign]) as second:
        for met in (first, second):
            await met.client.shake(["demo.echo"])
        named = [first.foreign.agent_id, second.foreign.agent_id]
        made = (await room.ours.admin("export-session-bundle", {"participants": named})).body
        for met in (first, second):
            bundle = met.client.wanted(await met.client.bundle(made["bundle_ref"]))
            given = {
                "session_bundle": bundle,
                "self_aid": met.foreign.aid,
                "coordinator_manifest": await met.client.manifest(),
            }
            assert verify_session_bundle(given, met.foreign.now()) == {"ok": True}
            with pytest.raises(AitpError, match="not a bundle participant"):
                verify_session_bundle(given | {"self_aid": OTHER.aid}, met.foreign.now())
            fewer = {**bundle["session_bundle"], "participants": bundle["session_bundle"]["participants"][:1]}
            with pytest.raises(AitpError):
                verify_session_bundle(given | {"session_bundle": {"session_bundle": fewer}}, met.foreign.now())
        outsider = await room.served_client(beside=[first.foreign, second.foreign])
        await outsider.shake(["demo.echo"])
        check(outsider, await outsider.bundle(made["bundle_ref"]), "POLICY_VIOLATION")
