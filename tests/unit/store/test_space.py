"""What removed runs took of the disk is given back."""

from __future__ import annotations

import asyncio
import sqlite3
from contextlib import closing
from pathlib import Path

from aitp_playground.sqlite import space
from aitp_playground.store.schema import migrate
from aitp_playground.store.sqlite import SqliteRunStore

from .building import events, stored_run, summary
from .conftest import MakeSqlite


async def filled(store: SqliteRunStore, runs: int) -> list[str]:
    made = []
    for _ in range(runs):
        run_id = await stored_run(store)
        await store.append(run_id, events(1, 500, "x" * 2000), summary(run_id, 500, "success", 1.0))
        made.append(run_id)
    return made


async def given_back(store: SqliteRunStore) -> None:
    async with asyncio.timeout(300):
        await store.room.given_back()


async def test_deleting_every_run_shortens_the_file(make_sqlite: MakeSqlite, tmp_path: Path) -> None:
    store: SqliteRunStore = await make_sqlite()
    made = await filled(store, 5)
    for run_id in made:
        assert await store.delete(run_id)
    await given_back(store)
    assert await store.database.write(lambda connection: connection.execute("PRAGMA freelist_count").fetchone()) == (0,)
    await store.close()
    assert (tmp_path / "state" / "runs.db").stat().st_size < 300_000


async def test_pruning_shortens_the_file_and_keeps_what_stays(make_sqlite: MakeSqlite, tmp_path: Path) -> None:
    store: SqliteRunStore = await make_sqlite()
    made = await filled(store, 5)
    assert await store.prune(1) == 4
    await given_back(store)
    left = [row.header.run_id for row in (await store.list_runs(limit=10)).rows]
    assert len(left) == 1
    assert set(left) < set(made)
    assert len((await store.read(left[0], limit=1000, max_bytes=1 << 24)).events) == 500
    await store.close()
    assert (tmp_path / "state" / "runs.db").stat().st_size < 2_500_000


async def test_appends_go_between_the_steps(store: SqliteRunStore) -> None:
    made = await filled(store, 4)
    run_id = await stored_run(store)
    for doomed in made:
        await store.delete(doomed)
    await store.append(run_id, events(1, 1), summary(run_id, 1))
    await given_back(store)
    assert len((await store.read(run_id)).events) == 1


def test_one_step_gives_back_no_more_than_it_says(tmp_path: Path) -> None:
    with closing(sqlite3.connect(tmp_path / "a.db", isolation_level=None)) as connection:
        space.keep_giving_back(connection)
        connection.execute("CREATE TABLE t (x)")
        connection.executemany("INSERT INTO t VALUES (?)", [("x" * 3000,)] * (space.PAGES_AT_ONCE + 50))
        connection.execute("DELETE FROM t")
        before = connection.execute("PRAGMA page_count").fetchone()[0]
        assert space.give_back(connection)
        assert connection.execute("PRAGMA page_count").fetchone()[0] == before - space.PAGES_AT_ONCE
        assert not space.give_back(connection)


async def test_a_database_of_an_earlier_release_is_left_as_it_is(make_sqlite: MakeSqlite, tmp_path: Path) -> None:
    path = tmp_path / "old.db"
    with closing(sqlite3.connect(path, isolation_level=None)) as old:
        migrate(old)
    store: SqliteRunStore = await make_sqlite(database=str(path))
    [run_id] = await filled(store, 1)
    assert await store.delete(run_id)
    await given_back(store)
    assert await store.database.write(lambda connection: connection.execute("PRAGMA freelist_count").fetchone()[0]) > 0
    assert len(await filled(store, 1)) == 1
