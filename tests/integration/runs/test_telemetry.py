"""What agents report: once, in order, under the step it belongs to, and never acknowledged and lost."""

from __future__ import annotations

import asyncio
import random
import uuid
from typing import Any

import aiohttp
import pytest

from aitp_playground.errors import Unauthorized
from aitp_playground.service import Playground
from tests.support.playground import Outcome, follow, run

from .watching import ACT, DUO, PATIENCE, submit, until, writer

pytestmark = pytest.mark.asyncio(loop_scope="module")


def report(number: int, **fields: Any) -> dict[str, Any]:
    return {"emitter_seq": number, "type": "capability.invoked", "capability": "test.act", **fields}


async def overheard(running: Playground, agent_id: str = "stranger") -> tuple[str, str]:
    """A run in the middle of its step, and a telemetry token of an agent of it that this test plays."""
    run_id = await submit(running, ACT, inputs={"act": "sleep", "seconds": 60})
    await until(running, run_id, "step.started")
    token = uuid.uuid4().hex
    running.services.tokens.admit(token, writer(running, run_id).ref, agent_id, run_id)
    return run_id, token


async def finished(running: Playground, run_id: str, token: str) -> Outcome:
    await running.directory.cancel(run_id)
    running.services.tokens.forget(token)
    return await follow(running, run_id)


async def test_what_is_sent_again_is_not_recorded_again_and_a_gap_is_accepted(clean: Playground) -> None:
    run_id, token = await overheard(clean)
    send = clean.directory.telemetry
    assert await send(token, 2, [report(1), report(2)]) == {"accepted": 2, "emitter_seq": 2}
    assert await send(token, 2, [report(1), report(2)]) == {"accepted": 0, "emitter_seq": 2}
    assert await send(token, 3, [report(2), report(3)]) == {"accepted": 1, "emitter_seq": 3}
    assert await send(token, 9, [report(9)]) == {"accepted": 1, "emitter_seq": 9}
    assert await send(token, 5, [report(5)]) == {"accepted": 0, "emitter_seq": 9}
    outcome = await finished(clean, run_id, token)
    assert len(outcome.of("capability.invoked", agent_id="stranger")) == 4


async def test_a_repeated_batch_is_answered_only_when_its_first_copy_is_on_disk(clean: Playground) -> None:
    run_id, token = await overheard(clean)
    store = clean.services.store
    sent = [asyncio.create_task(clean.directory.telemetry(token, 1, [report(1)])) for _ in range(5)]
    answers = await asyncio.gather(*sent)
    page = await store.read(run_id)
    assert [answer["accepted"] for answer in answers] == [1, 0, 0, 0, 0]
    assert sum(entry.type == "capability.invoked" for entry in page.events) == 1
    await finished(clean, run_id, token)


async def test_a_token_speaks_for_nobody_else_and_no_longer_than_its_run(clean: Playground) -> None:
    run_id, token = await overheard(clean)
    with pytest.raises(Unauthorized):
        await clean.directory.telemetry("a guess", 1, [report(1)])
    await clean.directory.telemetry(token, 1, [report(1, agent_id="worker", run_id="another")])
    ref = writer(clean, run_id).ref
    outcome = await finished(clean, run_id, token)
    (event,) = outcome.of("capability.invoked")
    assert (event.run_id, event.get("agent_id")) == (run_id, "stranger")
    clean.services.tokens.admit(token, ref, "stranger", "")
    with pytest.raises(Unauthorized):
        await clean.directory.telemetry(token, 2, [report(2)])
    clean.services.tokens.forget(token)


async def test_causes_stand_before_their_consequences_under_the_step_they_belong_to(clean: Playground) -> None:
    for _ in range(5):
        outcome = await run(clean, DUO)
        places = {(event.type, event.get("agent_id")): event.seq for event in outcome.events}
        invoked = places["capability.invoked", "callee"]
        assert outcome.of("step.started", step_id="call")[0].seq < invoked
        assert invoked < outcome.of("step.complete", step_id="call")[0].seq
        assert outcome.of("capability.invoked", step_id="call", agent_id="callee")
        for started, complete in zip(outcome.of("handshake.started"), outcome.of("handshake.complete"), strict=True):
            assert started.seq < complete.seq < outcome.of("trust.established")[0].seq


async def test_nothing_is_lost_of_what_was_acknowledged_whenever_the_run_is_cancelled(clean: Playground) -> None:
    rng = random.Random(5)
    async with aiohttp.ClientSession() as http:
        for _ in range(8):
            run_id, token = await overheard(clean)
            acknowledged: list[int] = []
            enough = asyncio.Event()
            goal = rng.randrange(1, 40)
            sender = asyncio.create_task(send_until_refused(http, clean.url, token, acknowledged, goal, enough))
            async with asyncio.timeout(PATIENCE):
                await enough.wait()
            await clean.directory.cancel(run_id)
            await sender
            outcome = await finished(clean, run_id, token)
            recorded = [event.payload["n"] for event in outcome.of("capability.invoked", agent_id="stranger")]
            assert recorded == sorted(set(recorded))
            assert set(acknowledged) <= set(recorded)


async def send_until_refused(
    http: aiohttp.ClientSession, url: str, token: str, acknowledged: list[int], goal: int, enough: asyncio.Event
) -> None:
    """One event a request, each twice, as a sender does that lost the first answer. ``enough``: ``goal`` are in."""
    number = 0
    while True:
        number += 1
        body = {"emitter_seq": number, "events": [report(number, n=number)]}
        posts = [
            http.post(f"{url}/internal/telemetry", json=body, headers={"Authorization": f"Bearer {token}"})
            for _ in range(2)
        ]
        answers = await asyncio.gather(*posts)
        statuses = [answer.status for answer in answers]
        for answer in answers:
            answer.release()
        if 200 in statuses:
            acknowledged.append(number)
            if number == goal:
                enough.set()
        else:
            assert statuses == [401, 401]
            return
