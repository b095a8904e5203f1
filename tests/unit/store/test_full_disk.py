"""Runs can be removed when nothing else fits on the disk any more."""

from __future__ import annotations

import asyncio
import contextlib
import sqlite3
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from aitp_playground.errors import StoreUnavailable
from aitp_playground.store.port import StoredEvent
from aitp_playground.store.sqlite import SqliteRunStore

from .building import events, stored_run, summary
from .conftest import MakeSqlite

MIB = 1 << 20


def fill(store: SqliteRunStore, reserve: Path) -> None:
    """No commit succeeds while the reserve is there: the disk has no other room."""

    def refuse(_: sqlite3.Connection) -> None:
        if reserve.exists():
            failure = sqlite3.OperationalError("database or disk is full")
            failure.sqlite_errorcode = sqlite3.SQLITE_FULL
            raise failure

    store.database.before_commit = refuse


async def finished(store: SqliteRunStore, count: int) -> list[str]:
    return [await stored_run(store, 1, finished_at=float(number)) for number in range(count)]


async def test_a_removal_gets_the_reserve_and_nothing_else_does(make_sqlite: MakeSqlite, tmp_path: Path) -> None:
    store: SqliteRunStore = await make_sqlite(reserve_bytes=MIB)
    reserve = tmp_path / "state" / "runs.db-reserve"
    run_id, other = await finished(store, 2)
    fill(store, reserve)
    for write in (lambda: stored_run(store), lambda: store.request_cancel(other), store.ping):
        with pytest.raises(StoreUnavailable, match="full"):
            await write()
    assert reserve.stat().st_size == MIB
    with capture_logs() as logs:
        assert await store.delete(run_id)
        assert not store.failures.writable, "that something could be removed says nothing of other writes"
    assert [line["path"] for line in logs if line["event"] == "store.reserve_used"] == [str(reserve)]
    assert await store.get(run_id) is None
    await asyncio.wait_for(store.room.given_back(), 300)
    assert reserve.stat().st_size == MIB, "taken again, since there is room"


async def test_pruning_gets_it_too(make_sqlite: MakeSqlite, tmp_path: Path) -> None:
    store: SqliteRunStore = await make_sqlite(reserve_bytes=MIB)
    await finished(store, 3)
    fill(store, tmp_path / "state" / "runs.db-reserve")
    assert await store.prune(1) == 2


async def test_another_failure_leaves_the_reserve_alone(make_sqlite: MakeSqlite, tmp_path: Path) -> None:
    store: SqliteRunStore = await make_sqlite(reserve_bytes=MIB)
    [run_id] = await finished(store, 1)

    def refuse(_: sqlite3.Connection) -> None:
        raise sqlite3.DatabaseError("malformed")

    store.database.before_commit = refuse
    with pytest.raises(StoreUnavailable, match="malformed"):
        await store.delete(run_id)
    assert (tmp_path / "state" / "runs.db-reserve").exists()


async def test_without_a_reserve_a_removal_fails_as_any_write(make_sqlite: MakeSqlite, tmp_path: Path) -> None:
    store: SqliteRunStore = await make_sqlite()
    [run_id] = await finished(store, 1)
    pretended = tmp_path / "there"
    pretended.touch()
    fill(store, pretended)
    with pytest.raises(StoreUnavailable, match="full"):
        await store.delete(run_id)


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 64 MiB."""
    place = tmp_path / "disk"
    place.mkdir()
    try:
        subprocess.run(["mount", "-t", "tmpfs", "-o", "size=64m", "tmpfs", place], check=True, capture_output=True)
    except (OSError, subprocess.CalledProcessError) as failure:
        pytest.skip(f"no file system can be mounted here: {failure}")
    yield place
    subprocess.run(["umount", place], check=True)


@pytest.mark.parametrize(("count", "size"), [(500, 2000), (20_000, 2000), (20, 200_000)], ids=["many", "one", "wide"])
async def test_on_a_real_disk_runs_are_removed_and_it_fills_again(
    small_disk: Path, make_sqlite: MakeSqlite, count: int, size: int
) -> None:
    """Runs of ``count`` events of ``size`` bytes, until nothing fits; the oldest is removed, and a new one fits."""
    store: SqliteRunStore = await make_sqlite(str(small_disk / "runs.db"), state_dir=small_disk, reserve_bytes=16 * MIB)
    made: list[str] = []

    async def for_ever() -> None:
        while True:
            made.append(await stored_run(store))
            for first in range(1, count + 1, 50):
                last = min(first + 49, count)
                page = events(first, last, "x" * size)
                await store.append(made[-1], page, summary(made[-1], last, "running"))

    for _ in range(2):
        with pytest.raises(StoreUnavailable, match="full"):
            await for_ever()
        for run_id in list(made):
            assert await store.delete(run_id), run_id
            made.remove(run_id)
            await asyncio.wait_for(store.room.given_back(), 300)
        await stored_run(store, 10)


async def test_what_a_removal_needs_is_not_for_the_runs_that_filled_the_disk(
    small_disk: Path, make_sqlite: MakeSqlite
) -> None:
    """Runs that go on would take the reserve once it is spent, and then nothing could be removed any more."""
    store: SqliteRunStore = await make_sqlite(str(small_disk / "runs.db"), state_dir=small_disk, reserve_bytes=16 * MIB)
    small = await finished(store, 2)
    ending = await stored_run(store, 1)
    large: list[str] = []

    async def for_ever() -> None:
        while True:
            large.append(await stored_run(store))
            for first in range(1, 5000, 50):
                await store.append(large[-1], events(first, first + 49, "x" * 2000), summary(large[-1], first + 49))

    with pytest.raises(StoreUnavailable, match="full"):
        await for_ever()
    with contextlib.suppress(OSError), (small_disk / "others").open("wb") as others:
        while True:
            others.write(b"x" * 4096)
            others.flush()
    with capture_logs() as logs:
        for run_id in small:
            assert await store.delete(run_id)
        await asyncio.wait_for(store.room.given_back(), 300)
        for write in (lambda: stored_run(store), store.ping):
            with pytest.raises(StoreUnavailable, match="free 20 MiB"):
                await write()
        last = StoredEvent(2, "run.failed", 1002.0, b'{"seq":2}')
        await store.append(ending, [last], summary(ending, 2, "failed", 1002.0))
        for run_id in (ending, *large):
            assert await store.delete(run_id), run_id
            await asyncio.wait_for(store.room.given_back(), 300)
    assert [line["event"] for line in logs if line["event"] in {"store.unavailable", "store.available"}] == []
    assert len([line for line in logs if line["event"] == "store.reserve_used"]) == 1
    await store.ping()
    await stored_run(store, 10)
    assert (small_disk / "runs.db-reserve").stat().st_size == 16 * MIB


async def test_room_that_somebody_else_frees_counts(make_sqlite: MakeSqlite, tmp_path: Path) -> None:
    store: SqliteRunStore = await make_sqlite(reserve_bytes=MIB)
    reserve = tmp_path / "state" / "runs.db-reserve"
    reserve.unlink()  # as another process does that removes a run
    await stored_run(store)
    assert reserve.stat().st_size == MIB
