"""A damaged file, a lock of somebody else, a limit of threads: each is told for what it is."""

from __future__ import annotations

import sqlite3
import threading
from pathlib import Path
from typing import Any

import pytest

from aitp_playground.errors import StoreDamaged, StoreUnavailable
from aitp_playground.sqlite import files
from aitp_playground.store import sqlite
from aitp_playground.store.sqlite import SqliteRunStore

from .building import events, header, stored_run, summary
from .conftest import MakeSqlite

PAGE = 4096


def spoil(file: Path, first: int, last: int) -> None:
    """Overwrite pages (from 0), as a disk that loses blocks does."""
    with file.open("r+b") as database:
        database.seek(first * PAGE)
        database.write(b"\xaa" * PAGE * (last - first))


async def damaged(make_sqlite: MakeSqlite, tmp_path: Path) -> tuple[SqliteRunStore, str, Path]:
    """A store that can be opened, and in it a run whose events are overwritten."""
    first: SqliteRunStore = await make_sqlite()
    run_id = await stored_run(first)
    await first.append(run_id, events(1, 3000, "x" * 200), summary(run_id, 3000))
    await first.close()
    file = tmp_path / "state" / "runs.db"
    pages = file.stat().st_size // PAGE
    assert pages > 60
    spoil(file, pages // 2, pages - 5)
    return await make_sqlite(), run_id, file


async def test_a_damaged_database_is_named_with_what_to_do(make_sqlite: MakeSqlite, tmp_path: Path) -> None:
    store, run_id, file = await damaged(make_sqlite, tmp_path)
    with pytest.raises(StoreDamaged) as refused:
        await store.read(run_id, after=1500, limit=3000)
    assert str(file) in refused.value.message
    assert "backup" in refused.value.message


async def test_from_the_first_damaged_page_on_the_store_is_not_ready(make_sqlite: MakeSqlite, tmp_path: Path) -> None:
    store, run_id, file = await damaged(make_sqlite, tmp_path)
    await store.ping()
    assert store.failures.writable
    with pytest.raises(StoreDamaged):
        await store.read(run_id, after=1500, limit=3000)
    with pytest.raises(StoreDamaged, match=str(file)):
        await store.ping()
    await stored_run(store)  # a commit that happens to succeed is no proof
    assert not store.failures.writable
    assert (await store.get(run_id)) is not None  # what lies on sound pages is still read


async def test_a_write_that_meets_a_damaged_page_says_so_too(make_sqlite: MakeSqlite, tmp_path: Path) -> None:
    store, run_id, _ = await damaged(make_sqlite, tmp_path)
    with pytest.raises(StoreDamaged):
        await store.delete(run_id)
    with pytest.raises(StoreDamaged):
        await store.ping()


async def test_a_file_that_is_no_database_is_named(make_sqlite: MakeSqlite, tmp_path: Path) -> None:
    (tmp_path / "runs.db").write_bytes(b"no database at all" * 1000)
    with pytest.raises(StoreDamaged, match=r"runs\.db"):
        await make_sqlite(database=str(tmp_path / "runs.db"))


async def test_a_limit_of_threads_is_named(
    make_sqlite: MakeSqlite, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store: SqliteRunStore = await make_sqlite()

    def refuse(_: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    with monkeypatch.context() as limited:
        limited.setattr(threading.Thread, "start", refuse)
        with pytest.raises(StoreUnavailable, match="ulimit -u"):
            await store.get("run")
        with pytest.raises(StoreUnavailable, match="ulimit -u"):
            await make_sqlite(database=str(tmp_path / "other.db"))
    assert await store.get("run") is None
    await store.close()
    with pytest.raises(StoreUnavailable, match="closed"):
        await store.get("run")


async def test_a_writer_without_a_thread_leaves_no_connection_behind(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    start = threading.Thread.start

    def refuse(thread: threading.Thread) -> None:
        if thread.name == "store-writer":
            raise RuntimeError("can't start new thread")
        start(thread)

    opened: list[sqlite3.Connection] = []
    closed: list[sqlite3.Connection] = []

    class Watched(sqlite3.Connection):
        def __init__(self, *args: Any, **options: Any) -> None:
            super().__init__(*args, **options)
            opened.append(self)

        def close(self) -> None:
            closed.append(self)
            super().close()

    connect = sqlite3.connect
    monkeypatch.setattr(files.sqlite3, "connect", lambda *args, **options: connect(*args, factory=Watched, **options))
    monkeypatch.setattr(threading.Thread, "start", refuse)
    store = SqliteRunStore(str(tmp_path / "runs.db"), state_dir=tmp_path)
    with pytest.raises(StoreUnavailable, match="ulimit -u"):
        await store.open()
    assert opened
    assert set(closed) == set(opened)
    await store.close()


async def test_a_write_outwaits_a_backup_for_longer_than_a_read_waits(store: SqliteRunStore) -> None:
    patience = await store.database.write(lambda connection: connection.execute("PRAGMA busy_timeout").fetchone()[0])
    assert patience == sqlite.WRITER_PATIENCE * 1000 == 30_000
    assert (
        await store.database.read(lambda connection: connection.execute("PRAGMA busy_timeout").fetchone()[0]) == 5_000
    )


async def test_a_write_behind_a_short_lock_is_taken(store: SqliteRunStore, tmp_path: Path) -> None:
    await store.create(header("run"))
    with sqlite3.connect(tmp_path / "state" / "runs.db", isolation_level=None) as other:
        other.execute("BEGIN IMMEDIATE")
        waiting = store.append("run", events(1, 1), summary("run", 1))
        await store.get("run")
        assert not waiting.done()
        other.execute("COMMIT")
        await waiting
    other.close()
