"""Using a token: the proof of possession, in which forms it is read, and what is refused by which name."""

from __future__ import annotations

import json
import uuid
from collections.abc import Callable
from typing import Any

import pytest
from aiohttp import web
from aitp_verifier.b64 import b64url_decode, b64url_encode

from tests.interop import hello_rows
from tests.interop.conftest import Room, tell
from tests.interop.foreign import possession, tokens
from tests.interop.foreign.agent import ForeignAgent
from tests.interop.foreign.client import Client, Reply
from tests.interop.foreign.envelopes import Envelope, encode, opened
from tests.interop.foreign.keys import Key

pytestmark = pytest.mark.asyncio(loop_scope="module")
requirement = pytest.mark.requirement
PROOF = "X-AITP-PoP"
OTHER = Key()


async def holder(room: Room, grants: list[str] | None = None, **how: Any) -> Client:
    """A client that holds a token of ours for ``demo.echo``."""
    client = await room.client(**how)
    await client.shake(grants or ["demo.echo"])
    return client


def token_of(client: Client) -> str:
    return client.agent.held[client.peer_aid].tct


def check(client: Client, reply: Reply, *codes: str, status: int = 403) -> None:
    """A refusal with one of these codes, and the capability was not run."""
    told = client.told(reply)
    assert (reply.status, told.form) == (status, "body"), reply
    assert told.code in codes, reply
    assert "echo" not in reply.body
    assert reply.headers["cache-control"] == "no-store"


@requirement("RFC-AITP-0005 6.1", "a challenge is a signed envelope of the verifier's, with a fresh 128-bit nonce")
async def test_the_challenge(room: Room) -> None:
    client = await holder(room)
    nonces = set()
    for _ in range(20):
        reply = await client.post("/aitp/pop/challenge", {}, {"X-AITP-TCT": token_of(client)})
        payload = opened(reply.body, room.ours.aid, "pop_challenge", client.agent.now())
        assert payload.keys() == {"tct_jti", "nonce", "expires_at"}
        assert payload["tct_jti"] == client.agent.held[room.ours.aid].jti
        assert payload["expires_at"] > client.agent.now()
        assert len(payload["nonce"]) == 22
        assert len(b64url_decode(payload["nonce"])) == 16
        nonces.add(payload["nonce"])
    assert len(nonces) == 20


@requirement("RFC-AITP-0005 6.1", "the response is a signed envelope, in a header")
@pytest.mark.parametrize("header", possession.HEADERS)
@pytest.mark.parametrize("suite", ["ed25519", "p256"])
@pytest.mark.parametrize("bare", [False, True], ids=["in an envelope", "bare"])
async def test_the_forms_in_which_a_response_is_read(room: Room, header: str, suite: Any, bare: bool) -> None:
    client = await holder(room, suite=suite)
    reply = await client.call("demo.echo", {"n": 1}, header=header, bare=bare)
    assert (reply.status, reply.body) == (200, {"echo": {"n": 1}})


Spoil = Callable[[Client, dict[str, Any]], str]


def altered(change: Callable[[Client, Envelope], None]) -> Spoil:
    """An envelope that was changed before it was signed."""

    def make(client: Client, members: dict[str, Any]) -> str:
        return possession.in_envelope(client.agent, members, lambda envelope: change(client, envelope))

    return make


def tampered(change: Callable[[Client, Envelope], None]) -> Spoil:
    """An envelope that was changed after it was signed."""

    def make(client: Client, members: dict[str, Any]) -> str:
        envelope = client.agent.message("pop_response", members)
        change(client, envelope)
        return possession.as_header(envelope)

    return make


def members(**changes: Any) -> Spoil:
    def make(client: Client, given: dict[str, Any]) -> str:
        changed = {name: value for name, value in (given | changes).items() if value is not None}
        return possession.in_envelope(client.agent, changed)

    return make


def signature(make_message: Callable[[dict[str, Any]], bytes], key: Key | None = None) -> Spoil:
    def make(client: Client, given: dict[str, Any]) -> str:
        signed = (key or client.agent.key).sign(make_message(given))
        return possession.in_envelope(client.agent, given | {"pop_signature": signed})

    return make


def nonce_of(given: dict[str, Any]) -> bytes:
    return b64url_decode(given["nonce_echo"])


def later(client: Client, envelope: Envelope) -> None:
    envelope["timestamp"] = client.agent.now() + 9


async def by_another_key(_request: web.Request, envelope: Envelope) -> web.StreamResponse:
    hello_rows.by_another_key(ForeignAgent(), envelope)
    return web.json_response(envelope)


def raw(text: str) -> Spoil:
    return lambda _client, _members: text


def by_another(_client: Client, given: dict[str, Any]) -> str:
    """Everything by another key."""
    return possession.in_envelope(ForeignAgent(key=OTHER), given | {"pop_signature": OTHER.sign(nonce_of(given))})


_PROOFS = ("POP_RESPONSE_INVALID",)
_ANY = ("POP_RESPONSE_INVALID", "POP_CHALLENGE_INVALID")
_LATE = ("POP_RESPONSE_INVALID", "TIMESTAMP_EXPIRED")
BAD_PROOFS: dict[str, tuple[Spoil, tuple[str, ...]]] = {
    "another key": (by_another, _PROOFS),
    "another key's signature over the nonce": (
        signature(lambda given: b64url_decode(given["nonce_echo"]), OTHER),
        _PROOFS,
    ),
    "the nonce's letters signed": (signature(lambda given: str(given["nonce_echo"]).encode()), _PROOFS),
    "another nonce signed": (signature(lambda _given: b"\0" * 16), _PROOFS),
    "another nonce": (members(nonce_echo=encode(b"\0" * 16)), _ANY),
    "another token's id": (members(tct_jti=str(uuid.uuid4())), _PROOFS),
    "no signature": (members(pop_signature=None), _PROOFS),
    "no nonce": (members(nonce_echo=None), _PROOFS),
    "a number for a nonce": (members(nonce_echo=7), _PROOFS),
    "an envelope of another type": (altered(lambda _client, envelope: envelope.update(message_type="error")), _PROOFS),
    "an old envelope": (altered(lambda client, envelope: envelope.update(timestamp=client.agent.now() - 310)), _LATE),
    "an envelope tampered with": (
        tampered(later),
        _PROOFS,
    ),
    "an envelope that another key signed": (
        tampered(lambda client, envelope: hello_rows.by_another_key(client.agent, envelope)),
        _PROOFS,
    ),
    "an envelope of an unknown version": (
        altered(lambda _client, envelope: envelope.update(version="aitp/9")),
        _PROOFS,
    ),
    "an envelope with half its members": (raw(possession.as_header({"message_type": "pop_response"})), _PROOFS),
    "no base64url": (raw("!!!"), _PROOFS),
    "no JSON": (raw(encode(b"{")), _PROOFS),
    "a list": (raw(encode(b"[]")), _PROOFS),
    "no UTF-8": (raw(encode(b"\xff\xfe")), _PROOFS),
    "deep nesting": (raw(encode(b"[" * 3000)), _PROOFS),
    "nothing": (raw(""), _PROOFS),
}


@requirement("RFC-AITP-0005 6.2", "a call without a good proof is refused, and nothing is run")
@pytest.mark.parametrize("name", BAD_PROOFS)
async def test_bad_proofs(room: Room, name: str) -> None:
    client = await holder(room)
    spoil, codes = BAD_PROOFS[name]
    challenge = await client.challenge(token_of(client))
    proof = spoil(client, possession.response(client.agent, challenge))
    check(client, await client.present("demo.echo", {"X-AITP-TCT": token_of(client), PROOF: proof}), *codes)
    assert (await client.call("demo.echo")).status == 200


@requirement("RFC-AITP-0005 6", "a call needs a token and a proof")
async def test_calls_that_lack_something(room: Room) -> None:
    client = await holder(room)
    proof = await client.prove(token_of(client))
    check(client, await client.present("demo.echo", {"X-AITP-TCT": token_of(client)}), "POP_RESPONSE_INVALID")
    check(client, await client.present("demo.echo", {PROOF: proof[PROOF]}), "POLICY_VIOLATION")
    check(client, await client.present("demo.echo", {}), "POLICY_VIOLATION")
    assert (await client.present("demo.echo", proof)).status == 200


@requirement("RFC-AITP-0005 6.2", "a proof is good once")
async def test_a_proof_is_good_once(room: Room) -> None:
    client = await holder(room)
    proof = await client.prove(token_of(client))
    assert (await client.present("demo.echo", proof)).status == 200
    check(client, await client.present("demo.echo", proof), "POP_CHALLENGE_INVALID", "POP_RESPONSE_INVALID")


@requirement("RFC-AITP-0005 6.2", "a proof is for the token whose challenge it answers")
async def test_a_proof_for_another_token(room: Room) -> None:
    client = await holder(room)
    first = token_of(client)
    second = (await client.shake(["demo.echo"])).tct
    proof = await client.prove(first)
    check(client, await client.present("demo.echo", {**proof, "X-AITP-TCT": second}), *_ANY)
    assert (await client.call("demo.echo", tct=second)).status == 200


@requirement("RFC-AITP-0005 5", "a token is used by its subject")
async def test_a_stolen_token(room: Room) -> None:
    client = await holder(room)
    thief = room.client_of(room.stranger())
    await tell(room.ours, client.agent, thief.agent)
    stolen = token_of(client)
    check(thief, await thief.call("demo.echo", tct=stolen), "POP_RESPONSE_INVALID")
    assert (await client.call("demo.echo")).status == 200


@requirement("RFC-AITP-0005 10.5", "an issuer takes no token but its own")
async def test_another_issuers_token(room: Room) -> None:
    client = await holder(room)
    issuer = room.stranger()
    foreign = tokens.grant(issuer.key, client.agent.aid, ["demo.echo"], client.agent.now(), client.agent.now() + 600)
    check(client, await client.call("demo.echo", tct=foreign.tct), "TCT_SIGNATURE_INVALID")


def ours_key(room: Room) -> Key:
    """The key of our worker: what it might have issued, but did not."""
    return Key(seed=room.ours.seed)


@requirement("RFC-AITP-0005 4", "a token opens what it grants and nothing else")
@pytest.mark.parametrize(
    ("capability", "status"),
    [
        ("demo.who", 403),
        ("demo", 404),
        ("demo.echo.more", 404),
        ("DEMO.ECHO", 404),
        ("demo.echo%20", 404),
        ("demo.nothing", 404),
    ],
)
async def test_what_a_token_does_not_grant(room: Room, capability: str, status: int) -> None:
    """What nobody offers is not there to be refused."""
    client = await holder(room)
    check(client, await client.call(capability), "POLICY_VIOLATION", status=status)


Forge = Callable[[Room, dict[str, Any]], str]


def claims(**changes: Any) -> Forge:
    """A token under our worker's own key with other claims."""

    def make(room: Room, given: dict[str, Any]) -> str:
        changed = {name: value for name, value in (given | changes).items() if value is not None}
        return ours_key(room).token(tokens.TCT, changed)

    return make


def header(**members_: Any) -> Forge:
    return lambda room, given: ours_key(room).compact({"alg": "EdDSA", "typ": tokens.TCT} | members_, given)


def spoilt(change: Callable[[str], str]) -> Forge:
    return lambda room, given: change(ours_key(room).token(tokens.TCT, given))


def two_segments(token: str) -> str:
    return token.rpartition(".")[0]


def last_byte(token: str) -> str:
    head, _, tail = token.rpartition(".")
    spoiled = bytearray(b64url_decode(tail))
    spoiled[-1] ^= 1
    return f"{head}.{b64url_encode(bytes(spoiled))}"


_SUSPECT = ("TCT_SIGNATURE_INVALID",)
_CNF = ("TCT_CNF_MISMATCH", "POP_RESPONSE_INVALID")
_AUDIENCE = ("AUDIENCE_MISMATCH", *_SUSPECT)
_ALG = ("TOKEN_ALG_MISMATCH", "TCT_SIGNATURE_INVALID")
#: All with a proof by the holder, so that nothing but the token is wrong.
BAD_TOKENS: dict[str, tuple[str, str, Forge, tuple[str, ...]]] = {
    "a spoilt signature": ("0005 7.2", "a token's signature is verified", spoilt(last_byte), _SUSPECT),
    "alg none": ("0001 5.4.5", "the algorithm is the issuer's", header(alg="none"), _ALG),
    "alg nOnE": ("0001 5.4.5", "the algorithm is the issuer's", header(alg="nOnE"), _ALG),
    "another suite's alg": (
        "0001 5.4.5",
        "the algorithm is the issuer's",
        header(alg="ES256"),
        ("TOKEN_ALG_MISMATCH",),
    ),
    "a kid": ("0001 5.4.5", "a header has two members", header(kid="x"), _ALG),
    "a crit": ("0001 5.4.5", "a header has two members", header(crit=["x"]), _ALG),
    "a voucher": ("0001 5.4.5", "a token is of its type", header(typ=tokens.VOUCHER), ("TOKEN_TYP_MISMATCH",)),
    "a delegation": ("0001 5.4.5", "a token is of its type", header(typ=tokens.DELEGATION), ("TOKEN_TYP_MISMATCH",)),
    "an unknown claim": ("0005 2", "a token has only known claims", claims(device_id="x"), ("UNKNOWN_FIELD",)),
    "the previous version": ("0005 10.2", "a token's version is known", claims(ver="aitp/0.2"), ("UNKNOWN_VERSION",)),
    "another key in cnf": (
        "0005 3",
        "a token is bound to its subject's key",
        claims(cnf={"jkt": OTHER.thumbprint}),
        _CNF,
    ),
    "another audience": (
        "0005 5",
        "a token's audience is its subject",
        claims(aud=OTHER.aid),
        ("AUDIENCE_MISMATCH", *_SUSPECT),
    ),
    "one that has expired": ("0005 7.2", "a token has not expired", claims(exp=1_700_000_000), ("TCT_EXPIRED",)),
    "an id in upper case": ("0005 2.2", "an id is a version 4 UUID", claims(jti=str(uuid.uuid4()).upper()), _SUSPECT),
    "an id of version 1": ("0005 2.2", "an id is a version 4 UUID", claims(jti=str(uuid.uuid1())), _SUSPECT),
    "no grants": ("0005 2", "a token grants something", claims(grants=[]), _SUSPECT),
    "an attestation": (
        "0005 5.3",
        "an attestation grants nothing",
        claims(grants=["aitp.attestation"]),
        _SUSPECT,
    ),
    "an expiry in words": ("0005 2", "claims have their types", claims(exp="soon"), _SUSPECT),
    "an expiry beyond all numbers": ("0005 2", "claims have their types", claims(exp=10**300), _SUSPECT),
    "a list for an issuer": ("0005 2", "claims have their types", claims(iss=[]), _SUSPECT),
    "a list for an id": ("0005 2", "claims have their types", claims(jti=[]), _SUSPECT),
    "lists for grants": ("0005 2", "claims have their types", claims(grants=[[]]), _SUSPECT),
    "a list for cnf": ("0005 2", "claims have their types", claims(cnf=[]), (*_SUSPECT, *_CNF)),
    "a list for a version": ("0005 2", "claims have their types", claims(ver=[]), (*_SUSPECT, "UNKNOWN_VERSION")),
    "a list for alg": ("0001 5.4.5", "the algorithm is the issuer's", header(alg=[]), _ALG),
    "a list for typ": ("0001 5.4.5", "a token is of its type", header(typ=[]), (*_SUSPECT, "TOKEN_TYP_MISMATCH")),
    "two segments": (
        "0001 5.4.5",
        "a token has three segments",
        spoilt(lambda token: token.rpartition(".")[0]),
        _SUSPECT,
    ),
    "padding": ("0001 5.4.5", "base64url has no padding", spoilt(lambda token: f"{token}=="), _SUSPECT),
}


def bad_tokens() -> list[Any]:
    return [
        pytest.param(forge, codes, id=name, marks=requirement(f"RFC-AITP-{section}", sentence))
        for name, (section, sentence, forge, codes) in BAD_TOKENS.items()
    ]


@pytest.mark.parametrize(("forge", "codes"), bad_tokens())
async def test_bad_tokens(room: Room, forge: Forge, codes: tuple[str, ...]) -> None:
    client = await holder(room)
    token = forge(room, client.agent.held[room.ours.aid].claims)
    asked = await client.post("/aitp/pop/challenge", {}, {"X-AITP-TCT": token})
    if asked.status != 200:
        check(client, asked, *codes)
        proof = encode(json.dumps({"tct_jti": "x", "nonce_echo": "x", "pop_signature": "x"}).encode())
        refused = await client.present("demo.echo", {"X-AITP-TCT": token, PROOF: proof})
        check(client, refused, *codes, *_ANY)
        return
    challenge = possession.challenge_in(client.agent, asked.body, room.ours.aid)
    proof = possession.in_envelope(client.agent, possession.response(client.agent, challenge))
    check(client, await client.present("demo.echo", {"X-AITP-TCT": token, PROOF: proof}), *codes)


@requirement("RFC-AITP-0012 1.1", "unknown extensions are ignored")
async def test_an_extension_claim_is_no_harm(room: Room) -> None:
    client = await holder(room)
    given = client.agent.held[room.ours.aid].claims
    token = claims(jti=str(uuid.uuid4()), ext={"com.example.x": 1})(room, given)
    assert (await client.call("demo.echo", tct=token)).status == 200


# --- ours calls


@requirement("RFC-AITP-0005 6.1", "a challenge in the older, bare form is answered in it")
@pytest.mark.parametrize("bare", [True, False])
async def test_ours_answers_a_challenge_in_its_form(room: Room, bare: bool) -> None:
    async with room.meeting() as met:
        assert (await met.shake()).status == 200
        met.server.conduct.bare_challenges = bare
        called = await met.invoke("far.look")
        assert called.body["status_code"] == 200, called
        assert met.server.served == [("far.look", room.ours.aid)]


BAD_CHALLENGES: dict[str, Callable[[ForeignAgent, Envelope], None]] = {
    "about another token": lambda _agent, envelope: envelope["payload"].update(tct_jti=str(uuid.uuid4())),
    "over": lambda agent, envelope: envelope["payload"].update(expires_at=agent.now() - 10),
    "without a nonce": lambda _agent, envelope: envelope["payload"].pop("nonce"),
    "with a nonce in words": lambda _agent, envelope: envelope["payload"].update(nonce="!"),
    "of another type": lambda _agent, envelope: envelope.update(message_type="pop_response"),
    "of another sender": lambda _agent, envelope: envelope["sender"].update(agent_id=OTHER.aid),
    "of an old date": lambda agent, envelope: envelope.update(timestamp=agent.now() - 400),
    "of another version": lambda _agent, envelope: envelope.update(version="aitp/9"),
}


@requirement("RFC-AITP-0005 6.1", "a proof is made only for the verifier that signed the challenge, and for its token")
@pytest.mark.parametrize("name", [*BAD_CHALLENGES, "signed by another key"])
async def test_ours_signs_no_bad_challenge(room: Room, name: str) -> None:
    async with room.meeting() as met:
        assert (await met.shake()).status == 200
        if name in BAD_CHALLENGES:
            met.server.conduct.alter["challenge"] = lambda envelope: BAD_CHALLENGES[name](met.foreign, envelope)
        else:
            met.server.conduct.instead["challenge"] = by_another_key
        answer = await met.invoke("far.look")
        assert (answer.status, answer.body["error"]["code"]) == (502, "peer_failed"), answer
        assert met.server.called == 0, "nothing was shown"
        met.server.conduct.alter, met.server.conduct.instead = {}, {}
        assert (await met.invoke("far.look")).body["status_code"] == 200


@requirement("RFC-AITP-0001 5.6", "a refusal says more only to whoever has proven who it is")
async def test_details_are_for_those_who_have_proven_themselves(room: Room) -> None:
    client = await holder(room)
    proven = client.told(await client.call("demo.who"))
    assert proven.whole["details"]["reason"] == "grant_missing"
    unproven = client.told(await client.present("demo.who", {"X-AITP-TCT": token_of(client)}))
    assert "details" not in unproven.whole
    stranger = room.client_of(room.stranger())
    unknown = stranger.told(await stranger.call("demo.echo", tct=token_of(client)))
    assert "details" not in unknown.whole
