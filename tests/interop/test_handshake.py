"""Handshakes with an agent from elsewhere: in both styles, both roles, both suites, both spellings of an AID."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from tests.interop.conftest import Meeting, Room
from tests.interop.foreign.client import SESSION, Style
from tests.interop.foreign.keys import Key
from tests.interop.foreign.tokens import claims_of

pytestmark = pytest.mark.asyncio(loop_scope="module")
requirement = pytest.mark.requirement
KINDS: dict[str, Callable[[], Key]] = {
    "ed25519": lambda: Key("ed25519"),
    "ed25519, tagged": lambda: Key("ed25519", "tagged"),
    "p256": lambda: Key("p256"),
}
every_kind = pytest.mark.parametrize("kind", KINDS)
every_style = pytest.mark.parametrize("style", ["rfc", "binding"])
with_or_without = pytest.mark.parametrize("vouchers", [True, False], ids=["vouchers", "no vouchers"])


async def meeting(room: Room, style: Style, kind: str, vouchers: bool = True) -> Meeting:
    return await room.meet(style, key=KINDS[kind](), vouchers=vouchers)


@requirement("RFC-AITP-0004 2", "four messages give each side a token of the other's")
@requirement("RFC-AITP-0001 5.3", "an AID may name its algorithm; Ed25519 and P-256 are both spoken")
@requirement("RFC-AITP-0004 3.3", "the grant voucher is optional")
@every_style
@every_kind
@with_or_without
async def test_it_greets_ours(room: Room, style: Style, kind: str, vouchers: bool) -> None:
    met = await meeting(room, style, kind, vouchers)
    grant = await met.client.shake(["demo.echo"])
    claims = grant.claims
    assert claims["grants"] == ["demo.echo"]
    assert claims["sub"] == claims["aud"] == met.foreign.aid
    assert claims["iss"] == met.ours.aid
    assert claims["exp"] <= (await met.client.manifest())["expires_at"]
    assert grant.voucher is not None
    assert claims_of(grant.voucher)["src_jti"] == grant.jti


@requirement("RFC-AITP-0004 2", "four messages give each side a token of the other's")
@requirement("RFC-AITP-0001 8", "a handshake's messages go where the manifest says")
@requirement("RFC-AITP-0004 3.4", "the grant voucher is optional")
@every_style
@every_kind
@with_or_without
async def test_ours_greets_it(room: Room, style: Style, kind: str, vouchers: bool) -> None:
    met = await meeting(room, style, kind, vouchers)
    answer = await met.shake(requested_grants=["far.look"], direction="both")
    assert answer.status == 200, answer
    assert answer.body["received"]["grants"] == ["far.look"]
    assert met.foreign.held[met.ours.aid].jti == answer.body["issued"]["jti"]
    posted = {(path, bool(session)) for path, session, _ in met.server.received}
    if style == "rfc":
        assert {path for path, _ in posted} == {"/talk"}
    else:
        assert posted == {("/aitp/handshake/hello", False), ("/aitp/handshake/commit", True)}


@requirement("RFC-AITP-0005 6.1", "a token is used with a proof of possession, in a signed envelope")
@every_style
@every_kind
async def test_what_ours_grants_can_be_used(room: Room, style: Style, kind: str) -> None:
    met = await meeting(room, style, kind)
    await met.client.shake(["demo.echo"])
    answer = await met.client.call("demo.echo", {"n": 1})
    assert (answer.status, answer.body) == (200, {"echo": {"n": 1}})
    other = await met.client.call("demo.who")
    assert (other.status, met.client.told(other).code) == (403, "POLICY_VIOLATION")


@requirement("RFC-AITP-0005 6.1", "a challenge in a signed envelope is answered in one")
@every_style
@every_kind
async def test_what_it_grants_ours_can_be_used(room: Room, style: Style, kind: str) -> None:
    met = await meeting(room, style, kind)
    assert (await met.shake(requested_grants=["far.look"])).status == 200
    answer = await met.invoke("far.look", input={"n": 1})
    assert (answer.body["status_code"], answer.body["body"]) == (200, {"did": "far.look", "with": {"n": 1}})
    assert met.server.served == [("far.look", met.ours.aid)]


@requirement("RFC-AITP-0004 3.3", "the grant voucher is optional; without one nothing can be delegated")
async def test_without_a_voucher_only_delegation_fails(room: Room) -> None:
    met = await room.meet(vouchers=False)
    other = room.stranger()
    await met.introduce(other)
    asked = {"delegatee": other.agent_id, "via_peer": met.foreign.agent_id, "scope": ["far.look"]}
    assert (await met.shake()).status == 200
    assert (await met.invoke("far.look")).body["status_code"] == 200
    answer = await met.ours.admin("delegate", asked)
    assert (answer.status, answer.body["error"]["code"]) == (409, "no_voucher_held")
    met.foreign.vouchers = True
    assert (await met.shake()).status == 200
    assert (await met.ours.admin("delegate", asked)).status == 200


@requirement("RFC-AITP-0003 3.1", "the handshake endpoint is one absolute URL")
async def test_ours_publishes_one_endpoint_below_which_the_binding_finds_its_places(room: Room) -> None:
    met = await room.meet()
    manifest = await met.client.manifest()
    assert manifest["handshake_endpoint"] == f"{met.ours.base_url}/aitp/handshake/"


PLACES = ["/aitp/handshake/", "/aitp/handshake/hello", "/aitp/handshake/commit"]


@requirement("RFC-AITP-0004 10", "one endpoint takes both messages")
@pytest.mark.parametrize("hello_at", PLACES)
@pytest.mark.parametrize("commit_at", PLACES)
async def test_either_message_is_taken_at_each_place(room: Room, hello_at: str, commit_at: str) -> None:
    met = await room.meet()
    initiator = await met.client.begin(["demo.echo"])
    ack = await met.client.post(hello_at, initiator.hello())
    initiator.take_ack(met.client.wanted(ack))
    commit_ack = await met.client.post(commit_at, initiator.commit())
    assert initiator.take_commit_ack(met.client.wanted(commit_ack)).claims["grants"] == ["demo.echo"]


@requirement("RFC-AITP-0004 5.3", "a commit belongs to the handshake whose nonce it echoes and whose sender it has")
async def test_two_handshakes_at_once_are_told_apart_by_their_nonces(room: Room) -> None:
    met = await room.meet()
    one, two = await met.client.greet(["demo.echo"]), await met.client.greet(["demo.who"])
    for initiator, name in ((two, "demo.who"), (one, "demo.echo")):
        reply = await met.client.send_commit(initiator, initiator.commit())
        assert initiator.take_commit_ack(met.client.wanted(reply)).claims["grants"] == [name]


@requirement("HTTP binding", "the acknowledgement carries a session id, and a commit under another one is refused")
async def test_a_session_header_that_is_sent_must_be_right(room: Room) -> None:
    met = await room.meet("binding")
    initiator = await met.client.begin(["demo.echo"])
    ack = await met.client.send_hello(initiator, initiator.hello())
    initiator.take_ack(met.client.wanted(ack))
    commit = initiator.commit()
    wrong = await met.client.send_commit(initiator, commit, "00000000-0000-4000-8000-000000000000")
    assert wrong.status == 400
    again = initiator.commit()
    right = await met.client.send_commit(initiator, again, ack.headers[SESSION.lower()])
    initiator.take_commit_ack(met.client.wanted(right))


@requirement("RFC-AITP-0001 8", "a handshake's messages go where the manifest says")
@pytest.mark.parametrize("missing", [404, 405])
@pytest.mark.parametrize(
    ("endpoint", "places"),
    [
        ("/talk", ["/talk", "/talk"]),
        ("/deep/down/", ["/deep/down/hello", "/deep/down/commit"]),
        ("/old/hello", ["/old/hello", "/old/commit"]),
        ("/slash/", ["/slash/hello", "/slash/", "/slash/"]),
    ],
    ids=["one URL", "below a slash", "beside a hello", "one URL that ends in a slash"],
)
async def test_ours_finds_the_places_by_the_end_of_the_endpoint(
    room: Room, endpoint: str, places: list[str], missing: int
) -> None:
    met = await room.meet()
    met.server.conduct.missing = missing
    met.server.place(endpoint, only_itself=endpoint == "/slash/")
    answer = await met.shake(requested_grants=["far.look"])
    assert answer.status == 200, answer
    assert met.server.paths == places


@requirement("RFC-AITP-0001 5.3", "two spellings of one Ed25519 key are one agent")
@pytest.mark.parametrize(("known_as", "speaks_as"), [("plain", "tagged"), ("tagged", "plain")])
async def test_a_peer_may_speak_under_the_other_spelling_of_its_key(room: Room, known_as: Any, speaks_as: Any) -> None:
    key = Key("ed25519", known_as)
    met = await room.meet(key=key)
    met.foreign.key = key.spelled(speaks_as)
    met.foreign.publish()
    grant = await met.client.shake(["demo.echo"])
    assert grant.claims["sub"] == met.foreign.aid
    assert (await met.client.call("demo.echo")).status == 200
    assert (await met.shake(requested_grants=["far.look"])).status == 200


@requirement("RFC-AITP-0001 5.3", "another key is another agent")
async def test_but_not_under_another_key(room: Room) -> None:
    met = await room.meet()
    met.foreign.key = Key()
    met.foreign.publish()
    reply = await met.client.send_hello(initiator := await met.client.begin(), initiator.hello())
    assert met.client.told(reply).code == "IDENTITY_FAILED"
    assert (await met.shake()).status == 502
    assert not met.server.messages("mutual_hello")
