"""Nobody else on the machine can read a run history."""

from __future__ import annotations

import os
import sqlite3
import stat
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from aitp_playground.store.files import connect_writer
from aitp_playground.store.sqlite import SqliteRunStore

from .building import stored_run
from .conftest import MakeSqlite


@pytest.fixture(params=[0o000, 0o277], ids=["open to all", "closed to ourselves"])
def odd_umask(request: pytest.FixtureRequest) -> Iterator[None]:
    before = os.umask(request.param)
    yield
    os.umask(before)


def modes_below(directory: Path) -> dict[str, int]:
    """Name and permission bits of every file and directory."""
    return {path.name: stat.S_IMODE(path.stat().st_mode) for path in directory.rglob("*")}


@pytest.mark.usefixtures("odd_umask")
async def test_everything_the_store_creates_is_private_whatever_the_umask(
    make_sqlite: MakeSqlite, tmp_path: Path
) -> None:
    store: SqliteRunStore = await make_sqlite(str(tmp_path / "deep" / "data" / "runs.db"))
    await stored_run(store, 3)
    await store.orphans()
    modes = modes_below(tmp_path)
    assert {"runs.db", "runs.db-wal", "runs.db-shm", f"{store.owner_id}.lock"} <= modes.keys()
    assert {modes.pop(name) for name in ("deep", "data", "state", "owners")} == {0o700}
    assert set(modes.values()) == {0o600}


@pytest.mark.usefixtures("odd_umask")
async def test_a_readable_database_is_closed_to_others_when_it_is_opened(
    make_sqlite: MakeSqlite, tmp_path: Path
) -> None:
    (tmp_path / "runs.db").touch()
    (tmp_path / "runs.db").chmod(0o644)
    store: SqliteRunStore = await make_sqlite(str(tmp_path / "runs.db"))
    await stored_run(store, 1)
    modes = modes_below(tmp_path)
    assert {modes[f"runs.db{suffix}"] for suffix in ("", "-wal", "-shm")} == {0o600}


async def test_a_directory_that_was_there_keeps_its_mode(make_sqlite: MakeSqlite, tmp_path: Path) -> None:
    shared = tmp_path / "shared"
    shared.mkdir()
    shared.chmod(0o755)
    await make_sqlite(str(shared / "runs.db"))
    assert modes_below(tmp_path)["shared"] == 0o755


async def test_a_store_in_memory_leaves_no_file(make_sqlite: MakeSqlite, tmp_path: Path) -> None:
    store: SqliteRunStore = await make_sqlite(":memory:")
    await stored_run(store, 1)
    await store.close()
    assert modes_below(tmp_path) == {}


async def test_a_closed_store_leaves_one_file_and_no_lock(make_sqlite: MakeSqlite, tmp_path: Path) -> None:
    store: SqliteRunStore = await make_sqlite()
    await stored_run(store, 3)
    await store.read("run")
    await store.close()
    assert modes_below(tmp_path).keys() == {"state", "owners", "runs.db"}


async def test_closing_folds_the_log_in_while_another_store_stays_open(make_sqlite: MakeSqlite, tmp_path: Path) -> None:
    store: SqliteRunStore = await make_sqlite()
    await make_sqlite()
    await stored_run(store, 50)
    await store.close()
    assert (tmp_path / "state" / "runs.db-wal").stat().st_size == 0


def test_a_first_start_waits_for_another_one_that_is_writing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """SQLite itself refuses the switch to WAL at once here, without waiting for the lock."""
    path, waits = tmp_path / "runs.db", list[float]()
    with closing(sqlite3.connect(path, isolation_level=None)) as other:
        other.execute("CREATE TABLE t (x)")
        other.execute("BEGIN IMMEDIATE")

        def finish_instead_of_waiting(seconds: float) -> None:
            waits.append(seconds)
            other.execute("COMMIT")

        monkeypatch.setattr(time, "sleep", finish_instead_of_waiting)
        with closing(connect_writer(path)) as connection:
            assert connection.execute("PRAGMA journal_mode").fetchone() == ("wal",)
    assert len(waits) == 1
