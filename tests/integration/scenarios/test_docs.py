"""What the page on step outputs says is what steps give, with a Control Plane and without one."""

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
from tests.support.playground import playground_at, run
from tests.unit.test_docs_pages import rows

pytestmark = pytest.mark.asyncio(loop_scope="module")

SHIPPED = Path(__file__).resolve().parents[3] / "scenarios"
REFS = sorted(f"{path.parts[-4]}/{path.parts[-3]}@{path.parts[-2]}" for path in SHIPPED.glob("*/*/*/scenario.yaml"))
TOLD = {
    cells[0].strip("`"): set(re.findall(r"`(\w+\??)`", cells[1]))
    for cells in rows("steps.md")
    if cells[0].startswith("`")
}
FAULT = {"fault_injected", "kind", "target", "mutated_url", "error"}


@pytest_asyncio.fixture(loop_scope="module", scope="module", params=["with", "without"])
async def running(request: Any, tmp_path_factory: Any) -> AsyncIterator[Playground]:
    home = tmp_path_factory.mktemp("outputs")
    async with control_plane(Options(api_keys=("outputs",))) as cp:
        settings = {"cp_base_url": cp.url, "cp_api_key": "outputs"} if request.param == "with" else {}
        async with playground_at(home, scenarios_dir=str(SHIPPED), **settings) as made:
            yield made


@pytest.mark.parametrize("ref", REFS)
async def test_every_output_has_the_fields_of_the_page(running: Playground, ref: str) -> None:
    outcome = await run(running, ref)
    steps = {step.id: step for step in (await running.catalog.scenario(ref)).scenario.spec.workflow.steps}
    assert outcome.outputs
    for step_id, output in outcome.outputs.items():
        kind = steps[step_id].type
        if kind in {"workflow", "meta"} or output.get("fault_injected"):
            assert kind in {"workflow", "meta"} or output.keys() == FAULT
            continue
        told = TOLD[kind]
        assert output.keys() <= {name.rstrip("?") for name in told}, step_id
        assert {name for name in told if not name.endswith("?")} <= output.keys(), step_id
