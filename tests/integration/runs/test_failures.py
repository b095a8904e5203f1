"""Agents that fail in every way they can: the run fails with an error that names them, and nothing is left."""

from __future__ import annotations

import asyncio
import re

import pytest

from aitp_playground.runs.conducting import conductor
from aitp_playground.service import Playground
from tests.support.playground import run

from .watching import ACT, DUO, launches, living, terminals

pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest.mark.parametrize(
    ("template", "says", "code"),
    [
        ("exit", r"worker .*exit code 4.*no licence for this corpus", 4),
        ("silent", r"worker was not ready within 0\.7 s", -9),
        ("garbage", r"worker was not ready within 0\.7 s; its stderr ends: ", -9),
        ("malformed", r"worker.* ready line is not", -9),
        ("foreign", r"worker.* ready line names port 1", -9),
    ],
)
async def test_an_agent_that_never_gets_ready_fails_its_run_and_shows_as_crashed(
    clean: Playground, template: str, says: str, code: int
) -> None:
    with launches(clean) as pids:
        async with asyncio.timeout(300):
            outcome = await run(clean, ACT, template=template)
        assert not living(pids)
    assert outcome.types == ["run.started", "agent.spawning", "run.failed"]
    assert outcome.view.error is not None
    assert re.search(says, outcome.view.error, re.DOTALL)
    (row,) = [row for row in clean.directory.agents() if row.run_id == outcome.run_id]
    assert (row.status, row.exit_code, row.aid) == ("crashed", code, "")


@pytest.mark.parametrize(("ref", "agent"), [(ACT, "worker"), (DUO, "callee")])
async def test_an_agent_that_dies_in_a_step_fails_its_run_by_name(clean: Playground, ref: str, agent: str) -> None:
    with launches(clean) as pids:
        outcome = await run(clean, ref, inputs={"act": "die"})
        assert not living(pids)
    assert terminals(outcome) == ["run.failed"]
    assert outcome.view.error is not None
    assert f"agent {agent} exited with code 3" in outcome.view.error
    assert outcome.view.error.endswith("the corpus is on fire")
    assert len(outcome.of("step.failed")) == 1
    rows = {row.agent_id: row for row in clean.directory.agents() if row.run_id == outcome.run_id}
    assert (rows[agent].status, rows[agent].exit_code) == ("crashed", 3)
    assert "the corpus is on fire" in await clean.directory.agent_log(outcome.run_id, agent)


async def test_a_capability_that_raises_fails_the_step_and_tells_no_more_than_its_kind(clean: Playground) -> None:
    outcome = await run(clean, DUO, inputs={"act": "raise"})
    assert outcome.failed_step == "call"
    assert "test.act failed: ValueError; its trace is in the agent's log" in str(outcome.view.error)
    assert "no such article" not in str(outcome.view.error)
    assert outcome.outputs == {"own": {"act": "raise", "seconds": 0, "count": 0}}


async def test_a_capability_that_hangs_runs_into_the_steps_time(clean: Playground) -> None:
    outcome = await run(clean, ACT, template="impatient", inputs={"act": "sleep", "seconds": 60})
    assert outcome.failed_step == "act"
    assert "more than 0.3 s (timeout_ms)" in str(outcome.view.error)


async def test_a_flood_of_telemetry_is_in_the_log_whole_and_in_order(clean: Playground) -> None:
    outcome = await run(clean, ACT, inputs={"act": "flood", "count": 3000})
    assert outcome.status == "success"
    assert len(outcome.of("capability.invoked", step_id="act")) == 3000


async def test_a_flood_beyond_the_runs_limit_ends_the_run(clean: Playground, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("aitp_playground.runs.log.MAX_EVENTS", 2000)
    outcome = await run(clean, ACT, inputs={"act": "flood", "count": 6000})
    assert outcome.status == "failed"
    assert "more than 2000 events" in str(outcome.view.error)
    assert len(outcome.events) < 4000


async def test_a_defect_in_the_conductor_fails_the_run_and_ends_its_step(
    clean: Playground, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: object) -> None:
        raise ExceptionGroup("several", [KeyError("hush-secret")])

    monkeypatch.setattr(conductor, "_size", broken)
    with launches(clean) as pids:
        outcome = await run(clean, ACT)
        assert not living(pids)
    assert outcome.view.error == "internal error: ExceptionGroup; the server's log has the details"
    assert outcome.types[-2:] == ["step.failed", "run.failed"]


async def test_an_expectation_that_does_not_hold_fails_the_run_at_its_step(clean: Playground) -> None:
    outcome = await run(clean, DUO, template="strict")
    assert outcome.failed_step == "own"
    assert re.search(r"step own failed: .*\$\.act equals .something else., was .echo.", str(outcome.view.error))
    (failed,) = outcome.of("step.failed")
    assert failed.payload["details"] == [
        {"path": "$.act", "operator": "equals", "expected": "something else", "actual": "echo"}
    ]
    assert not outcome.of("step.started", step_id="never")
