"""Agents from elsewhere for whom an issuer vouches (RFC-AITP-0002 2)."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest
import pytest_asyncio

from tests.interop.conftest import Room, open_room
from tests.interop.foreign.client import Client, Reply, Style
from tests.interop.foreign.envelopes import Envelope, encode
from tests.interop.foreign.keys import Key
from tests.interop.foreign.oidc import Issuer
from tests.interop.test_malformed_hellos import check_refusal, every_style

pytestmark = pytest.mark.asyncio(loop_scope="module")
requirement = pytest.mark.requirement
ISSUER = Issuer()
OTHER = Key()
#: Makes the descriptor of a message, given the claims that an honest issuer would sign.
Make = Callable[[Client, dict[str, Any]], dict[str, Any]]


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def believers() -> AsyncIterator[Room]:
    """A worker that trusts :data:`ISSUER`."""
    async with open_room(oidc={"trusted": {ISSUER.url: [ISSUER.jwk]}}) as one:
        yield one


async def greet(client: Client, make: Make, issuer: Issuer = ISSUER) -> tuple[Reply, Any]:
    initiator = await client.begin(["demo.echo"])
    client.agent.publish(identity_hint=issuer.hint(client.agent))

    def vouched(envelope: Envelope) -> None:
        claims = issuer.claims(client.agent, envelope, client.peer_aid)
        envelope["payload"]["identity"] = make(client, claims)

    return await client.send_hello(initiator, initiator.hello(vouched)), initiator


def claims(**changes: Any) -> Make:
    """Other claims, signed; None leaves one out, a function is given the client."""

    def make(client: Client, given: dict[str, Any]) -> dict[str, Any]:
        made = {name: value(client) if callable(value) else value for name, value in changes.items()}
        changed = {name: value for name, value in (given | made).items() if value is not None}
        return ISSUER.descriptor(client.agent, ISSUER.token(changed))

    return make


def header(**members: Any) -> Make:
    return lambda client, given: ISSUER.descriptor(client.agent, ISSUER.token(given, **members))


def descriptor(**members: Any) -> Make:
    return lambda client, given: ISSUER.descriptor(client.agent, ISSUER.token(given)) | members


def unsigned(client: Client, given: dict[str, Any]) -> dict[str, Any]:
    token = ISSUER.token(given, alg="none")
    return ISSUER.descriptor(client.agent, token.rpartition(".")[0] + ".")


def by_another_key(client: Client, given: dict[str, Any]) -> dict[str, Any]:
    return ISSUER.descriptor(client.agent, Issuer(ISSUER.url).token(given))


def in_time(seconds: int) -> Callable[[Client], int]:
    return lambda client: client.agent.now() + seconds


honest = claims()
BOUND = "an ID token is bound to its issuer, subject, receiver, nonce, time and key"
FORM = "an ID token is signed by a key of its issuer's, which is not in the token"
BAD: dict[str, tuple[str, Make]] = {
    "no audience": (BOUND, claims(aud=None)),
    "another audience": (BOUND, claims(aud=OTHER.aid)),
    "a list of audiences": (BOUND, claims(aud=lambda client: [client.peer_aid])),
    "no nonce": (BOUND, claims(nonce=None)),
    "another handshake's nonce": (BOUND, claims(nonce=encode(b"\0" * 16))),
    "no key": (BOUND, claims(cnf=None)),
    "another key": (BOUND, claims(cnf={"jkt": OTHER.thumbprint})),
    "another subject": (BOUND, claims(sub="somebody")),
    "another issuer": (BOUND, claims(iss="https://else.example/realm")),
    "no issue time": (BOUND, claims(iat=None)),
    "issued long ago": (BOUND, claims(iat=in_time(-310))),
    "issued in the future": (BOUND, claims(iat=in_time(400))),
    "no end": (BOUND, claims(exp=None)),
    "past its end": (BOUND, claims(exp=in_time(-1))),
    "a time in words": (BOUND, claims(iat="now")),
    "a key in the header": (FORM, header(jwk=ISSUER.jwk)),
    "a key's address in the header": (FORM, header(jku="https://idp.example/keys")),
    "a certificate in the header": (FORM, header(x5c=["AAAA"])),
    "something critical in the header": (FORM, header(crit=["x"])),
    "another algorithm": (FORM, header(alg="ES256")),
    "a symmetric algorithm": (FORM, header(alg="HS256")),
    "no algorithm": (FORM, unsigned),
    "an unknown key id": (FORM, header(kid="two")),
    "a key that is not the issuer's": (FORM, by_another_key),
    "no token but words": (FORM, descriptor(proof="not a token")),
    "a public key beside it": ("a descriptor has the members of its type", descriptor(public_key=OTHER.public)),
}


def bad() -> list[Any]:
    return [
        pytest.param(make, id=name, marks=requirement("RFC-AITP-0002 2.2", why)) for name, (why, make) in BAD.items()
    ]


@pytest.mark.parametrize("make", bad())
async def test_bad_vouching(believers: Room, make: Make) -> None:
    client = await believers.client("binding")
    reply, _ = await greet(client, make)
    check_refusal(client, reply, frozenset({"IDENTITY_FAILED"}))


@requirement("RFC-AITP-0001 7", "an unknown member outside extensions is refused")
async def test_an_unknown_member_of_the_descriptor(believers: Room) -> None:
    client = await believers.client("binding")
    reply, _ = await greet(client, descriptor(more=1))
    check_refusal(client, reply, frozenset({"UNKNOWN_FIELD", "IDENTITY_FAILED"}))


@requirement("RFC-AITP-0002 2", "an agent is known by a trusted issuer's word for one message")
@every_style
@pytest.mark.parametrize("suite", ["ed25519", "p256"])
@pytest.mark.parametrize(
    "make",
    [honest, claims(nbf=1, name="x"), descriptor(extensions={"com.example.x": 1})],
    ids=["plain", "more claims", "extensions"],
)
async def test_good_vouching(believers: Room, style: Style, suite: Any, make: Make) -> None:
    client = await believers.client(style, suite)
    reply, initiator = await greet(client, make)
    initiator.take_ack(client.wanted(reply))
    done = await client.send_commit(initiator, initiator.commit())
    assert initiator.take_commit_ack(client.wanted(done)).claims["sub"] == client.agent.aid
    assert (await client.call("demo.echo")).status == 200


@requirement("RFC-AITP-0004 5.1", "an issuer that is not trusted vouches for nobody")
@every_style
async def test_an_issuer_that_is_not_trusted(believers: Room, style: Style) -> None:
    other = Issuer("https://else.example/realm")
    client = await believers.client(style)

    def make(client: Client, given: dict[str, Any]) -> dict[str, Any]:
        return other.descriptor(client.agent, other.token(given))

    reply, _ = await greet(client, make, other)
    check_refusal(client, reply, frozenset({"INCOMPATIBLE_TRUST_ANCHORS"}))


@requirement("RFC-AITP-0002 2.3", "an ID token serves one handshake")
async def test_the_token_of_an_earlier_handshake(believers: Room) -> None:
    client = await believers.client()
    kept: list[dict[str, Any]] = []

    def once(client: Client, given: dict[str, Any]) -> dict[str, Any]:
        kept.append(honest(client, given))
        return kept[0]

    reply, initiator = await greet(client, once)
    initiator.take_ack(client.wanted(reply))
    again, _ = await greet(client, once)
    check_refusal(client, again, frozenset({"IDENTITY_FAILED"}))
