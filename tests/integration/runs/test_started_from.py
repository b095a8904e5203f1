"""A run goes by what it was started from, whatever becomes of the files meanwhile."""

from __future__ import annotations

import shutil
from pathlib import Path

import aiohttp
import yaml

from tests.support.playground import VARIANTS, follow, playground_at

from .watching import submit, until

REF = "lifecycle/act@1.0.0"
FILE = Path("lifecycle/act/1.0.0/scenario.yaml")


async def test_a_run_that_waits_is_begun_after_a_restart_as_it_was_submitted(tmp_path: Path) -> None:
    roots = tmp_path / "scenarios"
    shutil.copytree(VARIANTS / "scenarios", roots)
    shutil.copytree(VARIANTS / "agents", tmp_path / "agents")
    settings = {"scenarios_dir": str(roots), "max_concurrent_runs": 1}
    async with playground_at(tmp_path, **settings) as running:
        going = await submit(running, REF, inputs={"act": "sleep", "seconds": 60})
        await until(running, going, "step.started")
        waiting = await submit(running, REF)
        digest, kept = await running.directory.scenario(waiting)
        await running.directory.drain(0)
    changed = yaml.safe_load((roots / FILE).read_text())
    changed["spec"]["workflow"]["steps"] = [{"id": "another", "type": "meta", "description": "It was changed."}]
    (roots / FILE).write_text(yaml.safe_dump(changed))
    async with playground_at(tmp_path, **settings) as running:
        outcome = await follow(running, waiting)
        assert outcome.status == "success"
        assert not outcome.of("step.started", step_id="another")
        async with aiohttp.ClientSession() as http, http.get(f"{running.url}/runs/{waiting}/scenario") as answer:
            shown = await answer.json()
        assert (answer.status, shown["digest"]) == (200, digest)
        assert shown["source"][FILE.as_posix()] == (VARIANTS / "scenarios" / FILE).read_text()
        assert "agents_root" not in shown
        assert str(tmp_path) not in str(shown)
        fresh = await submit(running, REF)
        assert (await running.directory.scenario(fresh))[0] != digest
        await follow(running, fresh)
        for run_id in (going, waiting):
            await running.directory.delete(run_id)
        async with aiohttp.ClientSession() as http, http.get(f"{running.url}/runs/{waiting}/scenario") as answer:
            assert answer.status == 404
        assert kept
