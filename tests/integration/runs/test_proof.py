"""What could not be tried leaves a run successful and unproven, and what builds on it is not tried either."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from pathlib import Path
from typing import Any, Literal

import pytest
import pytest_asyncio

from aitp_playground import service
from aitp_playground.runs.actor import RunActor
from aitp_playground.runs.messages import Conducted, RunMessage
from aitp_playground.scenarios.catalog import Catalog
from aitp_playground.scenarios.models import ResolvedScenario
from aitp_playground.service import Playground
from aitp_playground.steps import STEP_TYPES, Step
from aitp_playground.steps.base import Completed, Skipped, StepContext, StepOutcome
from tests.support.playground import Outcome, run

from .watching import ACT, at_rest, launches, living, unruly_playground

pytestmark = pytest.mark.asyncio(loop_scope="module")


class OutwardStep(Step):
    """Depends on something outside that is down, or absent, or there: as the test says."""

    type: Literal["test_outward"] = "test_outward"
    outside: Literal["down", "absent", "there"]

    async def run(self, ctx: StepContext) -> StepOutcome:
        if self.outside == "absent":
            return Skipped(notes="nothing outside", output={"skipped": "no outside"})
        return Completed({"done": self.outside == "there"}, degraded_by_cp=self.outside == "down")


class LateStep(Step):
    """What it brings about happens after it is over."""

    type: Literal["test_late"] = "test_late"

    async def run(self, ctx: StepContext) -> StepOutcome:
        async def happen() -> None:
            await asyncio.sleep(0.3)
            await ctx.record("cp.degraded", operation="something", cause="timeout")

        HAPPENING.add(asyncio.create_task(happen()))
        return Completed({})


HAPPENING: set[asyncio.Task[None]] = set()

EXPECTS_IT: Mapping[str, Any] = {"expect": [{"path": "$.done", "equals": True}]}


class ChangedCatalog(Catalog):
    """The scenarios as they are on disk, with the steps a test wants."""

    steps: tuple[Step, ...] = ()

    async def kept(self, ref: str, template: str | None = None) -> tuple[ResolvedScenario, str, bytes]:
        found, digest, body = await super().kept(ref, template)
        scenario = found.scenario.model_copy(deep=True)
        spec = scenario.spec.model_copy(
            update={"workflow": scenario.spec.workflow.model_copy(update={"steps": self.steps})}
        )
        return found.model_copy(update={"scenario": scenario.model_copy(update={"spec": spec})}), digest, body


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def changed(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Playground]:
    patch = pytest.MonkeyPatch()
    patch.setattr(service, "Catalog", ChangedCatalog)
    async with unruly_playground(tmp_path_factory.mktemp("changed")) as started:
        yield started
    patch.undo()


async def run_steps(running: Playground, *steps: dict[str, Any]) -> Outcome:
    types: dict[str, type[Step]] = {**STEP_TYPES, "test_outward": OutwardStep, "test_late": LateStep}
    assert isinstance(running.catalog, ChangedCatalog)
    running.catalog.steps = tuple(types[step["type"]].model_validate(step) for step in steps)
    return await run(running, ACT)


def outward(step_id: str, outside: str, **fields: Any) -> dict[str, Any]:
    return {"id": step_id, "type": "test_outward", "outside": outside, **fields}


async def test_a_degraded_step_leaves_its_dependents_untried_and_the_run_unproven(changed: Playground) -> None:
    outcome = await run_steps(
        changed,
        outward("first", "down", **EXPECTS_IT),
        outward("second", "there", requires=["first"], **EXPECTS_IT),
        outward("third", "there", requires=["second"]),
        outward("free", "there", **EXPECTS_IT),
    )
    assert (outcome.status, outcome.view.proof) == ("success", "unproven")
    assert outcome.of("step.complete", step_id="first")[0].payload["unproven"].startswith("the Control Plane's part")
    assert outcome.view.unproven_because[0].startswith("step first: ")
    skipped = {event.get("step_id"): event for event in outcome.of("step.skipped")}
    assert set(skipped) == {"second", "third"}
    assert "requires first" in skipped["second"].get("notes")
    assert "requires second" in skipped["third"].get("notes")
    assert all(event.payload["unproven"] is True for event in skipped.values())
    assert outcome.outputs == {"first": {"done": False}, "free": {"done": True}}


async def test_with_everything_there_the_same_workflow_is_proven(changed: Playground) -> None:
    outcome = await run_steps(
        changed,
        outward("first", "there", **EXPECTS_IT),
        outward("second", "there", requires=["first"], **EXPECTS_IT),
    )
    assert (outcome.status, outcome.view.proof) == ("success", "proven")
    assert not outcome.of("step.skipped")


async def test_a_claim_that_nothing_could_contradict_counts_for_nothing(changed: Playground) -> None:
    nothing = [{"event": "capability.invoked", "max": 0}]
    outcome = await run_steps(changed, {"id": "idle", "type": "meta", "expect": nothing})
    assert (outcome.status, outcome.view.proof) == ("success", "unproven")
    assert "no claim" in outcome.view.unproven_because[0]
    beside = outward("done", "there", expect=[*nothing, *EXPECTS_IT["expect"]])
    outcome = await run_steps(changed, beside)
    assert outcome.of("step.complete")[0].payload["checked"] == 1
    assert (outcome.status, outcome.view.proof) == ("success", "proven")


async def test_a_step_that_requires_a_skipped_one_is_not_tried(changed: Playground) -> None:
    outcome = await run_steps(
        changed, outward("first", "absent"), outward("second", "there", requires=["first"], **EXPECTS_IT)
    )
    assert [event.get("step_id") for event in outcome.of("step.skipped")] == ["first", "second"]
    assert (outcome.status, outcome.view.proof) == ("success", "unproven")
    assert outcome.outputs == {"first": {"skipped": "no outside"}}


async def test_an_expectation_of_a_step_that_was_tried_fails_the_run(changed: Playground) -> None:
    outcome = await run_steps(
        changed, outward("first", "there", expect=[{"path": "$.done", "equals": False}]), outward("second", "there")
    )
    assert outcome.failed_step == "first"
    assert "$.done equals false, was true" in str(outcome.view.error).lower()
    assert not outcome.of("step.started", step_id="second")


async def test_what_comes_late_is_waited_for_as_long_as_is_said(changed: Playground) -> None:
    waited = {"event": "cp.degraded", "where": {"operation": "something"}, "within_ms": 10_000}
    outcome = await run_steps(changed, {"id": "late", "type": "test_late", "expect": [waited]})
    assert outcome.status == "success", outcome.view.error
    assert len(outcome.of("cp.degraded", step_id="late")) == 1
    await asyncio.gather(*HAPPENING)


async def test_an_output_beyond_its_bound_fails_its_step(changed: Playground) -> None:
    big = {"id": "big", "type": "workflow", "agent": "worker", "capability": "test.act"}
    outcome = await run_steps(changed, {**big, "input_template": {"act": "echo", "filler": "x" * (1024 * 1024)}})
    assert outcome.failed_step == "big"
    assert "bytes of JSON" in str(outcome.view.error)


async def test_a_defect_in_a_runs_actor_fails_that_run_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The first actor dies over the conductor's report; its place, its agents and its readers are not lost with it."""
    work = RunActor.on_message
    met: list[Conducted] = []

    async def defective(self: RunActor, message: RunMessage) -> Any:
        if isinstance(message, Conducted) and not met:
            met.append(message)
            raise ZeroDivisionError
        return await work(self, message)

    monkeypatch.setattr(RunActor, "on_message", defective)
    async with unruly_playground(tmp_path, max_concurrent_runs=1) as running:
        with launches(running) as pids:
            first = await run(running, ACT)
            assert not living(pids)
        assert met
        assert first.status == "failed"
        assert str(first.view.error).startswith("internal error: the run's actor ended early")
        assert (await run(running, ACT)).status == "success"
        await at_rest(running)
        assert running.directory.load == (0, 0)
