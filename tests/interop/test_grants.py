"""Who is granted what: by policy, by what was asked, in one direction or both, and under whose clock."""

from __future__ import annotations

from typing import Any

import pytest
from aitp_verifier.jcs import canonicalize

from tests.interop.conftest import Meeting, Room
from tests.interop.foreign.client import Style
from tests.interop.foreign.tokens import claims_of
from tests.interop.test_malformed_hellos import check_refusal, every_style

pytestmark = pytest.mark.asyncio(loop_scope="module")
requirement = pytest.mark.requirement
directions = pytest.mark.parametrize("direction", ["one", "both"])


@requirement("RFC-AITP-0004 4.1", "getting less than was asked for is a result, not a failure")
@every_style
@pytest.mark.parametrize("asked", [["far.look", "far.touch"], []], ids=["two by name", "all that is offered"])
async def test_less_than_was_asked_for(room: Room, style: Style, asked: list[str]) -> None:
    async with room.meeting(style, grants_only=["far.look"]) as met:
        answer = await met.shake(requested_grants=asked)
        assert answer.status == 200, answer
        assert answer.body["received"]["grants"] == ["far.look"]
        assert answer.body["missing"] == ["far.touch"]
        assert (await met.invoke("far.look")).body["status_code"] == 200
        refused = await met.invoke("far.touch")
        assert refused.body["status_code"] == 403


@requirement("RFC-AITP-0004 4.1", "getting less than was asked for is a result, not a failure")
async def test_nothing_is_missing_from_all(room: Room) -> None:
    async with room.meeting() as met:
        answer = await met.shake()
        assert (answer.body["received"]["grants"], answer.body["missing"]) == (["far.look", "far.touch"], [])


@requirement("RFC-AITP-0004 4.1", "if nothing is to be granted the handshake fails")
@every_style
async def test_nothing_at_all(room: Room, style: Style) -> None:
    async with room.meeting(style, grants_only=[]) as met:
        answer = await met.shake()
        assert (answer.status, answer.body["error"]["details"]["code"]) == (502, "POLICY_VIOLATION")


@requirement("RFC-AITP-0004 4.1", "what is granted is what is asked for and offered, and no more")
@pytest.mark.parametrize("asked", [["demo.who"], ["demo.who", "demo.echo"], ["demo.who", "demo.nothing"]])
async def test_what_ours_grants_when_it_begins(room: Room, asked: list[str]) -> None:
    async with room.meeting(wants=asked) as met:
        answer = await met.shake(direction="both")
        assert answer.status == 200, answer
        [token] = met.server.tokens
        expected = [name for name in asked if name != "demo.nothing"]
        assert sorted(claims_of(token)["grants"]) == sorted(expected)
        assert sorted(answer.body["issued"]["grants"]) == sorted(expected)


@requirement("RFC-AITP-0004 4.1", "if nothing is to be granted the handshake fails")
@pytest.mark.parametrize("asked", [["demo.nothing"], []], ids=["nothing that is offered", "nothing"])
@directions
async def test_ours_grants_nothing_when_nothing_is_to_be_had(room: Room, asked: list[str], direction: str) -> None:
    async with room.meeting(wants=asked) as met:
        answer = await met.shake(direction=direction)
        assert (answer.status, answer.body["error"]["details"]["code"]) == (502, "POLICY_VIOLATION"), answer
        assert not met.server.messages("mutual_commit")


@requirement("RFC-AITP-0003 4.3", "the manifest in a message is the one that is published")
@directions
async def test_the_manifest_in_a_hello_is_the_published_one(room: Room, direction: str) -> None:
    async with room.meeting() as met:
        assert (await met.shake(direction=direction)).status == 200
        [hello] = met.server.messages("mutual_hello")
        assert canonicalize(hello["payload"]["manifest"]) == canonicalize(await met.client.manifest())


@requirement("RFC-AITP-0003 4.3", "the manifest in a message is the one that is published")
async def test_the_manifest_in_an_acknowledgement_is_the_published_one(room: Room) -> None:
    client = await room.client()
    initiator = await client.greet()
    assert canonicalize(initiator.theirs["manifest"]) == canonicalize(await client.manifest())


@requirement("RFC-AITP-0004 4.1", "an agent that wants to grant nothing grants as little as it can and honours none")
@every_style
async def test_one_direction_opens_nothing_in_the_other(room: Room, style: Style) -> None:
    async with room.meeting(style) as met:
        answer = await met.shake(requested_grants=["far.look"], direction="one")
        assert answer.status == 200, answer
        assert answer.body["issued"] is None
        [token] = met.server.tokens
        granted = claims_of(token)["grants"]
        assert len(granted) == 1
        assert set(granted) <= set((await met.client.manifest())["offered_capabilities"])
        refused = await met.client.call(granted[0], tct=token)
        assert (refused.status, met.client.told(refused).code) == (403, "POLICY_VIOLATION")
        assert (await met.invoke("far.look")).body["status_code"] == 200


async def refusal(met: Meeting) -> dict[str, Any]:
    answer = await met.shake(direction="both")
    assert answer.status == 502, answer
    details: dict[str, Any] = answer.body["error"]["details"]
    return details


@requirement("RFC-AITP-0001 5.5", "a clock that is a little ahead is no obstacle")
@every_style
@pytest.mark.parametrize("ahead", [1, 3, -60, -240])
async def test_clocks_that_differ_a_little(room: Room, style: Style, ahead: int) -> None:
    async with room.meeting(style, ahead=ahead) as met:
        await met.client.shake(["demo.echo"])
        answer = await met.shake()
        assert answer.status == 200, answer


@requirement("RFC-AITP-0001 5.5", "a clock that is far ahead is called by its name, and trying again may help")
@every_style
@pytest.mark.parametrize("ahead", [120, 240])
async def test_a_clock_far_ahead(room: Room, style: Style, ahead: int) -> None:
    async with room.meeting(style, ahead=ahead) as met:
        initiator = await met.client.greet(["demo.echo"])
        reply = await met.client.send_commit(initiator, initiator.commit())
        check_refusal(met.client, reply, frozenset({"TIMESTAMP_EXPIRED"}))
        if style == "binding":
            assert met.client.told(reply).whole["details"]["reason"] == "clock_skew"
        details = await refusal(met)
        assert (details["code"], details["retryable"], details["reason"]) == ("TIMESTAMP_EXPIRED", True, "clock_skew")


@requirement("RFC-AITP-0001 5.5", "a message is at most 300 s old, or ahead")
@every_style
@pytest.mark.parametrize("ahead", [420, -420])
async def test_a_clock_beyond_the_window(room: Room, style: Style, ahead: int) -> None:
    async with room.meeting(style, ahead=ahead) as met:
        initiator = await met.client.begin()
        reply = await met.client.send_hello(initiator, initiator.hello())
        assert reply.status == 400
        assert "TIMESTAMP_EXPIRED" in str(reply.body)
