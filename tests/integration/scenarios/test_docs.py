"""What step types declare, and the page on them says, is what runs show, with a Control Plane and without one."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from aitp_playground.control_plane.options import Options
from aitp_playground.control_plane.server import control_plane
from aitp_playground.service import Playground
from aitp_playground.steps import STEP_TYPES
from aitp_playground.steps.faults import FAULT_OUTPUT
from tests.integration.scenarios.test_cp_proofs import CONTROLS as CP_CONTROLS
from tests.integration.scenarios.test_proofs import CONTROLS, WITH_CP
from tests.support.playground import playground_at, run

pytestmark = pytest.mark.asyncio(loop_scope="module")

SHIPPED = Path(__file__).resolve().parents[3] / "scenarios"
REFS = sorted(f"{path.parts[-4]}/{path.parts[-3]}@{path.parts[-2]}" for path in SHIPPED.glob("*/*/*/scenario.yaml"))
PAGE = (SHIPPED.parent / "docs/scenarios.md").read_text()
#: What any step may bring about.
ANY = {"step.started", "step.complete", "step.failed", "step.skipped"}
FAULT = {"step.fault_injected", "step.fault_complete"}


async def test_every_shipped_scenario_and_template_is_in_the_table_with_its_controls() -> None:
    found = re.findall(r"^\| `([^` ]+@[^` ]+)`(?: `--template (\S+)`)? \| (.+) \| (.+) \|$", PAGE, re.MULTILINE)
    told = {(ref, template or None): controls for ref, template, _, controls in found}
    assert len(told) == len(found)
    templates = {
        (f"{path.parts[-5]}/{path.parts[-4]}@{path.parts[-3]}", path.stem)
        for path in SHIPPED.glob("*/*/*/templates/*.yaml")
        if "kind: ScenarioTemplate" in path.read_text()
    }
    assert told.keys() == {(ref, None) for ref in REFS} | templates
    for (ref, template), controls in told.items():
        there = [each for each in (*CONTROLS, *CP_CONTROLS) if (each.ref, each.template) == (ref, template)]
        assert there, "no control"
        assert controls == "; ".join(f"{each.name} (`{each.at}`)" for each in there)
    assert {ref for ref, _, shows, _ in found if shows.endswith(" *")} == WITH_CP


@pytest_asyncio.fixture(loop_scope="module", scope="module", params=["with", "without"])
async def running(request: Any, tmp_path_factory: Any) -> AsyncIterator[Playground]:
    home = tmp_path_factory.mktemp("outputs")
    async with control_plane(Options(api_keys=("outputs",))) as cp:
        settings = {"cp_base_url": cp.url, "cp_api_key": "outputs"} if request.param == "with" else {}
        async with playground_at(home, scenarios_dir=str(SHIPPED), **settings) as made:
            yield made


@pytest.mark.parametrize("ref", REFS)
async def test_every_output_and_every_event_is_one_that_the_step_type_declares(running: Playground, ref: str) -> None:
    outcome = await run(running, ref)
    steps = {step.id: step for step in (await running.catalog.scenario(ref)).scenario.spec.workflow.steps}
    assert outcome.outputs
    for step_id, output in outcome.outputs.items():
        kind = steps[step_id].type
        told = STEP_TYPES[kind].gives
        if output.get("fault_injected"):
            assert output.keys() == FAULT_OUTPUT.keys(), step_id
        elif told is not None:
            assert output.keys() <= {name.rstrip("?") for name in told}, step_id
            assert {name for name in told if not name.endswith("?")} <= output.keys(), step_id
    for event in outcome.events:
        if (step_id := event.get("step_id")) is not None:
            step = steps[step_id]
            declared = ANY | {*STEP_TYPES[step.type].causes} | (FAULT if step.fault is not None else set())
            assert event.type in declared, step_id
