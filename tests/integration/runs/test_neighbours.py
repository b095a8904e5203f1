"""Two processes on one database, one of which dies; and runs that end before they have begun."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest

from aitp_playground.runs import directory, recovery
from aitp_playground.runs.messages import Conducted
from aitp_playground.service import Playground
from tests.support.playground import follow

from .test_crash import killed
from .watching import ACT, PATIENCE, at_rest, gone, launches, submit, terminals, unruly_playground, until, writer

AT_ONCE = 4


def beside(directory: Path) -> dict[str, Any]:
    """Settings of a server on the database of the process that :func:`killed` starts in ``directory``."""
    return {"run_history_db": str(directory / "state" / "runs.db")}


async def test_the_runs_of_a_process_that_dies_are_ended_by_the_server_beside_it(tmp_path: Path) -> None:
    dying = tmp_path / "dying"
    (dying / "state").mkdir(parents=True)
    async with unruly_playground(tmp_path / "living", **beside(dying)) as living:
        _, last = await killed(dying)
        async with asyncio.timeout(300):
            outcomes = [await follow(living, run_id) for run_id in last["runs"]]
    await gone(set(last["pids"]))
    assert [terminals(outcome) for outcome in outcomes] == [[outcome.types[-1]] for outcome in outcomes]
    assert [outcome.status for outcome in outcomes[:AT_ONCE]] == ["cancelled", "failed", "failed", "failed"]
    # The last one was cancelled while it waited; the others had not begun, and are begun here.
    assert [outcome.status for outcome in outcomes[AT_ONCE:]] == ["success"] * (len(outcomes) - 5) + ["cancelled"]


async def test_a_cancel_ends_a_run_whose_process_is_dead_at_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(recovery, "ORPHAN_POLL", 3600.0)
    dying = tmp_path / "dying"
    (dying / "state").mkdir(parents=True)
    async with unruly_playground(tmp_path / "living", **beside(dying)) as living:
        _, last = await killed(dying)
        for run_id in (last["runs"][1], last["runs"][AT_ONCE]):
            assert (await living.directory.row(run_id)).summary.status in {"running", "pending"}
            answer = await living.directory.cancel(run_id)
            assert (answer.status, answer.cancelled) == ("cancelled", True)


async def waiting_behind(running: Playground) -> tuple[str, str]:
    """A run that goes on, and one that waits for its place."""
    going = await submit(running, ACT, inputs={"act": "sleep", "seconds": 60})
    await until(running, going, "step.started")
    return going, await submit(running, ACT)


async def test_a_run_cancelled_through_another_process_while_it_waits_is_never_begun(tmp_path: Path) -> None:
    database = str(tmp_path / "shared.db")
    async with (
        unruly_playground(tmp_path / "one", run_history_db=database, max_concurrent_runs=1) as conducting,
        unruly_playground(tmp_path / "two", run_history_db=database) as other,
    ):
        going, waiting = await waiting_behind(conducting)
        with launches(conducting) as pids:
            await other.directory.cancel(waiting)
            async with asyncio.timeout(PATIENCE):
                outcome = await follow(other, waiting)
        assert outcome.types == ["run.cancelled"]
        assert not pids
        await conducting.directory.cancel(going)


async def test_a_cancel_through_another_process_is_answered_when_the_run_is_cancelled(tmp_path: Path) -> None:
    database = str(tmp_path / "shared.db")
    async with (
        unruly_playground(tmp_path / "one", run_history_db=database) as conducting,
        unruly_playground(tmp_path / "two", run_history_db=database) as other,
    ):
        run_id = await submit(conducting, ACT, inputs={"act": "sleep", "seconds": 60})
        await until(conducting, run_id, "step.started")
        answer = await other.directory.cancel(run_id)
        assert (answer.status, answer.cancelled) == ("cancelled", True)
        assert (await other.directory.row(run_id)).summary.status == "cancelled"
        again = await other.directory.cancel(run_id)
        assert (again.status, again.cancelled, again.reason) == ("cancelled", False, "already terminal")


async def test_a_cancel_that_takes_its_time_elsewhere_says_that_the_run_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(directory, "CANCEL_WAIT", 0.2)
    monkeypatch.setattr(recovery, "INTENT_POLL", 3600.0)
    database = str(tmp_path / "shared.db")
    async with (
        unruly_playground(tmp_path / "one", run_history_db=database) as conducting,
        unruly_playground(tmp_path / "two", run_history_db=database) as other,
    ):
        run_id = await submit(conducting, ACT, inputs={"act": "sleep", "seconds": 60})
        await until(conducting, run_id, "step.started")
        answer = await other.directory.cancel(run_id)
        assert (answer.status, answer.cancelled, answer.reason) == ("running", True, None)
        await conducting.directory.cancel(run_id)
        assert (await follow(other, run_id)).types[-1] == "run.cancelled"


async def test_a_wish_to_end_a_run_is_looked_for_before_it_gets_its_place(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(recovery, "INTENT_POLL", 3600.0)
    monkeypatch.setattr(directory, "CANCEL_WAIT", 0.2)
    database = str(tmp_path / "shared.db")
    async with (
        unruly_playground(tmp_path / "one", run_history_db=database, max_concurrent_runs=1) as conducting,
        unruly_playground(tmp_path / "two", run_history_db=database) as other,
    ):
        going, waiting = await waiting_behind(conducting)
        await other.directory.cancel(waiting)
        with launches(conducting) as pids:
            await conducting.directory.cancel(going)
            async with asyncio.timeout(PATIENCE):
                outcome = await follow(conducting, waiting)
        assert outcome.types == ["run.cancelled"]
        assert not pids


async def test_a_defect_in_the_actor_of_a_run_that_waits_ends_it_unbegun(tmp_path: Path) -> None:
    async with unruly_playground(tmp_path, max_concurrent_runs=1) as running:
        going, waiting = await waiting_behind(running)
        with launches(running) as pids:
            writer(running, waiting).ref.tell(Conducted(None))  # of nobody: it has no conductor
            outcome = await follow(running, waiting)
            await running.directory.cancel(going)
            await at_rest(running)
        assert outcome.types == ["run.failed"]
        assert not pids
        assert running.directory.load == (0, 0)
