"""Hellos out of the ordinary, at both forms of the handshake routes: refused by their right name, or taken."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.interop.conftest import Room
from tests.interop.foreign.client import Client, Reply, Style
from tests.interop.hello_rows import ACCEPTED, ENVELOPES, GREETINGS
from tests.interop.rows import Row, parameters

every_style = pytest.mark.parametrize("style", ["rfc", "binding"])
pytestmark = pytest.mark.asyncio(loop_scope="module")


async def send(client: Client, row: Row) -> tuple[Reply, Any]:
    """The row's hello, and the answer to it."""
    initiator = await client.begin(["demo.echo"])
    hello = initiator.hello(lambda envelope: row.signed(client.agent, envelope))
    row.late(client.agent, hello)
    return await client.send_hello(initiator, hello), initiator


def check_refusal(client: Client, reply: Reply, codes: frozenset[str]) -> None:
    """A 400 in the style's form, with one of these codes."""
    told = client.told(reply)
    assert reply.status == 400, reply
    assert told.code in codes, reply
    assert told.retryable is (told.code == "TIMESTAMP_EXPIRED")
    assert reply.headers["cache-control"] == "no-store"
    if client.style == "rfc":
        assert told.form == "envelope"
        assert told.whole.keys() == {"code", "reason", "retryable"}
    else:
        assert told.form == "body"
        assert told.whole.keys() <= {"code", "message", "retryable", "details"}


@every_style
@pytest.mark.parametrize("row", parameters(ENVELOPES + GREETINGS))
async def test_it_is_refused(room: Room, style: Style, row: Row) -> None:
    client = await room.client(style, row.suite)
    reply, _ = await send(client, row)
    check_refusal(client, reply, row.codes)


@every_style
@pytest.mark.parametrize("row", parameters(ACCEPTED))
async def test_it_is_taken(room: Room, style: Style, row: Row) -> None:
    client = await room.client(style, row.suite)
    reply, initiator = await send(client, row)
    initiator.take_ack(client.wanted(reply))
    done = await client.send_commit(initiator, initiator.commit())
    assert initiator.take_commit_ack(client.wanted(done)).claims["grants"] == ["demo.echo"]


@pytest.mark.requirement("RFC-AITP-0001 5.5", "a message is taken once, in whatever form its copy comes")
@every_style
@pytest.mark.parametrize("form", ["the same bytes", "spaces and another order", "a tagged signature"])
async def test_a_copy_is_refused(room: Room, style: Style, form: str) -> None:
    client = await room.client(style)
    initiator = await client.begin()
    hello = initiator.hello()
    assert (await client.send_hello(initiator, hello)).status == 200
    if form == "a tagged signature":
        hello = {**hello, "signature": f"ed25519.{hello['signature']}"}
    copy = dict(reversed(hello.items())) if form == "spaces and another order" else hello
    reply = await client.post(client.place(initiator, "hello"), json.dumps(copy, indent=2).encode())
    check_refusal(client, reply, frozenset({"REPLAY_DETECTED"}))


@pytest.mark.requirement("RFC-AITP-0001 5.5", "a forgery does not use up the id of what it was made from")
@every_style
async def test_a_forgery_does_not_burn_an_id(room: Room, style: Style) -> None:
    client = await room.client(style)
    initiator = await client.begin()
    hello = initiator.hello()
    forged = {**hello, "payload": {**hello["payload"], "requested_grants": ["demo.who"]}}
    check_refusal(client, await client.send_hello(initiator, forged), frozenset({"INVALID_SIGNATURE"}))
    initiator.take_ack(client.wanted(await client.send_hello(initiator, hello)))


@pytest.mark.requirement("RFC-AITP-0009 3.1", "a copy is noticed before its signature is looked at")
@every_style
async def test_a_known_id_is_a_copy_whatever_its_signature(room: Room, style: Style) -> None:
    client = await room.client(style)
    initiator = await client.begin()
    hello = initiator.hello()
    assert (await client.send_hello(initiator, hello)).status == 200
    broken = {**hello, "signature": initiator.hello()["signature"]}
    check_refusal(client, await client.send_hello(initiator, broken), frozenset({"REPLAY_DETECTED"}))


BODIES: dict[str, bytes] = {
    "half an object": b"{",
    "nothing": b"",
    "a list": b"[]",
    "a number": b"7",
    "an empty object": b"{}",
    "ten thousand lists": b"[" * 10_000 + b"]" * 10_000,
    "a deep object": b'{"a":' * 9_000 + b"1" + b"}" * 9_000,
    "NaN": b'{"timestamp": NaN}',
    "UTF-16": '{"version": "aitp/0.3"}'.encode("utf-16"),
    "not UTF-8": b'{"version": "\xff"}',
    "a lone surrogate": b'{"version": "\\ud800", "sender": {"agent_id": "\\udfff"}}',
    "a member twice": b'{"version": "aitp/0.3", "version": "aitp/0.3"}',
}


@pytest.mark.requirement("RFC-AITP-0001 5.6", "what is no message at all is answered with an error, never with a trace")
@every_style
@pytest.mark.parametrize("body", BODIES.values(), ids=BODIES)
async def test_what_is_no_message_is_refused(room: Room, style: Style, body: bytes) -> None:
    client = await room.client(style)
    initiator = await client.begin()
    for place in ("hello", "commit"):
        reply = await client.post(client.place(initiator, place), body)
        check_refusal(client, reply, frozenset({"INVALID_ENVELOPE", "UNKNOWN_VERSION"}))


@pytest.mark.requirement("RFC-AITP-0001 5.4", "no member stands twice in a message")
@every_style
async def test_a_member_that_stands_twice_is_refused(room: Room, style: Style) -> None:
    client = await room.client(style)
    initiator = await client.begin()
    twice = json.dumps(initiator.hello()).replace('{"version"', '{"version": "aitp/0.3", "version"', 1)
    reply = await client.post(client.place(initiator, "hello"), twice.encode())
    check_refusal(client, reply, frozenset({"INVALID_ENVELOPE"}))


@pytest.mark.requirement("RFC-AITP-0001 8", "a message says that it is JSON")
@every_style
@pytest.mark.parametrize(
    ("content_type", "taken"),
    [
        ("application/json", True),
        ("application/json; charset=utf-8", True),
        ("application/aitp+json", True),
        ("text/plain", False),
        ("application/xml", False),
        ("", False),
    ],
)
async def test_the_content_type_is_checked(room: Room, style: Style, content_type: str, taken: bool) -> None:
    client = await room.client(style)
    initiator = await client.begin()
    reply = await client.post(client.place(initiator, "hello"), initiator.hello(), {"Content-Type": content_type})
    if taken:
        initiator.take_ack(client.wanted(reply))
    else:
        check_refusal(client, reply, frozenset({"INVALID_ENVELOPE"}))


@pytest.mark.requirement("RFC-AITP-0009 3.1", "a message that is too large is refused before it is parsed")
@every_style
@pytest.mark.parametrize(("size", "status"), [(60 << 10, 200), (65 << 10, 413)], ids=["60 KiB", "65 KiB"])
async def test_the_size_of_a_message_is_bounded(room: Room, style: Style, size: int, status: int) -> None:
    client = await room.client(style)
    initiator = await client.begin()
    hello = initiator.hello()
    body = json.dumps(hello).encode()
    reply = await client.post(client.place(initiator, "hello"), body + b" " * (size - len(body)))
    assert reply.status == status
