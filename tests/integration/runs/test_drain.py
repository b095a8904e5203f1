"""Shutting down: running runs get their grace, waiting ones wait for the next start."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from aitp_playground.errors import Overloaded
from aitp_playground.runs.requests import NewRun
from tests.support.playground import follow

from .watching import ACT, launches, living, submit, unruly_playground, until


async def test_a_drain_cancels_what_outlasts_the_grace_and_keeps_what_waits(tmp_path: Path) -> None:
    async with unruly_playground(tmp_path, max_concurrent_runs=1, shutdown_grace_secs=0) as running:
        with launches(running) as pids:
            long = await submit(running, ACT, inputs={"act": "sleep", "seconds": 60})
            waiting = [await submit(running, ACT) for _ in range(3)]
            await until(running, long, "step.started")
            await running.directory.drain(0)
            assert not living(pids)
        assert (await running.directory.row(long)).summary.status == "cancelled"
        with pytest.raises(Overloaded, match="shutting down"):
            await running.directory.submit(NewRun(scenario_ref=ACT))
        assert [(await running.directory.row(run_id)).summary.status for run_id in waiting] == ["pending"] * 3
    async with unruly_playground(tmp_path, max_concurrent_runs=1) as running, asyncio.timeout(300):
        outcomes = [await follow(running, run_id) for run_id in waiting]
    assert [outcome.status for outcome in outcomes] == ["success"] * 3
    begun = [outcome.events[0].ts for outcome in outcomes]
    assert begun == sorted(begun), "they started in another order than they were submitted"


async def test_a_run_that_ends_within_the_grace_is_left_to_end(tmp_path: Path) -> None:
    async with unruly_playground(tmp_path, shutdown_grace_secs=300) as running:
        run_id = await submit(running, ACT, inputs={"act": "sleep", "seconds": 0.3})
        await until(running, run_id, "step.started")
    async with unruly_playground(tmp_path) as running:
        assert (await follow(running, run_id)).status == "success"


async def test_without_adoption_a_waiting_run_is_left_to_a_server(tmp_path: Path) -> None:
    async with unruly_playground(tmp_path, max_concurrent_runs=1, shutdown_grace_secs=0) as running:
        await submit(running, ACT, inputs={"act": "sleep", "seconds": 60})
        waiting = await submit(running, ACT)
    async with unruly_playground(tmp_path, recover=False) as running:
        assert running.directory.load == (0, 0)
    async with unruly_playground(tmp_path) as running:
        assert (await follow(running, waiting)).status == "success"
