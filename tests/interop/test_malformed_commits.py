"""Commits out of the ordinary: refused by their right name, with nothing granted, or taken."""

from __future__ import annotations

from typing import Any

import pytest

from tests.interop.commit_rows import ACCEPTED, REFUSED
from tests.interop.conftest import Room, tell
from tests.interop.foreign.agent import ForeignAgent
from tests.interop.foreign.client import Client, Reply, Style
from tests.interop.rows import Row, parameters
from tests.interop.test_malformed_hellos import check_refusal, every_style

pytestmark = pytest.mark.asyncio(loop_scope="module")


async def send(client: Client, row: Row) -> tuple[Reply, Any]:
    initiator = await client.greet(["demo.echo"])
    commit = initiator.commit(lambda envelope: row.signed(client.agent, envelope))
    row.late(client.agent, commit)
    return await client.send_commit(initiator, commit), initiator


@every_style
@pytest.mark.parametrize("row", parameters(REFUSED))
async def test_it_is_refused(room: Room, style: Style, row: Row) -> None:
    client = await room.client(style, row.suite)
    reply, initiator = await send(client, row)
    check_refusal(client, reply, row.codes)
    assert not {"tct", "grant_voucher"} & (reply.body.keys() | reply.body.get("payload", {}).keys())
    # Without a session id the echo alone says which handshake is meant: another one's may be for another agent.
    means_none = style == "rfc" and "NONCE_MISMATCH" in row.codes
    again = await client.send_commit(initiator, initiator.commit())
    assert again.status == (200 if means_none else 400), "the handshake is over"


@every_style
@pytest.mark.parametrize("row", parameters(ACCEPTED))
async def test_it_is_taken(room: Room, style: Style, row: Row) -> None:
    client = await room.client(style, row.suite)
    reply, initiator = await send(client, row)
    assert initiator.take_commit_ack(client.wanted(reply)).claims["grants"] == ["demo.echo"]


@pytest.mark.requirement("RFC-AITP-0004 6", "a handshake is over after its commit, and after a failure")
@every_style
async def test_a_second_commit_is_refused(room: Room, style: Style) -> None:
    client = await room.client(style)
    initiator = await client.greet(["demo.echo"])
    commit = initiator.commit()
    initiator.take_commit_ack(client.wanted(await client.send_commit(initiator, commit)))
    check_refusal(client, await client.send_commit(initiator, commit), frozenset({"REPLAY_DETECTED"}))
    gone = await client.send_commit(initiator, initiator.commit())
    check_refusal(client, gone, frozenset({"TIMESTAMP_EXPIRED", "INVALID_ENVELOPE"}))


@pytest.mark.requirement("RFC-AITP-0004 7", "a handshake belongs to the two that are in it")
@every_style
async def test_another_agents_commit_does_not_end_a_handshake(room: Room, style: Style) -> None:
    client = await room.client(style)
    intruder = ForeignAgent("intruder", trusted={room.ours.aid})
    await tell(room.ours, client.agent, intruder)
    initiator = await client.greet(["demo.echo"])
    other = Client(intruder, room.http, room.ours.base_url, room.ours.aid, style)
    theirs = await other.greet(["demo.echo"])
    theirs.theirs["pop_nonce"] = initiator.theirs["pop_nonce"]
    intruding = await other.send_commit(theirs, theirs.commit(), client.session)
    assert intruding.status == 400
    reply = await client.send_commit(initiator, initiator.commit())
    initiator.take_commit_ack(client.wanted(reply))


@pytest.mark.requirement("RFC-AITP-0004 4.1", "what is granted is what is asked for and offered")
@every_style
@pytest.mark.parametrize(
    ("asked", "granted"),
    [
        (["demo.echo"], ["demo.echo"]),
        (["demo.echo", "demo.nothing"], ["demo.echo"]),
        (["demo.who", "demo.echo"], ["demo.who", "demo.echo"]),
    ],
    ids=["one", "one of two", "two"],
)
async def test_what_is_granted(room: Room, style: Style, asked: list[str], granted: list[str]) -> None:
    client = await room.client(style)
    assert sorted((await client.shake(asked)).claims["grants"]) == sorted(granted)


@pytest.mark.requirement("RFC-AITP-0004 4.1", "if nothing is to be granted the handshake fails")
@every_style
@pytest.mark.parametrize("asked", [["demo.nothing"], []], ids=["nothing that is offered", "nothing"])
async def test_nothing_to_grant(room: Room, style: Style, asked: list[str]) -> None:
    client = await room.client(style)
    initiator = await client.begin(asked)
    reply = await client.send_hello(initiator, initiator.hello())
    if reply.status == 200:
        initiator.take_ack(reply.body)
        reply = await client.send_commit(initiator, initiator.commit())
    check_refusal(client, reply, frozenset({"POLICY_VIOLATION"}))


@pytest.mark.requirement("RFC-AITP-0012 6", "what extensions claim brings no more grants and no longer life")
@every_style
async def test_flattering_extensions_bring_nothing(room: Room, style: Style) -> None:
    client = await room.client(style)
    claims = {"tee": {"attested": True}, "zk": {"proof": "x"}, "grants": ["demo.who"]}
    initiator = await client.begin(["demo.echo"])
    hello = initiator.hello(lambda envelope: envelope["payload"].update(extensions=claims))
    initiator.take_ack(client.wanted(await client.send_hello(initiator, hello)))
    given = initiator.take_commit_ack(client.wanted(await client.send_commit(initiator, initiator.commit()))).claims
    plain = (await client.shake(["demo.echo"])).claims
    assert given["grants"] == plain["grants"]
    assert abs((given["exp"] - given["iat"]) - (plain["exp"] - plain["iat"])) <= 1
