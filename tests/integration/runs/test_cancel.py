"""Cancel, at any moment, ends a run once, takes its agents with it and tells the truth."""

from __future__ import annotations

import asyncio
import random

import pytest

from aitp_playground.runs.messages import Begin, CancelRun
from aitp_playground.runs.requests import CancelOutcome
from aitp_playground.service import Playground
from tests.support.playground import Outcome, follow
from tests.support.rounds import ROUNDS

from .watching import ACT, DUO, gone, launches, living, submit, terminals, until, writer

pytestmark = pytest.mark.asyncio(loop_scope="module")


def consistent(answers: list[CancelOutcome], outcome: Outcome) -> None:
    """One terminal event, at the end; every answer fits the run's status."""
    assert terminals(outcome) == [outcome.types[-1]]
    assert outcome.status == {"run.cancelled": "cancelled", "run.complete": "success"}[outcome.types[-1]]
    for answer in answers:
        if answer.cancelled:
            assert outcome.status == "cancelled"
            assert answer.status == "cancelled"
        else:
            assert answer.reason == "already terminal"
            assert answer.status == outcome.status
    started = [event.get("step_id") for event in outcome.of("step.started")]
    ended = [event.get("step_id") for event in outcome.events if event.type in {"step.complete", "step.failed"}]
    assert started == ended


#: More than a run of these tests has events: whoever waits for it waits for the end.
BEYOND = 1_000


async def cancelled_at(running: Playground, rng: random.Random, *, moment: int) -> tuple[list[CancelOutcome], Outcome]:
    """``moment``: after so many events; 0 is at once."""
    run_id = await submit(running, DUO, inputs={"act": "sleep", "seconds": 0.05})
    followed = asyncio.create_task(follow(running, run_id))
    if moment:
        async for batch in running.directory.stream(run_id):
            if batch[-1].seq >= moment:
                break
    for _ in range(rng.randrange(4)):
        await asyncio.sleep(0)
    if rng.random() < 0.3:
        await asyncio.sleep(rng.random() * 0.03)
    calls = rng.choice([1, 1, 2])
    answers = await asyncio.gather(*(running.directory.cancel(run_id) for _ in range(calls)))
    return answers, await followed


@pytest.mark.parametrize("seed", range(20, 20 + ROUNDS))
async def test_at_fifty_random_moments_a_cancel_ends_the_run_once_and_says_what_happened(
    clean: Playground, seed: int
) -> None:
    rng = random.Random(seed)
    with launches(clean) as pids:
        async with asyncio.timeout(300):
            # Two are over by then; the last ones wait for a place when they are cancelled, behind all the others.
            moments = [*(rng.randrange(25) for _ in range(43)), BEYOND, BEYOND, *[0] * 5]
            ends = await asyncio.gather(*(cancelled_at(clean, rng, moment=moment) for moment in moments))
    for answers, outcome in ends:
        consistent(answers, outcome)
    assert {outcome.status for _, outcome in ends} == {"cancelled", "success"}
    assert any("run.started" not in outcome.types for _, outcome in ends), "no pending run was cancelled"
    assert pids
    assert not living(pids)


async def test_when_the_answer_comes_the_agents_are_gone(clean: Playground) -> None:
    with launches(clean) as pids:
        run_id = await submit(clean, DUO, inputs={"act": "sleep", "seconds": 60})
        await until(clean, run_id, "step.started")
        answer = await clean.directory.cancel(run_id)
        assert answer == CancelOutcome(run_id, "cancelled", cancelled=True)
        assert not living(pids)
    again = await clean.directory.cancel(run_id)
    assert again == CancelOutcome(run_id, "cancelled", cancelled=False, reason="already terminal")


async def test_a_cancel_while_the_agents_are_dismissed_still_waits_for_their_end(clean: Playground) -> None:
    """The agent takes two seconds to be killed; the run's work is over, its end is not."""
    with launches(clean) as pids:
        run_id = await submit(clean, template="impatient", inputs={"act": "defy"})
        await until(clean, run_id, "step.failed")
        (answer, other), outcome = await asyncio.gather(
            asyncio.gather(clean.directory.cancel(run_id), clean.directory.cancel(run_id)), follow(clean, run_id)
        )
        assert not living(pids)
    assert answer.cancelled
    assert other.cancelled
    assert terminals(outcome) == ["run.cancelled"]
    assert await clean.directory.agent_log(run_id, "worker"), "its output was not kept"


async def test_an_agent_that_ignores_sigterm_is_killed_within_bounds(clean: Playground) -> None:
    with launches(clean) as pids:
        run_id = await submit(clean, ACT, inputs={"act": "defy"})
        await until(clean, run_id, "step.started")
        async with asyncio.timeout(300):
            answer = await clean.directory.cancel(run_id)
            outcome = await follow(clean, run_id)
        await gone(pids)
    assert answer.cancelled
    assert outcome.status == "cancelled"
    assert outcome.types[-2:] == ["step.failed", "run.cancelled"]


async def test_a_cancel_in_the_same_breath_as_the_start_is_not_lost(clean: Playground) -> None:
    """The conductor is cancelled before its first step, and the actor has to hear of that too."""
    async with asyncio.timeout(300):
        blocker = [await submit(clean, ACT, inputs={"act": "sleep", "seconds": 60}) for _ in range(8)]
        run_id = await submit(clean, ACT)
        ref = writer(clean, run_id).ref
        ref.tell(Begin())
        assert await ref.ask(CancelRun(), timeout=300) == "cancelled"
        outcome = await follow(clean, run_id)
        await asyncio.gather(*(clean.directory.cancel(other) for other in blocker))
    assert outcome.types == ["run.started", "run.cancelled"]


async def test_a_step_cut_short_has_its_end_in_the_log(clean: Playground) -> None:
    run_id = await submit(clean, DUO, inputs={"act": "sleep", "seconds": 60})
    async for batch in clean.directory.stream(run_id):
        if any(entry.type == "step.started" and b'"call"' in entry.body for entry in batch):
            break
    await clean.directory.cancel(run_id)
    outcome = await follow(clean, run_id)
    (cut,) = outcome.of("step.failed")
    assert cut.fields["step_id"] == "call"
    assert cut.fields["agent"] == "caller"
    assert cut.fields["capability"] == "test.act"
    assert cut.fields["error"] == "the run was cancelled"
