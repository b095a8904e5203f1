"""Delegation with an agent from elsewhere in each part: delegator, delegatee, owner (RFC-AITP-0006)."""

from __future__ import annotations

import uuid
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pytest
from aitp_verifier.delegation import compute_chain_hash

from tests.interop import hello_rows
from tests.interop.conftest import Room, open_room, tell
from tests.interop.foreign import possession, tokens
from tests.interop.foreign.agent import ForeignAgent
from tests.interop.foreign.client import Client, Reply
from tests.interop.foreign.envelopes import encode, opened
from tests.interop.foreign.keys import Key, thumbprint_of
from tests.interop.foreign.tokens import claims_of

pytestmark = pytest.mark.asyncio(loop_scope="module")
requirement = pytest.mark.requirement
OTHER = Key()


@dataclass
class Trio:
    """Ours owns; ``delegator`` holds a token of it; ``delegatee`` holds nothing."""

    delegator: Client
    delegatee: Client

    @property
    def owner(self) -> str:
        return self.delegator.peer_aid

    @property
    def holder(self) -> ForeignAgent:
        return self.delegator.agent

    def delegation(self, scope: list[str] | None = None, **changes: Any) -> str:
        """A token with which the delegatee may come."""
        return self.holder.delegate(
            self.owner, self.delegatee.agent.aid, ["demo.echo"] if scope is None else scope, **changes
        )

    async def redeem(self, delegation: str | None = None, **changes: Any) -> Reply:
        return await self.delegatee.redeem(delegation or self.delegation(), **changes)


async def trio(room: Room, grants: list[str] | None = None, **how: Any) -> Trio:
    """The delegator serves its manifest, for the owner looks it up; the delegatee was introduced too, so that it does
    not share a stranger's budget with those of other tests."""
    delegatee = room.stranger()
    delegator = await room.served_client(beside=[delegatee], **how)
    await delegator.shake(grants or ["demo.echo", "demo.who"])
    return Trio(delegator, room.client_of(delegatee))


def check(client: Client, reply: Reply, *codes: str) -> None:
    told = client.told(reply)
    assert (reply.status, told.form) == (400, "body"), reply
    assert told.code in codes, reply
    assert reply.headers["cache-control"] == "no-store"
    assert "tct" not in reply.body


@requirement("RFC-AITP-0006 4", "a delegation is redeemed by whoever it is for, known to the owner or not")
@pytest.mark.parametrize("introduced", [False, True], ids=["a stranger", "an acquaintance"])
@pytest.mark.parametrize("suite", ["ed25519", "p256"])
async def test_it_redeems_at_ours(room: Room, introduced: bool, suite: Any) -> None:
    three = await trio(room)
    three.delegatee = room.client_of(room.stranger(suite))
    if introduced:
        await tell(room.ours, three.holder, three.delegatee.agent)
    delegation = three.delegation()
    answer = three.delegatee.wanted(await three.redeem(delegation))
    claims = claims_of(answer["tct"])
    assert claims["sub"] == claims["aud"] == three.delegatee.agent.aid
    assert claims["iss"] == three.owner
    assert claims["grants"] == ["demo.echo"]
    assert claims["exp"] <= claims_of(delegation)["exp"]
    assert claims["cnf"] == {"jkt": three.delegatee.agent.key.thumbprint}
    called = await three.delegatee.call("demo.echo", {"n": 1}, tct=answer["tct"])
    assert (called.status, called.body) == (200, {"echo": {"n": 1}})
    beyond = await three.delegatee.call("demo.who", tct=answer["tct"])
    assert three.delegatee.told(beyond).code == "POLICY_VIOLATION"


@requirement("RFC-AITP-0006 7", "what was delegated is not passed on unless the owner has it so")
async def test_no_voucher_comes_with_it(room: Room) -> None:
    three = await trio(room)
    answer = three.delegatee.wanted(await three.redeem())
    assert answer.get("grant_voucher") is None


@requirement("RFC-AITP-0006 4", "the owner's challenge is a signed envelope with a fresh 128-bit nonce")
async def test_the_challenge(room: Room) -> None:
    three = await trio(room)
    nonces = set()
    for _ in range(5):
        reply = await three.delegatee.post("/aitp/delegation/challenge", {"delegation_token": three.delegation()})
        payload = opened(reply.body, three.owner, "pop_challenge", three.holder.now())
        assert {"nonce", "expires_at"} <= payload.keys()
        assert len(payload["nonce"]) == 22
        nonces.add(payload["nonce"])
    assert len(nonces) == 5


@requirement("RFC-AITP-0006 8", "a delegation whose answer was lost may be redeemed again, by the same key")
async def test_again_by_the_same_key(room: Room) -> None:
    three = await trio(room)
    delegation = three.delegation()
    first = three.delegatee.wanted(await three.redeem(delegation))
    second = three.delegatee.wanted(await three.redeem(delegation))
    assert claims_of(second["tct"])["jti"] == claims_of(first["tct"])["jti"]


Make = Callable[[Trio], str]


def chained(three: Trio) -> str:
    """A delegation of a delegation: a chain, and no voucher."""
    now = three.holder.now()
    root = three.delegation(jti=str(uuid.uuid4()))
    claims = {
        "ver": "aitp/0.3",
        "iss": three.delegatee.agent.aid,
        "sub": three.delegatee.agent.aid,
        "aud": three.owner,
        "scope": ["demo.echo"],
        "exp": now + 60,
        "cnf": {"jkt": three.delegatee.agent.key.thumbprint},
        "jti": str(uuid.uuid4()),
        "chain": [root],
        "chain_hash": compute_chain_hash([root]),
    }
    return three.delegatee.agent.key.token(tokens.DELEGATION, claims)


def with_voucher(key: Key | None = None, **changes: Any) -> Make:
    """With another voucher; by default changed under another key than the owner's."""

    def make(three: Trio) -> str:
        voucher = three.holder.held[three.owner].voucher
        assert voucher is not None
        return three.delegation(voucher=(key or OTHER).token(tokens.VOUCHER, claims_of(voucher) | changes))

    return make


def claims(**changes: Any) -> Make:
    return lambda three: three.delegation(**changes)


def without_voucher(three: Trio) -> str:
    given = claims_of(three.delegation())
    del given["voucher"]
    return three.holder.key.token(tokens.DELEGATION, given)


def header(**members: Any) -> Make:
    def make(three: Trio) -> str:
        given = {"alg": "EdDSA", "typ": tokens.DELEGATION} | members
        return three.holder.key.compact(given, claims_of(three.delegation()))

    return make


def by_somebody_else(three: Trio) -> str:
    return OTHER.token(tokens.DELEGATION, claims_of(three.delegation()))


def by_the_delegatee(three: Trio) -> str:
    given = claims_of(three.delegation()) | {"iss": three.delegatee.agent.aid}
    return three.delegatee.agent.key.token(tokens.DELEGATION, given)


def expired(three: Trio) -> str:
    return three.delegation(exp=three.holder.now() - 10)


def outliving(three: Trio) -> str:
    given = claims_of(three.delegation())
    return three.delegation(exp=given["exp"] + 60)


def tampered(three: Trio) -> str:
    head, _, tail = three.delegation().rpartition(".")
    return f"{head}.{tail[:-4]}AAAA"


_SUSPECT = ("DELEGATION_INVALID_SIGNATURE",)
_VOUCHER = ("DELEGATION_INVALID_VOUCHER",)
_SCOPE = ("DELEGATION_SCOPE_EXCEEDED",)
_EXPIRED = ("DELEGATION_EXPIRED",)
_CHAINED = ("DELEGATION_MULTIHOP_NOT_SUPPORTED",)
_ALG = ("TOKEN_ALG_MISMATCH",)
#: What the standard asks, and what is wrong in each case.
Cases = dict[str, tuple[Make, tuple[str, ...]]]
BAD: dict[tuple[str, str], Cases] = {
    ("0006 4", "a scope is within the voucher's grants"): {
        "a grant more than the voucher": (lambda three: three.delegation(["demo.echo", "demo.picky"]), _SCOPE),
    },
    ("0006 4", "the voucher is the owner's own"): {
        "a forged voucher": (with_voucher(), _VOUCHER),
        "another issuer's voucher": (with_voucher(iss=OTHER.aid), _VOUCHER),
    },
    ("0006 4", "a delegation of one hop has a voucher"): {
        "no voucher": (without_voucher, _VOUCHER),
        "a number for a voucher": (claims(voucher=7), (*_VOUCHER, *_SUSPECT)),
    },
    ("0006 4", "neither a delegation nor its voucher has expired, and the delegation ends first"): {
        "past its end": (expired, _EXPIRED),
        "beyond its voucher's end": (outliving, _EXPIRED),
    },
    ("0006 4", "a delegation is signed by its issuer"): {
        "signed by somebody else": (by_somebody_else, _SUSPECT),
        "tampered with": (tampered, _SUSPECT),
    },
    ("0006 4", "nobody delegates to himself"): {
        "to oneself": (by_the_delegatee, (*_SUSPECT, *_VOUCHER, "KEY_RESOLUTION_FAILED")),
    },
    ("0006 5.1", "a delegation is for its audience"): {
        "for another owner": (claims(aud=OTHER.aid), ("DELEGATION_AUDIENCE_MISMATCH",)),
    },
    ("0001 5.4.5", "a token has exactly its algorithm and its type in its header"): {
        "of the type of a token": (header(typ=tokens.TCT), ("TOKEN_TYP_MISMATCH",)),
        "alg none": (header(alg="none"), (*_ALG, *_SUSPECT)),
        "another suite's alg": (header(alg="ES256"), _ALG),
        "a kid": (header(kid="x"), _ALG),
    },
    ("0006 2", "a delegation has these claims and these types"): {
        "an unknown claim": (claims(vendor=1), ("UNKNOWN_FIELD",)),
        "another key in cnf": (claims(cnf={"jkt": OTHER.thumbprint}), (*_SUSPECT, "TCT_CNF_MISMATCH")),
        "the previous version": (claims(ver="aitp/0.2"), ("UNKNOWN_VERSION", *_SUSPECT)),
        "an expiry in words": (claims(exp="soon"), _SUSPECT),
        "an expiry beyond all numbers": (claims(exp=10**300), (*_SUSPECT, *_EXPIRED)),
        "a text for a scope": (claims(scope="demo.echo"), (*_SUSPECT, *_SCOPE)),
        "no scope": (claims(scope=[]), (*_SUSPECT, *_SCOPE)),
        "a list for an issuer": (claims(iss=[]), (*_SUSPECT, "KEY_RESOLUTION_FAILED")),
        "a list for a subject": (claims(sub=[]), (*_SUSPECT, "DELEGATION_POP_FAILED")),
        "a list for an audience": (claims(aud=[]), (*_SUSPECT, "DELEGATION_AUDIENCE_MISMATCH")),
        "lists for a scope": (claims(scope=[[]]), (*_SUSPECT, *_SCOPE)),
        "a list for cnf": (claims(cnf=[]), (*_SUSPECT, "TCT_CNF_MISMATCH")),
        "a list for a version": (claims(ver=[]), ("UNKNOWN_VERSION", *_SUSPECT)),
        "a list for alg": (header(alg=[]), (*_ALG, *_SUSPECT)),
        "a list for typ": (header(typ=[]), ("TOKEN_TYP_MISMATCH", *_SUSPECT)),
        "no token but words": (lambda _three: "not a token", _SUSPECT),
        "three segments of nothing": (lambda _three: "a.b.c", _SUSPECT),
    },
    ("0006 4", "a chain is refused by its own name before anything else"): {
        "a chain": (chained, _CHAINED),
        "a chain beside a voucher": (claims(chain=["x"], chain_hash="x", jti=str(uuid.uuid4())), _CHAINED),
    },
}


def bad() -> list[Any]:
    return [
        pytest.param(make, codes, id=name, marks=requirement(f"RFC-AITP-{section}", sentence))
        for (section, sentence), cases in BAD.items()
        for name, (make, codes) in cases.items()
    ]


@pytest.mark.parametrize(("make", "codes"), bad())
async def test_bad_delegations(room: Room, make: Make, codes: tuple[str, ...]) -> None:
    three = await trio(room)
    delegation = make(three)
    reply = await three.delegatee.post("/aitp/delegation/challenge", {"delegation_token": delegation})
    if reply.status == 200:
        challenge = possession.challenge_in(three.delegatee.agent, reply.body, three.owner)
        reply = await three.delegatee.redeem_under(challenge, delegation)
    check(three.delegatee, reply, *codes)
    three.delegatee.wanted(await three.redeem())


@requirement("RFC-AITP-0006 4", "the voucher is for whoever delegates")
async def test_anothers_voucher(room: Room) -> None:
    three = await trio(room)
    thief = await room.served_client(beside=[three.holder, three.delegatee.agent])
    await thief.shake(["demo.echo"])
    voucher = three.holder.held[three.owner].voucher
    assert voucher is not None
    stolen = tokens.delegation(thief.agent.key, voucher, three.delegatee.agent.aid, ["demo.echo"])
    check(three.delegatee, await three.redeem(stolen), "DELEGATION_INVALID_VOUCHER")


@requirement("RFC-AITP-0006 4", "an extension of a delegation is ignored")
async def test_an_extension(room: Room) -> None:
    three = await trio(room)
    three.delegatee.wanted(await three.redeem(three.delegation(ext={"com.example.x": 1})))


_FAILED = ("DELEGATION_POP_FAILED",)
BAD_PROOFS: dict[str, tuple[dict[str, Any], tuple[str, ...]]] = {
    "another nonce": ({"nonce_echo": encode(b"\0" * 16)}, _FAILED),
    "no nonce": ({"nonce_echo": None, "pop_signature": None, "tct_jti": None}, _FAILED),
    "a signature over something else": ({"pop_signature": OTHER.sign(b"x")}, _FAILED),
    "an owner elsewhere": ({"audience": OTHER.aid}, _FAILED),
    "a number for a nonce": ({"nonce_echo": 7}, (*_FAILED, "INVALID_ENVELOPE")),
    "a number for a delegation": ({"delegation_token": 7}, (*_FAILED, "INVALID_ENVELOPE")),
    "no delegation": ({"delegation_token": None}, (*_FAILED, "INVALID_ENVELOPE")),
}


@requirement("RFC-AITP-0006 4", "possession of the delegatee's key is proven before anything is minted")
@pytest.mark.parametrize("name", BAD_PROOFS)
async def test_bad_proofs(room: Room, name: str) -> None:
    three = await trio(room)
    changes, codes = BAD_PROOFS[name]
    delegation = three.delegation()
    check(three.delegatee, await three.redeem(delegation, **changes), *codes)
    three.delegatee.wanted(await three.redeem(delegation))


@requirement("RFC-AITP-0006 4", "possession of the delegatee's key is proven before anything is minted")
async def test_by_another_key(room: Room) -> None:
    three = await trio(room)
    delegation = three.delegation()
    thief = room.client_of(room.stranger())
    await tell(room.ours, three.holder, three.delegatee.agent, thief.agent)
    check(thief, await thief.redeem(delegation), "DELEGATION_POP_FAILED")
    three.delegatee.wanted(await three.redeem(delegation))
    check(thief, await thief.redeem(delegation), "DELEGATION_POP_FAILED", "REPLAY_DETECTED")


@requirement("RFC-AITP-0006 4", "a proof is good once, and for the delegation whose challenge it answers")
async def test_a_proof_for_another_delegation(room: Room) -> None:
    three = await trio(room)
    one, two = three.delegation(["demo.echo"]), three.delegation(["demo.who"])
    reply = await three.delegatee.post("/aitp/delegation/challenge", {"delegation_token": one})
    challenge = possession.challenge_in(three.delegatee.agent, reply.body, three.owner)
    check(three.delegatee, await three.delegatee.redeem_under(challenge, two), "DELEGATION_POP_FAILED")
    check(three.delegatee, await three.delegatee.redeem_under(challenge, one), "DELEGATION_POP_FAILED")
    three.delegatee.wanted(await three.redeem(two))


@requirement("RFC-AITP-0006 4", "a proof may name the owner in place of a signature over the nonce alone")
async def test_a_proof_that_names_the_owner(room: Room) -> None:
    three = await trio(room)
    delegation = three.delegation()
    named = {"audience": three.owner, "pop_signature": None, "tct_jti": None}
    three.delegatee.wanted(await three.redeem(delegation, **named))
    unnamed = await three.redeem(three.delegation(["demo.who"]), pop_signature=None, tct_jti=None)
    check(three.delegatee, unnamed, "DELEGATION_POP_FAILED", "INVALID_ENVELOPE")


@requirement("RFC-AITP-0006 4", "a redemption is a signed envelope")
async def test_a_redemption_that_somebody_else_signed(room: Room) -> None:
    three = await trio(room)
    delegation = three.delegation()
    reply = await three.delegatee.post("/aitp/delegation/challenge", {"delegation_token": delegation})
    challenge = possession.challenge_in(three.delegatee.agent, reply.body, three.owner)
    payload = {"delegation_token": delegation, **possession.response(three.delegatee.agent, challenge)}
    envelope = three.delegatee.agent.message("pop_response", payload)
    hello_rows.by_another_key(three.delegatee.agent, envelope)
    refused = await three.delegatee.post("/aitp/delegation/redeem", envelope)
    check(three.delegatee, refused, "DELEGATION_POP_FAILED", "INVALID_SIGNATURE")


@requirement("RFC-AITP-0006 4", "a revoked source ends what was delegated from it")
async def test_after_the_delegators_token_was_revoked(room: Room) -> None:
    three = await trio(room)
    redeemed = three.delegatee.wanted(await three.redeem(three.delegation(["demo.echo"])))
    assert (await three.delegatee.call("demo.echo", tct=redeemed["tct"])).status == 200
    revoked = await room.ours.admin("revoke-tct", {"audience": three.holder.agent_id})
    assert claims_of(redeemed["tct"])["jti"] in revoked.body["also_revoked"]
    check(three.delegatee, await three.redeem(three.delegation(["demo.who"])), "DELEGATION_SOURCE_TCT_REVOKED")
    refused = await three.delegatee.call("demo.echo", tct=redeemed["tct"])
    assert (refused.status, three.delegatee.told(refused).code) == (403, "TCT_REVOKED")


@requirement("RFC-AITP-0006 7", "an owner that has it so lets what was delegated be passed on, to a bounded depth")
@requirement("RFC-AITP-0008 1.1", "what was made from a revoked token falls with it")
@pytest.mark.parametrize("allowed", [1, 2])
@pytest.mark.asyncio(loop_scope="function")
async def test_passing_on_as_often_as_the_owner_allows(allowed: int) -> None:
    async with open_room(redelegation=allowed) as room:
        three = await trio(room)
        givers = [three.delegator]
        tokens_given = []
        for depth in range(allowed + 1):
            taker = await room.served_client(beside=[giver.agent for giver in givers])
            delegation = givers[-1].agent.delegate(room.ours.aid, taker.agent.aid, ["demo.echo"])
            answer = taker.wanted(await taker.redeem(delegation))
            tokens_given.append((taker, answer["tct"]))
            assert (answer.get("grant_voucher") is not None) is (depth < allowed)
            if depth < allowed:
                taker.agent.held[room.ours.aid] = tokens.Grant(answer["tct"], answer["grant_voucher"])
                givers.append(taker)
        for taker, token in tokens_given:
            assert (await taker.call("demo.echo", tct=token)).status == 200
        await tell(room.ours, three.holder, *(taker.agent for taker, _ in tokens_given))
        await room.ours.admin("revoke-tct", {"audience": three.holder.agent_id})
        for taker, token in tokens_given:
            refused = await taker.call("demo.echo", tct=token)
            assert (refused.status, taker.told(refused).code) == (403, "TCT_REVOKED")


# --- ours delegates, ours redeems


@requirement("RFC-AITP-0006 2", "ours delegates to an agent elsewhere a part of what an owner elsewhere granted")
@pytest.mark.parametrize("suite", ["ed25519", "p256"])
async def test_ours_as_the_delegator(room: Room, suite: Any) -> None:
    async with room.meeting(suite=suite) as owner, room.meeting(beside=[owner.foreign]) as third:
        assert (await owner.shake(direction="both")).status == 200
        asked = {"delegatee": third.foreign.agent_id, "via_peer": owner.foreign.agent_id, "scope": ["far.look"]}
        answer = await room.ours.admin("delegate", asked)
        assert answer.status == 200, answer
        claims = claims_of(answer.body["delegation_token"])
        assert claims["sub"] == third.foreign.aid
        assert claims["cnf"] == {"jkt": thumbprint_of(third.foreign.aid)}
        redeeming = Client(third.foreign, room.http, owner.foreign.base_url, owner.foreign.aid)
        redeemed = redeeming.wanted(await redeeming.redeem(answer.body["delegation_token"]))
        assert claims_of(redeemed["tct"])["grants"] == ["far.look"]
        assert (await redeeming.call("far.look", tct=redeemed["tct"])).status == 200


@requirement("RFC-AITP-0006 8", "ours redeems at an owner elsewhere what an agent elsewhere delegated")
@pytest.mark.parametrize("suite", ["ed25519", "p256"])
@pytest.mark.parametrize("style", ["rfc", "binding"])
async def test_ours_as_the_delegatee(room: Room, suite: Any, style: Any) -> None:
    async with room.meeting(style, suite) as owner, room.meeting(beside=[owner.foreign]) as third:
        owner.foreign.trusted.add(third.foreign.aid)
        there = Client(third.foreign, room.http, owner.foreign.base_url, owner.foreign.aid, style)
        await there.shake(["far.look", "far.touch"])
        delegation = third.foreign.delegate(owner.foreign.aid, room.ours.aid, ["far.look"])
        answer = await room.ours.admin(
            "redeem-delegation", {"target": owner.foreign.agent_id, "delegation_token": delegation}
        )
        assert (answer.status, answer.body.get("grants")) == (200, ["far.look"]), answer
        called = await owner.invoke("far.look")
        assert called.body["status_code"] == 200
        assert owner.server.served == [("far.look", room.ours.aid)]
        beyond = third.foreign.delegate(owner.foreign.aid, room.ours.aid, ["far.look", "far.away"])
        refused = await room.ours.admin(
            "redeem-delegation", {"target": owner.foreign.agent_id, "delegation_token": beyond}
        )
        assert (refused.status, refused.body["error"]["details"]["code"]) == (502, "DELEGATION_SCOPE_EXCEEDED")
