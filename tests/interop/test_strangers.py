"""Whoever was not introduced: what they are told, what they may use up, and what nobody may ask at all."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from tests.integration.agents.harness import TelemetrySink
from tests.interop.conftest import Meet, Meeting, tell
from tests.interop.foreign.agent import ForeignAgent
from tests.interop.foreign.client import Client, Reply, Style
from tests.interop.foreign.tokens import claims_of

requirement = pytest.mark.requirement
every_style = pytest.mark.parametrize("style", ["rfc", "binding"])


def stranger(met: Meeting, style: Style | None = None) -> Client:
    """Somebody of whom ours knows nothing."""
    unknown = ForeignAgent("unknown", trusted={met.ours.aid})
    return Client(unknown, met.client.http, met.ours.base_url, met.ours.aid, style or met.style)


async def hello(client: Client, *, junk: bool = False) -> Reply:
    initiator = await client.begin(["demo.echo"])
    message = initiator.hello()
    if junk:
        message["signature"] = "A" * 86
    return await client.send_hello(initiator, message)


def visible(reply: Reply) -> Any:
    """What an answer shows, but for what differs between any two."""
    shown = {name: value for name, value in reply.headers.items() if name not in ("date", "content-length")}
    if isinstance(reply.body, dict) and "payload" in reply.body:
        return reply.status, shown, reply.body["payload"]
    return reply.status, shown, reply.body


@requirement("RFC-AITP-0002 3.2", "an unknown key is refused, and nothing is issued to it")
@every_style
async def test_a_perfect_hello_of_a_stranger(meet: Meet, style: Style) -> None:
    met = await meet(style=style)
    unknown = stranger(met)
    reply = await hello(unknown)
    told = unknown.told(reply)
    assert (told.status, told.code, told.retryable) == (400, "IDENTITY_FAILED", False)
    assert "details" not in told.whole
    await tell(met.ours, met.foreign, unknown.agent)
    await unknown.shake(["demo.echo"])


@requirement("RFC-AITP-0001 5.6", "a refusal does not say whom an agent knows")
@every_style
async def test_a_junk_signature_gets_one_answer_whoever_is_named(meet: Meet, style: Style) -> None:
    met = await meet(style=style)
    known, unknown = await hello(met.client, junk=True), await hello(stranger(met), junk=True)
    assert visible(known) == visible(unknown)
    assert met.client.told(known).code == "INVALID_SIGNATURE"


@requirement("RFC-AITP-0001 5.6", "a refusal says more than its code only to those who were introduced")
async def test_details_are_for_acquaintances(meet: Meet) -> None:
    met = await meet(style="binding")

    async def replayed(client: Client) -> dict[str, Any]:
        initiator = await client.begin(["demo.nothing"])
        message = initiator.hello(lambda envelope: envelope["payload"].update(requested_grants="demo.echo"))
        whole: dict[str, Any] = client.told(await client.send_hello(initiator, message)).whole
        return whole

    acquaintance, unknown = await replayed(met.client), await replayed(stranger(met))
    assert acquaintance["details"]["reason"]
    assert unknown.keys() == {"code", "message", "retryable"}


@requirement("RFC-AITP-0009 3.1", "one sender's hellos are limited, and a flood is answered with 429 and nothing else")
@every_style
async def test_one_stranger_is_limited(meet: Meet, style: Style) -> None:
    met = await meet(style=style)
    unknown = stranger(met)
    replies = [await hello(unknown) for _ in range(14)]
    assert {reply.status for reply in replies[:10]} == {400}
    for reply in replies[10:]:
        assert (reply.status, reply.body) == (429, b"")
        assert 1 <= int(reply.headers["retry-after"]) <= 60
    await met.client.shake(["demo.echo"])


@requirement("RFC-AITP-0009 3.1", "whatever strangers send, an honest peer is served, and its handshake is not lost")
@every_style
async def test_many_strangers_do_not_shut_out_a_peer(meet: Meet, style: Style) -> None:
    met = await meet(style=style)
    initiator = await met.client.greet(["demo.echo"])
    replies = await asyncio.gather(*(hello(stranger(met)) for _ in range(100)))
    assert {reply.status for reply in replies} == {400, 429}
    await asyncio.gather(*(hello(stranger(met), junk=True) for _ in range(50)))
    reply = await met.client.send_commit(initiator, initiator.commit())
    initiator.take_commit_ack(met.client.wanted(reply))
    for _ in range(40):
        await met.client.shake(["demo.echo"])


@requirement("RFC-AITP-0009 3.1", "a peer may be busier than strangers")
async def test_forgeries_in_a_peers_name_use_up_nothing_of_it(meet: Meet) -> None:
    met = await meet()
    replies = await asyncio.gather(*(hello(met.client, junk=True) for _ in range(150)))
    assert {reply.status for reply in replies} <= {400, 429}
    await met.client.shake(["demo.echo"])


@requirement("RFC-AITP-0002 3.2", "taking anybody's key is opted into, and told for each key")
@every_style
async def test_an_agent_that_takes_anybody_says_so(meet: Meet, style: Style, sink: TelemetrySink) -> None:
    met = await meet(style=style, accept="any-verified", known=False)
    await met.client.shake(["demo.echo"])
    assert (await met.client.call("demo.echo")).status == 200
    events = await sink.wait_for("stranger.accepted")
    assert [event["aid"] for event in events] == [met.foreign.aid]


@requirement("RFC-AITP-0001 5.2", "every message has an id, a time and a nonce of its own")
async def test_no_two_messages_are_alike(meet: Meet) -> None:
    met = await meet()
    acks, commits = [], []
    for _ in range(15):
        initiator = await met.client.begin(["demo.echo"])
        acks.append(met.client.wanted(await met.client.send_hello(initiator, initiator.hello())))
        initiator.take_ack(acks[-1])
        commits.append(met.client.wanted(await met.client.send_commit(initiator, initiator.commit())))
        assert (await met.shake(direction="both")).status == 200
    sent = [body for _, _, body in met.server.received]
    messages = [*acks, *commits, *sent]
    assert len({message["message_id"] for message in messages}) == len(messages) == 60
    greetings = [message["payload"]["pop_nonce"] for message in messages if "pop_nonce" in message["payload"]]
    assert len(set(greetings)) == len(greetings) == 30
    assert {len(nonce) for nonce in greetings} == {22}
    tokens = [claims_of(message["payload"]["tct"])["jti"] for message in messages if "tct" in message["payload"]]
    assert len(set(tokens)) == len(tokens) == 30
    for message in messages:
        assert abs(message["timestamp"] - met.foreign.now()) <= 300
        assert message.keys() <= {
            "version",
            "message_type",
            "message_id",
            "timestamp",
            "sender",
            "payload",
            "signature",
            "extensions",
        }
