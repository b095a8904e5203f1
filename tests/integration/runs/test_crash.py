"""A server killed in the middle of twenty runs: nothing shown is lost, nothing is left, everything comes to an end."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
from collections import defaultdict
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from tests.support.playground import follow, run
from tests.support.rounds import ROUNDS

from .watching import ACT, PATIENCE, gone, terminals, unruly_playground

ROOT = Path(__file__).resolve().parents[3]
RUNS = 20


async def killed(state: Path) -> tuple[list[dict[str, Any]], dict[str, Any]]:
    """Let a server start, and kill it once it has told its runs; all it said, and its last words."""
    server = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "tests.integration.runs.serving",
        str(state),
        str(RUNS),
        cwd=ROOT,
        env=environment(),
        stdout=asyncio.subprocess.PIPE,
    )
    assert server.stdout is not None
    said: list[dict[str, Any]] = []
    try:
        async with asyncio.timeout(PATIENCE):
            while not (said and "pids" in said[-1]):
                said.append(json.loads(await server.stdout.readline()))
    finally:
        server.send_signal(signal.SIGKILL)
        rest = (await server.stdout.read()).decode()
        await server.wait()
    last = said.pop()
    return said + [json.loads(line) for line in rest.splitlines()], last


def environment() -> Mapping[str, str]:
    return {**os.environ, "PYTHONPATH": str(ROOT)}


@pytest.mark.parametrize("number", range(ROUNDS))
async def test_after_a_kill_every_run_ends_and_every_event_shown_is_still_there(tmp_path: Path, number: int) -> None:
    said, last = await killed(tmp_path)
    await gone(set(last["pids"]))
    shown: defaultdict[str, dict[int, str]] = defaultdict(dict)
    for line in said:
        shown[line["run"]][line["seq"]] = line["body"]
    assert len(shown) >= 4
    async with unruly_playground(tmp_path) as running:
        async with asyncio.timeout(300):
            outcomes = [await follow(running, run_id) for run_id in last["runs"]]
        assert (await run(running, ACT)).status == "success"
    for outcome in outcomes:
        assert terminals(outcome) == [outcome.types[-1]]
        stored = {entry.seq: entry.body.decode() for entry in outcome.view.events}
        assert shown[outcome.run_id].items() <= stored.items()
    was_running, waited = outcomes[:4], outcomes[4:]
    assert was_running[0].status == "cancelled", "the cancel asked for before the crash was forgotten"
    assert [outcome.view.error for outcome in was_running[1:]] == ["interrupted by a restart"] * 3
    assert [outcome.types[-2:] for outcome in was_running[1:]] == [["step.failed", "run.failed"]] * 3
    assert [outcome.status for outcome in waited] == ["success"] * (RUNS - 5) + ["cancelled"]
    assert waited[-1].types == ["run.cancelled"]
