"""Runs of a shipped scenario have one normal form, however busy the machine is, whichever way agents are launched."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import json
import subprocess
import sys
from collections import defaultdict
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from aitp_playground.control_plane.options import Options
from aitp_playground.control_plane.server import control_plane
from aitp_playground.recording.comparing import compared
from aitp_playground.recording.documents import to_lines
from aitp_playground.recording.form import Given, NormalForm
from aitp_playground.recording.normal import normal_form
from aitp_playground.runs.requests import NewRun, RunView
from aitp_playground.service import Playground
from tests.support.controls import SHIPPED, write_controls
from tests.support.playground import playground_at
from tests.support.rounds import ROUNDS

from .test_cp_proofs import FEDERATED
from .test_proofs import CONTROLS, WITH_CP

Runnable = tuple[str, str | None]
#: Each takes longer than a test of its own, and the machine has nothing to spare.
pytestmark = pytest.mark.timeout(600 + 120 * ROUNDS)

AT_ONCE = 3
CORES = 2


@pytest.fixture(scope="module")
def busy() -> Iterator[None]:
    """Nobody gets a core for himself."""
    burning = [subprocess.Popen([sys.executable, "-c", "while True: pass"]) for _ in range(CORES)]
    try:
        yield
    finally:
        for process in burning:
            process.kill()
            process.wait()


@contextlib.asynccontextmanager
async def shipped(directory: Path, **settings: Any) -> AsyncIterator[tuple[Playground, list[Runnable]]]:
    """A playground, and all that can be run on it."""
    async with playground_at(directory, scenarios_dir=str(SHIPPED), **settings) as running:
        scenarios, errors = await running.catalog.scenarios()
        assert not errors
        yield (
            running,
            [
                (loaded.ref, template)
                for loaded in scenarios
                for template in (None, *(str(one["name"]) for one in loaded.describe_templates()))
            ],
        )


async def run(running: Playground, ref: str, template: str | None = None) -> RunView:
    """The run when it is over. Meanwhile a Control Plane may have delivered something after its end."""
    submitted = await running.directory.submit(NewRun(scenario_ref=ref, template=template))
    run_id = submitted.row.header.run_id
    async for _ in running.directory.stream(run_id):
        pass
    return await running.directory.view(run_id)


def form_of(view: RunView) -> NormalForm:
    header = view.row.header
    given = Given(
        run_id=header.run_id,
        ref=header.scenario_ref,
        template=header.template,
        inputs=header.inputs,
        faults=header.fault_injection,
    )
    bodies = [event.body for event in view.events]
    form = normal_form(given, bodies)
    assert b"".join(to_lines(normal_form(given, bodies))) == b"".join(to_lines(form))
    assert (form.run["status"], form.run["proof"]) == (view.row.summary.status, view.proof)
    assert form.run["unproven_because"] == sorted(view.unproven_because)
    return form


async def forms(running: Playground, wanted: Sequence[Runnable], rounds: int) -> dict[Runnable, list[NormalForm]]:
    """Each of them so often, a few at once."""
    gate = asyncio.Semaphore(AT_ONCE)
    found: dict[Runnable, list[NormalForm]] = defaultdict(list)

    async def one(ref: str, template: str | None) -> None:
        async with gate:
            found[ref, template].append(form_of(await run(running, ref, template)))

    await asyncio.gather(*(one(*runnable) for _ in range(rounds) for runnable in wanted))
    return found


def assert_equal(found: Mapping[Runnable, Sequence[NormalForm]]) -> None:
    for runnable, those in found.items():
        first, *others = those
        for other in others:
            assert first == other, (runnable, json.dumps(compared(first, other).as_dict(), indent=1))
            assert compared(first, other).equal


async def test_every_shipped_scenario_has_one_normal_form_under_either_launcher(busy: None, tmp_path: Path) -> None:
    found: dict[Runnable, list[NormalForm]] = defaultdict(list)
    for launcher, rounds in (("fork", ROUNDS), ("exec", max(1, ROUNDS // 3))):
        async with shipped(tmp_path / launcher, agent_launcher=launcher) as (running, wanted):
            for runnable, those in (await forms(running, wanted, rounds)).items():
                found[runnable] += those
    assert len(found) == len(wanted)
    assert_equal(found)


async def test_so_has_what_uses_a_control_plane_with_one(busy: None, tmp_path: Path) -> None:
    """One that all of them share, so that it holds more with every run."""
    async with control_plane(Options(api_keys=("shared",))) as plane:
        settings = {"cp_base_url": plane.url, "cp_api_key": "shared", "cp_aid": plane.aid}
        async with shipped(tmp_path, **settings) as (running, wanted):
            using = [runnable for runnable in wanted if runnable[0] in {*WITH_CP, FEDERATED}]
            assert len(using) >= len(WITH_CP)
            assert_equal(await forms(running, using, ROUNDS))


async def test_different_scenarios_have_different_forms(tmp_path: Path) -> None:
    async with shipped(tmp_path) as (running, wanted):
        found = await forms(running, wanted[:6], 1)
    for (one,), (other,) in itertools.combinations(found.values(), 2):
        assert not compared(one, other).equal


async def test_a_mechanism_that_is_switched_off_is_found_at_the_step_that_shows_it(tmp_path: Path) -> None:
    off = next(one for one in CONTROLS if one.name == "the writer does not verify tokens")
    root, refs = write_controls(tmp_path, [off])
    async with shipped(tmp_path / "on") as (running, _):
        works = form_of(await run(running, off.ref))
    async with playground_at(tmp_path / "off", scenarios_dir=str(root)) as running:
        fails = form_of(await run(running, refs[off.name]))
    told = compared(works, fails).as_dict()
    assert {"path": "status", "a": "success", "b": "failed"} in told["run"]
    step = next(one for one in told["steps"] if one["step"] == off.at)
    assert step["outcome"] == {"a": "complete", "b": "failed"}
    assert {"path": "$.status_code", "a": 403, "b": 200} in step["output"]
    changes = {(one["change"], one["by"], one["type"]) for one in step["events"] if isinstance(one["type"], str)}
    assert ("missing", "writer", "capability.denied") in changes
