"""The shipped packs load, lint clean, and expect enough to be able to fail."""

from __future__ import annotations

from pathlib import Path

import pytest

from aitp_playground.resources import agents_dir, scenarios_dir
from aitp_playground.scenarios.catalog import Catalog
from aitp_playground.scenarios.index import Index
from aitp_playground.scenarios.inputs import complete_inputs
from aitp_playground.scenarios.lint import lint
from aitp_playground.steps import STEP_TYPES

REFS = sorted(
    f"{path.parts[-4]}/{path.parts[-3]}@{path.parts[-2]}" for path in scenarios_dir().glob("[!_]*/*/*/scenario.yaml")
)


@pytest.fixture
def catalog() -> Catalog:
    return Catalog([scenarios_dir()], STEP_TYPES)


async def test_every_scenario_file_is_listed_and_none_is_broken(catalog: Catalog) -> None:
    scenarios, errors = await catalog.scenarios()
    assert [error.as_listed() for error in errors] == []
    assert sorted(scenario.ref for scenario in scenarios) == REFS


def test_lint_finds_nothing() -> None:
    assert lint(scenarios_dir(), STEP_TYPES) == []


@pytest.mark.parametrize("ref", REFS)
async def test_a_scenario_runs_without_inputs_and_checks_what_it_claims(catalog: Catalog, ref: str) -> None:
    loaded = await catalog.scenario(ref)
    complete_inputs(loaded.scenario.spec.inputs.json_schema, {})
    for scenario in (loaded.scenario, *(variant.merged for variant in loaded.templates.values())):
        assert any(step.expect for step in scenario.spec.workflow.steps)


@pytest.mark.parametrize("name", [path.stem for path in sorted((scenarios_dir() / "_shared/agents").glob("*.yaml"))])
async def test_a_shipped_manifest_names_a_worker_that_is_there(tmp_path: Path, name: str) -> None:
    (manifest,) = [
        file.manifest
        for path, file in Index([scenarios_dir()], STEP_TYPES).manifest_files()
        if path.stem == name and file.manifest
    ]
    assert manifest.metadata.id == name
    assert manifest.spec.host.cwd is not None
    module = manifest.spec.entrypoint.value
    assert (agents_dir().parent / manifest.spec.host.cwd).is_dir()
    assert (agents_dir() / f"{module.replace('.', '/')}.py").is_file()


async def test_each_fault_of_the_fault_scenario_is_counted_exactly_once(catalog: Catalog) -> None:
    steps = (await catalog.scenario("intra-org/fault-injection@1.0.0")).scenario.spec.workflow.steps
    for step in steps:
        counted = {check.event: (check.min, check.max) for check in step.expect if check.event}
        expected = (1, 1) if step.fault else (None, 0)
        assert counted["step.fault_injected"] == expected, step.id
