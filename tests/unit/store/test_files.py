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

from aitp_playground.errors import StoreUnavailable
from aitp_playground.sqlite.files import connect_writer
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
        with closing(connect_writer(path, lambda _: None, "the database")) as connection:
            assert connection.execute("PRAGMA journal_mode").fetchone() == ("wal",)
    assert len(waits) == 1


def foreign(path: Path, version: int) -> None:
    with closing(sqlite3.connect(path)) as other:
        other.execute("CREATE TABLE notes (text)")
        other.execute(f"PRAGMA user_version={version}")
        other.commit()


WRONG = {
    "directory": lambda path: path.mkdir(),
    "pipe": lambda path: os.mkfifo(path),
    "text": lambda path: path.write_text("not a database, but somebody's notes " * 100),
    "foreign": lambda path: foreign(path, 0),
    "foreign-with-a-version": lambda path: foreign(path, 2),
    "later": lambda path: foreign(path, 10_000),
    "dangling-link": lambda path: path.symlink_to(path.parent / "nowhere"),
}


@pytest.mark.parametrize("wrong", WRONG)
@pytest.mark.parametrize("linked", [False, True], ids=["itself", "through-a-link"])
async def test_nothing_is_changed_at_a_path_that_turns_out_wrong(
    make_sqlite: MakeSqlite, tmp_path: Path, wrong: str, linked: bool
) -> None:
    shared = tmp_path / "shared"
    shared.mkdir()
    path = shared / "runs.db"
    WRONG[wrong](path)
    if not path.is_symlink():
        path.chmod(0o755)
    if linked:
        (tmp_path / "link.db").symlink_to(path)
    before = states(shared)
    with pytest.raises(StoreUnavailable):
        await make_sqlite(database=str(tmp_path / "link.db" if linked else path))
    assert states(shared) == before


def states(directory: Path) -> dict[str, tuple[int, int]]:
    """Mode and size of the directory and of all that is in it, and no file more."""
    return {file.name: (file.lstat().st_mode, file.lstat().st_size) for file in [directory, *directory.iterdir()]}
