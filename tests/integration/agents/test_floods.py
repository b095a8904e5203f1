"""No stranger can shut an introduced peer out of an agent."""

from __future__ import annotations

import asyncio
import json
import time

import pytest

from base.protocol.budgets import ALL_STRANGERS, AT_ONCE, LONGEST_WAIT, PER_STRANGER, UNPROVEN
from base.protocol.sessions import PAID_FOR
from tests.integration.agents.harness import SdkPeer, Start, TelemetrySink, WorkerProcess, introduce

HELLO = "/aitp/handshake/hello"
COMMIT = "/aitp/handshake/commit"


@pytest.fixture(params=["introduced", "any-verified"])
async def host(start: Start, request: pytest.FixtureRequest) -> WorkerProcess:
    return await start("host", accept=request.param)


async def statuses(host: WorkerProcess, messages: list[str]) -> list[int]:
    return [(await host.request("POST", HELLO, message)).status for message in messages]


async def test_one_stranger_gets_ten_hellos_a_minute_and_then_429_with_nothing_in_it(host: WorkerProcess) -> None:
    stranger = SdkPeer("stranger")
    hellos = [(await stranger.hello(host))[1] for _ in range(PER_STRANGER + 3)]
    seen = await statuses(host, hellos)
    assert 429 not in seen[:PER_STRANGER]
    assert seen[PER_STRANGER:] == [429] * 3
    flooded = await host.request("POST", HELLO, hellos[-1])
    assert (flooded.status, flooded.body) == (429, b"")
    assert 1 <= int(flooded.headers["Retry-After"]) <= 60
    other = await host.request("POST", HELLO, (await SdkPeer("other").hello(host))[1])
    assert other.status != 429


async def test_strangers_under_any_number_of_names_leave_an_honest_peer_alone(
    host: WorkerProcess, sink: TelemetrySink
) -> None:
    honest = SdkPeer("honest")
    await introduce(host, honest)
    session, commit, session_id = await honest.open(host)

    async def stranger(number: int) -> int:
        message = (await SdkPeer(f"s{number}").hello(host))[1]
        return (await host.request("POST", HELLO, message)).status

    seen = await asyncio.gather(*(stranger(number) for number in range(200)))
    assert sum(status != 429 for status in seen) == ALL_STRANGERS
    answer = await host.request("POST", COMMIT, commit, {"X-Aitp-Session-Id": session_id})
    assert answer.status == 200, "its open session is still there"
    session.complete(json.dumps(answer.body), revoked_jtis=set())
    # More than strangers may, and fewer than a peer may send in a second.
    for _ in range(ALL_STRANGERS + 10):
        await honest.token_from(host)


@pytest.mark.parametrize("known", [True, False])
async def test_messages_in_an_honest_peers_name_are_strangers_and_do_not_use_up_what_it_has(
    host: WorkerProcess, known: bool
) -> None:
    honest = SdkPeer("honest")
    forged = json.loads((await honest.hello(host))[1]) | {"signature": "A" * 86}
    if known:
        await introduce(host, honest)
    answers = await asyncio.gather(*(host.request("POST", HELLO, json.dumps(forged)) for _ in range(300)))
    looked_at = [answer.body["error"] for answer in answers if answer.status != 429]
    assert [error["code"] for error in looked_at] == ["INVALID_SIGNATURE"] * PER_STRANGER
    assert not any("details" in error for error in looked_at)
    await introduce(host, honest)
    await honest.token_from(host)


async def test_a_stranger_in_the_middle_of_its_handshake_may_finish_it(start: Start) -> None:
    host = await start("host", accept="any-verified")
    guest = SdkPeer("guest")
    session, commit, _ = await guest.open(host)
    for number in range(ALL_STRANGERS):
        await host.request("POST", HELLO, (await SdkPeer(f"s{number}").hello(host))[1])
    answer = await host.request("POST", COMMIT, commit)
    assert answer.status == 200, answer
    session.complete(json.dumps(answer.body), revoked_jtis=set())


async def test_an_open_handshake_does_not_let_a_stranger_send_what_it_likes(start: Start) -> None:
    host = await start("host", accept="any-verified")
    guest = SdkPeer("guest")
    session, commit, _ = await guest.open(host)
    forged = json.dumps(json.loads(commit) | {"signature": "A" * 86})
    answers = [await host.request("POST", COMMIT, forged) for _ in range(PER_STRANGER + 5)]
    # Its hello was one of those that it may send in a minute.
    assert [answer.status for answer in answers].count(400) == PAID_FOR + PER_STRANGER - 1
    assert answers[-1].status == 429
    await introduce(host, guest)
    answer = await host.request("POST", COMMIT, commit)
    assert answer.status == 200, answer
    session.complete(json.dumps(answer.body), revoked_jtis=set())


@pytest.mark.parametrize(
    ("path", "body", "headers"),
    [
        ("/aitp/pop/challenge", "{}", {"X-AITP-TCT": "e30.e30.e30"}),
        ("/aitp/delegation/challenge", '{"delegation_token": "a.b.c"}', {}),
        ("/capabilities/demo.echo", "{}", {}),
        ("/aitp/handshake/", "[]", {}),
    ],
)
async def test_who_shows_nothing_is_answered_at_a_walk(
    worker: WorkerProcess, path: str, body: str, headers: dict[str, str]
) -> None:
    began = time.monotonic()
    answers = await asyncio.gather(
        *(worker.request("POST", path, body, headers) for _ in range(AT_ONCE + 2 * UNPROVEN))
    )
    assert {answer.status for answer in answers} <= {200, 400, 403}
    # Sooner would be a door without a keeper; however much later, it was this machine.
    assert time.monotonic() - began > 0.9 * LONGEST_WAIT


async def test_each_key_that_is_taken_from_a_stranger_is_told_once(start: Start, sink: TelemetrySink) -> None:
    host = await start("host", accept="any-verified")
    guest = SdkPeer("guest")
    for _ in range(2):
        await guest.token_from(host)
    await host.admin("flush", {})
    told = sink.of_type("stranger.accepted")
    assert [(event["aid"], event["payload"]) for event in told] == [(guest.aid, {"accept": "any-verified"})]
