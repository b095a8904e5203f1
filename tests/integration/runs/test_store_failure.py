"""A disk that fills up in mid-run: the run ends failed when there is room again, and its log has no hole."""

from __future__ import annotations

import asyncio
import contextlib
import sqlite3
import threading
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from aitp_playground.errors import RunNotFound, StoreUnavailable
from aitp_playground.runs import directory as runs_directory
from aitp_playground.runs.directory import RunDirectory
from aitp_playground.runs.messages import CancelRun
from aitp_playground.service import Playground
from aitp_playground.store.sqlite import SqliteRunStore
from tests.support.playground import follow, run

from .watching import (
    ACT,
    NOTHING,
    at_rest,
    eventually,
    launches,
    leftovers,
    living,
    submit,
    terminals,
    unruly_playground,
    until,
    writer,
)


async def pragma(running: Playground, statement: str) -> Any:
    """What the writer's connection answers: such limits are a connection's own."""
    answers: list[Any] = []
    store = running.services.store
    assert isinstance(store, SqliteRunStore)
    store.database.before_commit = lambda connection: answers.append(
        connection.execute(f"PRAGMA {statement}").fetchone()
    )
    with contextlib.suppress(RunNotFound):
        await store.request_cancel("nobody")  # a commit that takes no room
    store.database.before_commit = lambda _: None
    return answers[0]


async def fill_the_disk(running: Playground) -> None:
    (pages,) = await pragma(running, "page_count")
    await pragma(running, f"max_page_count={pages}")


async def ready(http: aiohttp.ClientSession, running: Playground) -> tuple[int, str]:
    async with http.get(f"{running.url}/readyz") as answer:
        return answer.status, await answer.text()


async def test_a_full_disk_in_mid_run_fails_the_run_once_there_is_room_again(tmp_path: Path) -> None:
    async with unruly_playground(tmp_path) as running, aiohttp.ClientSession() as http:
        with launches(running) as pids:
            run_id = await submit(running, ACT, inputs={"act": "sleep", "seconds": 60})
            await until(running, run_id, "step.started")
            before = [entry.body for entry in (await running.directory.view(run_id)).events]
            follower = asyncio.create_task(follow(running, run_id))
            live = writer(running, run_id)
            running.services.tokens.admit("raw", live.ref, "raw", "")
            await fill_the_disk(running)
            refused = await refused_telemetry(running.directory)
            assert refused > 0
            status, text = await ready(http, running)
            assert status == 503
            assert "full" in text
            with pytest.raises(StoreUnavailable):
                await running.directory.ping()
            await eventually(lambda: not living(pids))
        running.services.tokens.forget("raw")
        await pragma(running, "max_page_count=1073741823")
        async with asyncio.timeout(300):
            outcome = await follower
        assert terminals(outcome) == ["run.failed"]
        assert "the store could not take events" in str(outcome.view.error)
        assert "full" in str(outcome.view.error)
        assert [entry.body for entry in outcome.view.events][: len(before)] == before
        assert (await ready(http, running))[0] == 200
        assert (await run(running, ACT)).status == "success"
        await at_rest(running)
        assert leftovers(running) == NOTHING


async def refused_telemetry(directory: RunDirectory) -> int:
    """Large events until one is refused; its number."""
    for number in range(1, 100):
        event = {"emitter_seq": number, "type": "capability.invoked", "payload": {"filler": "x" * 50_000}}
        try:
            await directory.telemetry("raw", number, [event])
        except StoreUnavailable:
            return number
    return 0


def fail_writes(running: Playground, refused: threading.Event | None = None) -> Any:
    """From now on the store refuses all writes (``refused``: one has been); what is returned ends that."""
    store: Any = running.services.store

    def refuse(_connection: sqlite3.Connection) -> None:
        if refused is not None:
            refused.set()
        raise OSError("the disk is gone")

    store.database.before_commit = refuse
    return lambda: setattr(store.database, "before_commit", lambda _: None)


async def test_a_store_that_refuses_everything_is_waited_for_without_agents(tmp_path: Path) -> None:
    async with unruly_playground(tmp_path) as running:
        with launches(running) as pids:
            run_id = await submit(running, ACT, inputs={"act": "sleep", "seconds": 2})
            await until(running, run_id, "step.started")
            recover = fail_writes(running)
            await eventually(lambda: not living(pids))
        assert (await running.directory.row(run_id)).summary.status == "running"
        with pytest.raises(StoreUnavailable, match="the disk is gone"):
            await submit(running, ACT)
        recover()
        async with asyncio.timeout(300):
            outcome = await follow(running, run_id)
        assert outcome.types[-2:] == ["step.failed", "run.failed"]
        assert "the disk is gone" in str(outcome.view.error)
        assert (await run(running, ACT)).status == "success"
        await at_rest(running)
        assert leftovers(running) == NOTHING


async def test_cancels_while_the_store_refuses_make_no_second_end_and_promise_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(runs_directory, "CANCEL_WAIT", 1.0)  # no end can be stored, however long they wait
    async with unruly_playground(tmp_path) as running:
        run_id = await submit(running, ACT, inputs={"act": "sleep", "seconds": 60})
        await until(running, run_id, "step.started")
        recover = fail_writes(running)
        first = await asyncio.gather(
            running.directory.cancel(run_id), running.directory.cancel(run_id), return_exceptions=True
        )
        assert all(isinstance(answer, StoreUnavailable) for answer in first), "nothing was stored of that intent"
        late = asyncio.create_task(running.directory.cancel(run_id))
        await asyncio.sleep(0)
        recover()
        await asyncio.gather(late, return_exceptions=True)
        async with asyncio.timeout(300):
            outcome = await follow(running, run_id)
        assert terminals(outcome) == ["run.cancelled"] == outcome.types[-1:]
        await at_rest(running)
        assert leftovers(running) == NOTHING


async def test_a_waiting_run_is_cancelled_when_the_store_writes_again(tmp_path: Path) -> None:
    async with unruly_playground(tmp_path, max_concurrent_runs=1) as running:
        long = await submit(running, ACT, inputs={"act": "sleep", "seconds": 60})
        waiting = await submit(running, ACT)
        recover = fail_writes(running, refused := threading.Event())
        cancelling = asyncio.create_task(running.directory.cancel(waiting))
        await eventually(refused.is_set)
        recover()
        await asyncio.gather(cancelling, return_exceptions=True)
        async with asyncio.timeout(300):
            assert (await follow(running, waiting)).types == ["run.cancelled"]
        await running.directory.cancel(long)


async def test_a_database_that_is_damaged_in_mid_run_frees_the_runs_place_and_is_told(tmp_path: Path) -> None:
    async with unruly_playground(tmp_path) as running, aiohttp.ClientSession() as http:
        file = tmp_path / "state" / "runs.db"
        with launches(running) as pids:
            run_id = await submit(running, ACT, inputs={"act": "sleep", "seconds": 60})
            await until(running, run_id, "step.started")
            with contextlib.closing(sqlite3.connect(file)) as other:
                other.execute("PRAGMA wal_checkpoint(TRUNCATE)")
            await pragma(running, "cache_size=0")
            await pragma(running, "shrink_memory")
            with file.open("r+b") as database:
                database.seek(4096)
                database.write(b"\xaa" * (file.stat().st_size - 4096))
            writer(running, run_id).ref.tell(CancelRun())
            await eventually(lambda: running.directory.load == (0, 0))
            await eventually(lambda: not living(pids))
        status, text = await ready(http, running)
        assert status == 503
        assert str(file) in text
        assert "damaged" in text
        assert leftovers(running) == NOTHING
