"""What an agent reports belongs to a step when the call it tells of was the step's, not when it falls into its time."""

from __future__ import annotations

import aiohttp
import pytest

from aitp_playground.runs.conducting import step_marks
from aitp_playground.service import Playground
from tests.support.playground import follow, run

from .watching import ACT, DUO, submit, until

pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest.mark.parametrize("mark", [None, "act", "0.616374." + "0" * 64, "x" * 2000])
async def test_a_call_from_outside_in_the_middle_of_a_step_is_not_the_steps(
    clean: Playground, mark: str | None
) -> None:
    run_id = await submit(clean, ACT, inputs={"act": "sleep", "seconds": 60})
    await until(clean, run_id, "step.started")
    (row,) = [row for row in clean.directory.agents() if row.run_id == run_id]
    headers = {} if mark is None else {step_marks.HEADER: mark}
    url = f"http://127.0.0.1:{row.port}/capabilities/test.act"
    async with aiohttp.ClientSession() as stranger, stranger.post(url, json={}, headers=headers) as answer:
        assert answer.status == 403
    denied = await until(clean, run_id, "capability.denied")
    await clean.directory.cancel(run_id)
    outcome = await follow(clean, run_id)
    assert (denied.get("step_id"), denied.get("agent")) == (None, None)
    assert denied.get("agent_id") == row.agent_id
    assert not outcome.of("capability.denied", step_id="act")
    assert all("step_mark" not in event.fields and "step_mark" not in event.payload for event in outcome.events)


async def test_what_a_step_has_its_agents_do_is_the_steps_at_both_ends(clean: Playground) -> None:
    outcome = await run(clean, DUO)
    (call,) = outcome.of("step.started", step_id="call")
    (invoked,) = outcome.of("capability.invoked", step_id="call")
    assert invoked.get("agent_id") != call.get("agent")
    assert invoked.get("agent") == call.get("agent")


async def test_a_mark_tells_its_step_and_cannot_be_made_up() -> None:
    first, second = step_marks.mark_of("a-step"), step_marks.mark_of("a-step")
    assert first != second
    assert (step_marks.step_of(first), step_marks.step_of(second)) == ("a-step", "a-step")
    other = step_marks.mark_of("another")
    signed, _, signature = first.rpartition(".")
    for forged in (None, 7, "", ".", "..", signed, signed + ".", f"{other.rpartition('.')[0]}.{signature}", first[:-1]):
        assert step_marks.step_of(forged) is None
    assert step_marks.headers() == {}
    with step_marks.marked("a-step", 3_600):
        assert step_marks.step_of(step_marks.headers()[step_marks.HEADER]) == "a-step"
        assert 0 < float(step_marks.headers()[step_marks.SECONDS_HEADER]) <= 3_600
    with step_marks.marked("a-step", 0):
        assert step_marks.headers()[step_marks.SECONDS_HEADER] == "0.000"
    assert step_marks.headers() == {}
