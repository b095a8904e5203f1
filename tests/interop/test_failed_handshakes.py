"""Handshakes that fail half-way: who reports the failure has given nothing that is still good."""

from __future__ import annotations

import json
from typing import Any

import pytest
from aiohttp import web

from tests.interop import commit_rows, hello_rows
from tests.interop.conftest import Meeting, Room
from tests.interop.foreign.client import SESSION, Style
from tests.interop.foreign.envelopes import Envelope, opened
from tests.interop.foreign.server import Instead
from tests.interop.foreign.tokens import claims_of
from tests.interop.rows import Row, parameters

every_style = pytest.mark.parametrize("style", ["rfc", "binding"])
pytestmark = pytest.mark.asyncio(loop_scope="module")
discards = pytest.mark.requirement("RFC-AITP-0004 6", "the side that fails discards what the handshake had brought")


async def garbage(_request: web.Request, _message: Envelope) -> web.StreamResponse:
    return web.json_response({"nothing": "of the kind"})


async def no_json(_request: web.Request, _message: Envelope) -> web.StreamResponse:
    return web.Response(text="<p>hello</p>", content_type="text/html")


async def hang_up(request: web.Request, _message: Envelope) -> web.StreamResponse:
    assert request.transport is not None
    request.transport.abort()
    return web.Response()


async def half_an_answer(request: web.Request, message: Envelope) -> web.StreamResponse:
    answer = web.StreamResponse(headers={"Content-Type": "application/json", "Content-Length": "5000"})
    await answer.prepare(request)
    await answer.write(json.dumps(message).encode()[:200])
    return await hang_up(request, message)


async def broken(_request: web.Request, _message: Envelope) -> web.StreamResponse:
    return web.Response(status=500, text="oh dear")


async def eight_mib(_request: web.Request, message: Envelope) -> web.StreamResponse:
    return web.Response(text=json.dumps(message) + " " * (8 << 20), content_type="application/json")


async def elsewhere(_request: web.Request, _message: Envelope) -> web.StreamResponse:
    return web.Response(status=302, headers={"Location": "/somewhere/else"})


async def by_another_key(_request: web.Request, message: Envelope) -> web.StreamResponse:
    hello_rows.by_another_key(None, message)  # type: ignore[arg-type]
    return web.json_response(message)


BREAKS: dict[str, Instead] = {
    "garbage": garbage,
    "no JSON": no_json,
    "a closed connection": hang_up,
    "half an answer": half_an_answer,
    "an error of the server": broken,
    "a redirection": elsewhere,
    "eight MiB": eight_mib,
    "another key's signature": by_another_key,
}


def instead(row: Row, met: Meeting, stage: str) -> None:
    """Have the foreign agent answer as the row says."""
    met.server.conduct.alter[stage] = lambda envelope: row.signed(met.foreign, envelope)

    async def late(_request: web.Request, message: Envelope) -> web.StreamResponse:
        row.late(met.foreign, message)
        return web.Response(text=json.dumps(message), content_type="application/json", headers=met.server.session)

    met.server.conduct.instead[stage] = late


async def presented(met: Meeting) -> tuple[int, Any]:
    """What becomes of the token in our commit when its holder shows it: ``(status, code)``."""
    [token] = met.server.tokens
    reply = await met.client.call("demo.echo", tct=token)
    return reply.status, met.client.told(reply).code


async def is_worthless(met: Meeting) -> None:
    """The token in our commit is refused and on our list."""
    assert await presented(met) == (403, "TCT_REVOKED")
    [token] = met.server.tokens
    assert claims_of(token)["jti"] in await met.client.denied()


async def fails(met: Meeting) -> dict[str, Any]:
    """The details of the failure that ours reports; no token of the peer's is held."""
    answer = await met.shake(direction="both")
    assert (answer.status, answer.body["error"]["code"]) == (502, "peer_failed"), answer
    held = await met.invoke("far.look")
    assert (held.status, held.body["error"]["code"]) == (409, "no_tct_held")
    details: dict[str, Any] = answer.body["error"]["details"]
    return details


@discards
@every_style
async def test_a_token_of_a_handshake_that_did_not_fail_is_good(room: Room, style: Style) -> None:
    async with room.meeting(style) as met:
        assert (await met.shake(direction="both")).status == 200
        assert await presented(met) == (200, None)


@discards
@every_style
@pytest.mark.parametrize("how", BREAKS)
async def test_broken_at_the_acknowledgement_no_token_leaves(room: Room, style: Style, how: str) -> None:
    async with room.meeting(style) as met:
        met.server.conduct.instead["ack"] = BREAKS[how]
        await fails(met)
        assert not met.server.messages("mutual_commit")


@discards
@every_style
@pytest.mark.parametrize("how", BREAKS)
async def test_broken_after_the_commit_its_token_is_worthless(room: Room, style: Style, how: str) -> None:
    async with room.meeting(style) as met:
        met.server.conduct.instead["commit_ack"] = BREAKS[how]
        await fails(met)
        await is_worthless(met)


ACKS = [row for row in [*hello_rows.ENVELOPES, *hello_rows.GREETINGS] if row.name != "an acknowledgement"]


@pytest.mark.requirement("RFC-AITP-0004 5.2", "an acknowledgement is verified before a commit is sent")
@pytest.mark.parametrize("row", parameters(ACKS))
async def test_no_commit_follows_an_acknowledgement_out_of_the_ordinary(room: Room, row: Row) -> None:
    async with room.meeting(suite=row.suite) as met:
        instead(row, met, "ack")
        details = await fails(met)
        assert details["code"] in row.codes | {"INVALID_ENVELOPE"}
        assert not met.server.messages("mutual_commit")


@pytest.mark.requirement("RFC-AITP-0004 5.2", "an acknowledgement is verified before a commit is sent")
@pytest.mark.parametrize("row", parameters(hello_rows.ACCEPTED))
async def test_a_commit_follows_an_unusual_acknowledgement(room: Room, row: Row) -> None:
    async with room.meeting(suite=row.suite) as met:
        instead(row, met, "ack")
        answer = await met.shake(direction="both")
        assert answer.status == 200, answer


@discards
@pytest.mark.parametrize("row", parameters(commit_rows.REFUSED))
async def test_after_an_acknowledged_commit_out_of_the_ordinary_nothing_is_left(room: Room, row: Row) -> None:
    async with room.meeting(suite=row.suite) as met:
        instead(row, met, "commit_ack")
        details = await fails(met)
        assert details["code"] in row.codes | {"INVALID_ENVELOPE"}
        await is_worthless(met)


@pytest.mark.requirement("RFC-AITP-0004 5.4", "what is unusual but allowed is no failure")
@pytest.mark.parametrize("row", parameters(commit_rows.ACCEPTED))
async def test_an_unusual_acknowledgement_of_the_commit_is_taken(room: Room, row: Row) -> None:
    async with room.meeting(suite=row.suite) as met:
        instead(row, met, "commit_ack")
        answer = await met.shake(direction="both")
        assert answer.status == 200, answer
        assert await presented(met) == (200, None)


@pytest.mark.requirement("RFC-AITP-0004 5.2", "an acknowledgement echoes the nonce of its hello")
@pytest.mark.parametrize("style", ["rfc", "binding"])
async def test_another_nonces_echo_is_not_followed_by_a_commit(room: Room, style: Style) -> None:
    async with room.meeting(style) as met:
        met.server.conduct.alter["ack"] = lambda envelope: envelope["payload"].update(pop_nonce_echo="A" * 22)
        assert (await fails(met))["code"] == "NONCE_MISMATCH"
        assert not met.server.messages("mutual_commit")


@pytest.mark.requirement("RFC-AITP-0001 5.5", "a message is taken once")
async def test_the_acknowledgement_of_an_earlier_handshake_is_not_taken(room: Room) -> None:
    async with room.meeting() as met:
        first: list[Envelope] = []

        async def replay(_request: web.Request, message: Envelope) -> web.StreamResponse:
            first.append(message)
            return web.json_response(first[0])

        met.server.conduct.instead["ack"] = replay
        assert (await met.shake(direction="both")).status == 200
        answer = await met.shake(direction="both")
        assert answer.body["error"]["details"]["code"] == "REPLAY_DETECTED"
        assert len(met.server.messages("mutual_commit")) == 1


@pytest.mark.requirement("RFC-AITP-0001 5.6", "an error that a peer tells is read in either form")
@every_style
@pytest.mark.parametrize("stage", ["ack", "commit_ack"])
@pytest.mark.parametrize("code", ["POLICY_VIOLATION", "TIMESTAMP_EXPIRED"])
async def test_the_code_that_a_peer_refuses_with_is_reported(room: Room, style: Style, stage: str, code: str) -> None:
    async with room.meeting(style) as met:
        retryable = code == "TIMESTAMP_EXPIRED"

        async def refuse(_request: web.Request, _message: Envelope) -> web.StreamResponse:
            return met.server.refusal(code, "not today", retryable=retryable)

        met.server.conduct.instead[stage] = refuse
        details = await fails(met)
        assert details["code"] == code
        if style == "rfc":
            assert details["retryable"] is retryable
        assert len(met.server.messages("mutual_hello")) == 1
        if stage == "commit_ack":
            await is_worthless(met)


@pytest.mark.requirement("RFC-AITP-0001 5.6", "an error that another key signed is nobody's word")
async def test_an_error_that_somebody_else_signed_says_nothing(room: Room) -> None:
    async with room.meeting() as met:

        async def refuse(_request: web.Request, _message: Envelope) -> web.StreamResponse:
            error = met.foreign.message("error", {"code": "TCT_REVOKED", "reason": "no", "retryable": True})
            hello_rows.by_another_key(met.foreign, error)
            return web.json_response(error, status=400)

        met.server.conduct.instead["ack"] = refuse
        details = await fails(met)
        assert details.get("code") != "TCT_REVOKED"
        assert details.get("retryable") is not True


@discards
@pytest.mark.requirement("RFC-AITP-0004 6", "the side that fails says so with a signed error")
@every_style
async def test_ours_says_when_the_last_message_was_no_good(room: Room, style: Style) -> None:
    async with room.meeting(style) as met:
        met.server.conduct.alter["commit_ack"] = lambda envelope: envelope["payload"].update(pop_signature="x")
        await fails(met)
        [error] = met.server.messages("error")
        told = opened(error, met.ours.aid, "error", met.foreign.now())
        assert told.keys() == {"code", "reason", "retryable"}
        assert met.ours.aid not in met.foreign.held


@discards
@every_style
async def test_a_commit_that_ours_refuses_leaves_ours_nothing(room: Room, style: Style) -> None:
    async with room.meeting(style) as met:
        initiator = await met.client.greet(["demo.echo"])
        commit = initiator.commit(lambda envelope: envelope["payload"].update(pop_signature="x"))
        assert (await met.client.send_commit(initiator, commit)).status == 400
        held = await met.invoke("far.look")
        assert (held.status, held.body["error"]["code"]) == (409, "no_tct_held")
        other = await met.client.greet(["demo.echo"])
        met.client.wanted(await met.client.send_commit(other, other.commit()))
        assert (await met.invoke("far.look")).body["status_code"] == 200


@pytest.mark.requirement("RFC-AITP-0004 6", "what a handshake brought is discarded when the other side says it failed")
@every_style
async def test_ours_takes_back_what_it_gave_when_told_that_the_handshake_failed(room: Room, style: Style) -> None:
    async with room.meeting(style) as met:
        initiator = await met.client.greet(["demo.echo"])
        reply = await met.client.send_commit(initiator, initiator.commit())
        grant = initiator.take_commit_ack(met.client.wanted(reply))
        assert (await met.client.call("demo.echo")).status == 200
        error = {"code": "TCT_SIGNATURE_INVALID", "reason": "not good", "retryable": False}
        forged = met.foreign.message("error", error)
        hello_rows.by_another_key(met.foreign, forged)
        await met.client.send_commit(initiator, forged)
        assert (await met.client.call("demo.echo")).status == 200
        # Only under the session's id, whatever the style: an error without one may have been signed for anybody.
        await met.client.post(met.client.place(initiator, "commit"), met.foreign.message("error", error))
        assert (await met.client.call("demo.echo")).status == 200
        await met.client.post(
            met.client.place(initiator, "commit"),
            met.foreign.message("error", error),
            {SESSION: str(met.client.session)},
        )
        refused = await met.client.call("demo.echo", tct=grant.tct)
        assert (refused.status, met.client.told(refused).code) == (403, "TCT_REVOKED")
