"""From any version to the newest, and no further."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from zlib import crc32

import pytest

from aitp_playground.errors import StoreUnavailable
from aitp_playground.store.schema import MIGRATIONS, check, migrate
from aitp_playground.store.sqlite import SqliteRunStore

from .building import stored_run
from .conftest import MakeSqlite

#: What each step says, blanks aside, as CRC-32.
STEPS = [1544243443, 3160965101, 4260448642, 140035933, 3132331131, 2948310291, 580691541, 1706504389]


@pytest.fixture
def connection(tmp_path: Path) -> Iterator[sqlite3.Connection]:
    with closing(sqlite3.connect(tmp_path / "runs.db", isolation_level=None)) as opened:
        yield opened


def version(connection: sqlite3.Connection) -> int:
    number: int = connection.execute("PRAGMA user_version").fetchone()[0]
    return number


def shape(connection: sqlite3.Connection) -> list[tuple[str, str]]:
    return sorted(connection.execute("SELECT name, sql FROM sqlite_master WHERE sql IS NOT NULL").fetchall())


@pytest.mark.parametrize("start", range(len(MIGRATIONS) + 1))
def test_every_version_reaches_the_newest_with_the_same_tables(connection: sqlite3.Connection, start: int) -> None:
    migrate(connection, MIGRATIONS[:start])
    assert migrate(connection) == start
    with closing(sqlite3.connect(":memory:", isolation_level=None)) as fresh:
        migrate(fresh)
        assert shape(connection) == shape(fresh)
    assert version(connection) == len(MIGRATIONS)


def test_no_step_is_edited_once_somebody_may_have_run_it() -> None:
    """Add a number for a new step. One that differs is a step that databases of an earlier commit have otherwise."""
    said = [crc32(" ".join(" ".join(statements).split()).encode()) for statements in MIGRATIONS]
    assert said == STEPS


def test_a_column_that_an_earlier_build_added_one_step_before_is_kept(connection: sqlite3.Connection) -> None:
    migrate(connection, MIGRATIONS[:5])
    connection.execute("ALTER TABLE runs ADD COLUMN proof TEXT")
    connection.execute("INSERT INTO pings (filler) VALUES (x'00')")
    assert migrate(connection) == 5
    with closing(sqlite3.connect(":memory:", isolation_level=None)) as fresh:
        migrate(fresh)
        assert shape(connection) == shape(fresh)
    assert connection.execute("SELECT count(*) FROM pings").fetchone() == (1,)


@pytest.mark.parametrize(
    ("statement", "named"),
    [
        ("ALTER TABLE runs DROP COLUMN proof", "the column proof of the table runs"),
        ("ALTER TABLE cp_batches DROP COLUMN given_up", "the column given_up of the table cp_batches"),
        ("DROP TABLE cp_foreign", "the table cp_foreign"),
    ],
)
async def test_a_database_without_what_its_version_has_is_refused_by_its_name_and_left_alone(
    connection: sqlite3.Connection, tmp_path: Path, statement: str, named: str
) -> None:
    migrate(connection)
    connection.execute(statement)
    before = shape(connection)
    store = SqliteRunStore(str(tmp_path / "runs.db"), state_dir=tmp_path)
    with pytest.raises(StoreUnavailable, match=named) as refused:
        await store.open()
    await store.close()
    assert str(tmp_path / "runs.db") in refused.value.message
    assert "RUN_HISTORY_DB" in refused.value.message
    assert shape(connection) == before


def test_a_later_step_keeps_what_was_stored_and_runs_once(connection: sqlite3.Connection) -> None:
    migrate(connection)
    connection.execute("INSERT INTO pings (filler) VALUES (x'00')")
    later = (*MIGRATIONS, ("ALTER TABLE pings ADD COLUMN note TEXT DEFAULT 'new'",))
    assert migrate(connection, later) == len(MIGRATIONS)
    assert migrate(connection, later) == len(later)
    assert connection.execute("SELECT note FROM pings").fetchall() == [("new",)]


def test_a_step_that_fails_leaves_the_version_before_it_whole(connection: sqlite3.Connection) -> None:
    migrate(connection)
    before = shape(connection)
    with pytest.raises(sqlite3.OperationalError):
        migrate(connection, (*MIGRATIONS, ("CREATE TABLE half (x)", "CREATE TABLE runs (x)")))
    assert (version(connection), shape(connection)) == (len(MIGRATIONS), before)
    assert not connection.in_transaction


async def test_a_database_of_a_later_release_is_refused_and_left_alone(
    connection: sqlite3.Connection, tmp_path: Path
) -> None:
    migrate(connection, (*MIGRATIONS, ("CREATE TABLE from_the_future (x)",)))
    before = shape(connection)
    store = SqliteRunStore(str(tmp_path / "runs.db"), state_dir=tmp_path)
    with pytest.raises(StoreUnavailable, match="later release"):
        await store.open()
    await store.close()
    assert shape(connection) == before
    assert not list((tmp_path / "owners").glob("*"))


async def test_somebody_elses_database_is_refused_and_left_alone(
    connection: sqlite3.Connection, tmp_path: Path
) -> None:
    connection.execute("CREATE TABLE addresses (name)")
    store = SqliteRunStore(str(tmp_path / "runs.db"), state_dir=tmp_path)
    with pytest.raises(StoreUnavailable, match="not a run history"):
        await store.open()
    await store.close()
    assert shape(connection) == [("addresses", "CREATE TABLE addresses (name)")]


async def test_a_file_that_is_no_database_is_refused(tmp_path: Path) -> None:
    (tmp_path / "runs.db").write_text("dear diary, " * 200)
    store = SqliteRunStore(str(tmp_path / "runs.db"), state_dir=tmp_path)
    with pytest.raises(StoreUnavailable, match="not a database"):
        await store.open()
    await store.close()
    assert (tmp_path / "runs.db").read_text().startswith("dear diary")


@pytest.mark.parametrize("narrowed", ["1", "status = 'running'", "scenario_ref = 'p/s@1'"])
async def test_lists_are_read_off_an_index_without_sorting(make_sqlite: MakeSqlite, narrowed: str) -> None:
    store: SqliteRunStore = await make_sqlite()
    await stored_run(store)
    query = (
        f"SELECT run_id FROM runs WHERE {narrowed} AND (created_at, key) < (5.0, 1) ORDER BY created_at DESC, key DESC"
    )
    plan = await store.database.read(
        lambda c: " ".join(row[3] for row in c.execute(f"EXPLAIN QUERY PLAN {query} LIMIT 9"))
    )
    assert "USING INDEX" in plan
    assert "TEMP B-TREE" not in plan


def test_a_database_that_is_made_while_it_is_looked_at_is_not_taken_for_somebody_elses(tmp_path: Path) -> None:
    with (
        closing(sqlite3.connect(tmp_path / "new.db", isolation_level=None)) as looking,
        closing(sqlite3.connect(tmp_path / "new.db", isolation_level=None)) as making,
    ):
        making.execute("PRAGMA journal_mode=WAL")

        def between(statement: str) -> None:
            if "sqlite_master" in statement:
                looking.set_trace_callback(None)
                migrate(making)

        looking.set_trace_callback(between)
        check(looking)
        assert making.execute("SELECT count(*) FROM runs").fetchone() == (0,)
