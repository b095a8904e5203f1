"""Groups: what shares a commit, what a failure takes with it, and what happens when nothing can be written."""

from __future__ import annotations

import asyncio
import sqlite3
import threading
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from aitp_playground.errors import InvalidRequest, Overloaded, RunNotFound, StoreUnavailable
from aitp_playground.sqlite import writer as writing
from aitp_playground.sqlite.database import SqliteDatabase
from aitp_playground.sqlite.files import connect_writer
from aitp_playground.sqlite.writer import Work, Writer
from aitp_playground.store.failures import StoreFailures
from aitp_playground.store.owners import is_alive
from aitp_playground.store.port import OutOfSequence
from aitp_playground.store.schema import check
from aitp_playground.store.sqlite import SqliteRunStore

from .building import events, header, stored_run, summary
from .conftest import MakeSqlite


@asynccontextmanager
async def held(writer: Writer | SqliteDatabase) -> AsyncIterator[None]:
    """While inside, the writer is busy with a commit, so that everything handed over becomes the next group."""
    entered, leave = asyncio.Event(), threading.Event()
    loop = asyncio.get_running_loop()

    def wait(_: sqlite3.Connection) -> None:
        loop.call_soon_threadsafe(entered.set)
        leave.wait(30)

    busy = writer.submit(wait) if isinstance(writer, Writer) else writer.write(wait)
    try:
        async with asyncio.timeout(300):
            await entered.wait()
        yield
    finally:
        leave.set()
        await busy


def insert(number: int) -> Work[int]:
    def work(connection: sqlite3.Connection) -> int:
        connection.execute("INSERT INTO numbers VALUES (?)", (number,))
        return number

    return work


@pytest.fixture
async def commits(tmp_path: Path) -> AsyncIterator[tuple[Writer, list[str]]]:
    """A writer over a bare table of unique numbers, and the transactions it asked SQLite for."""
    connection = connect_writer(tmp_path / "bare.db", check, "the database")
    connection.execute("CREATE TABLE numbers (n INTEGER NOT NULL UNIQUE)")
    statements: list[str] = []
    connection.set_trace_callback(statements.append)
    loop = asyncio.get_running_loop()
    writer = Writer(connection, loop, name="bare", failures=StoreFailures(None), max_events=1000, max_bytes=1000)
    yield writer, statements
    assert await loop.run_in_executor(None, writer.stop, 10.0)


async def test_what_waits_during_a_commit_shares_the_next_one(commits: tuple[Writer, list[str]]) -> None:
    writer, statements = commits
    async with held(writer):
        waiting = [writer.submit(insert(n)) for n in range(50)]
    assert await asyncio.gather(*waiting) == list(range(50))
    assert statements.count("COMMIT") == 2


async def test_a_piece_that_fails_fails_alone(commits: tuple[Writer, list[str]]) -> None:
    writer, statements = commits
    async with held(writer):
        waiting = [writer.submit(insert(n)) for n in (1, 2, 2, 3)]
    answers = await asyncio.gather(*waiting, return_exceptions=True)
    assert [answers[n] for n in (0, 1, 3)] == [1, 2, 3]
    assert isinstance(answers[2], sqlite3.IntegrityError)
    assert statements.count("COMMIT") == 2


async def test_a_piece_that_fails_half_way_leaves_nothing(commits: tuple[Writer, list[str]]) -> None:
    writer, _ = commits

    def half(connection: sqlite3.Connection) -> None:
        insert(7)(connection)
        raise RuntimeError("half way")

    async with held(writer):
        failing, following = writer.submit(half), writer.submit(insert(7))
    with pytest.raises(RuntimeError, match="half way"):
        await failing
    assert await following == 7


async def test_a_cancelled_waiter_neither_stops_its_write_nor_the_others(commits: tuple[Writer, list[str]]) -> None:
    writer, _ = commits
    async with held(writer):
        given_up, other = writer.submit(insert(1)), writer.submit(insert(2))
        given_up.cancel()
    assert await other == 2
    assert await writer.submit(lambda c: c.execute("SELECT sum(n) FROM numbers").fetchone()[0]) == 3


async def test_stopping_commits_everything_that_was_handed_over(tmp_path: Path) -> None:
    connection = connect_writer(tmp_path / "bare.db", check, "the database")
    connection.execute("CREATE TABLE numbers (n INTEGER)")
    loop = asyncio.get_running_loop()
    writer = Writer(connection, loop, name="bare", failures=StoreFailures(None), max_events=1000, max_bytes=1000)
    waiting = [writer.submit(insert(n)) for n in range(200)]
    assert await loop.run_in_executor(None, writer.stop, 10.0)
    assert len(await asyncio.gather(*waiting)) == 200
    with pytest.raises(sqlite3.ProgrammingError, match="closed"):
        connection.execute("SELECT 1")


async def test_beyond_the_bound_appends_are_refused_and_a_cancel_is_still_taken(make_sqlite: MakeSqlite) -> None:
    store: SqliteRunStore = await make_sqlite(max_waiting_events=10)
    run_id = await stored_run(store)
    async with held(store.database):
        first = store.append(run_id, events(1, 8), summary(run_id, 8))
        refused = store.append(run_id, events(9, 16), summary(run_id, 16))
        with pytest.raises(Overloaded) as overload:
            await refused
        assert not isinstance(overload.value, StoreUnavailable)
        cancel = store.request_cancel(run_id)
        assert store.pressure[0] == 8
    await asyncio.gather(first, cancel)
    await store.append(run_id, events(9, 16), summary(run_id, 16))
    assert len((await store.read(run_id)).events) == 16


async def test_a_commit_that_does_not_end_shows_while_it_goes_on(
    commits: tuple[Writer, list[str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    now = [100.0]
    monkeypatch.setattr(writing.time, "perf_counter", lambda: now[0])
    writer, _ = commits
    async with held(writer):
        now[0] += 50
        assert writer.last_commit == 50
        now[0] += 25
    assert writer.last_commit == 75
    await writer.submit(insert(1))
    assert writer.last_commit == 0


async def test_bytes_are_bounded_as_well(make_sqlite: MakeSqlite) -> None:
    store: SqliteRunStore = await make_sqlite(max_waiting_bytes=1000)
    run_id = await stored_run(store)
    async with held(store.database):
        alone = store.append(run_id, events(1, 1, "x" * 5000), summary(run_id, 1))
        with pytest.raises(Overloaded):
            await store.append(run_id, events(2, 2, "x" * 5000), summary(run_id, 2))
    await alone


async def test_an_append_behind_a_failed_one_fails_too_and_names_the_place_to_go_on(store: SqliteRunStore) -> None:
    run_id = await stored_run(store, 2)
    other = await stored_run(store)
    async with held(store.database):
        gap = store.append(run_id, events(5, 6), summary(run_id, 6))
        behind = store.append(run_id, events(7, 8), summary(run_id, 8))
        unrelated = store.append(other, events(1, 1), summary(other, 1))
        unknown = store.append("nobody", events(1, 1), summary("nobody", 1))
        duplicate = store.create(header(run_id))
        surrogate = store.create(header(run_label="\udc00"))
    answers = await asyncio.gather(gap, behind, unrelated, unknown, duplicate, surrogate, return_exceptions=True)
    kinds = [type(answer) for answer in answers]
    assert kinds == [OutOfSequence, OutOfSequence, type(None), RunNotFound, sqlite3.IntegrityError, InvalidRequest]
    assert [answer.expected for answer in answers if isinstance(answer, OutOfSequence)] == [3, 3]


async def test_a_full_disk_fails_writes_and_ping_and_the_store_recovers_when_there_is_room(
    store: SqliteRunStore,
) -> None:
    run_id = await stored_run(store)
    database = store.database
    pages = await database.write(lambda c: c.execute("PRAGMA page_count").fetchone()[0])
    await database.write(lambda c: c.execute(f"PRAGMA max_page_count={pages + 20}").fetchone())
    await store.ping()
    assert store.failures.writable
    with capture_logs() as logs:
        appends = [store.append(run_id, events(n, n, "x" * 3000), summary(run_id, n)) for n in range(1, 101)]
        answers = await asyncio.gather(*appends, return_exceptions=True)
        stored = answers.count(None)
        assert isinstance(answers[stored], StoreUnavailable)
        for _ in range(3):
            with pytest.raises(StoreUnavailable, match="full"):
                await store.ping()
            assert not store.failures.writable
        row = await store.get(run_id)
        assert row is not None
        assert row.summary.event_count == stored == len((await store.read(run_id)).events)
        await database.write(lambda c: c.execute("PRAGMA max_page_count=1000000").fetchone())
        await store.ping()
        await store.append(run_id, events(stored + 1, stored + 9), summary(run_id, stored + 9))
        assert store.failures.writable
    assert [entry["event"] for entry in logs] == ["store.unavailable", "store.available"]


async def test_a_write_too_big_for_the_disk_does_not_fail_the_small_one_beside_it(store: SqliteRunStore) -> None:
    big, small = await stored_run(store), await stored_run(store)
    database = store.database
    pages = await database.write(lambda c: c.execute("PRAGMA page_count").fetchone()[0])
    await database.write(lambda c: c.execute(f"PRAGMA max_page_count={pages + 5}").fetchone())
    async with held(database):
        too_big = store.append(big, events(1, 1, "x" * 100_000), summary(big, 1))
        fits = store.append(small, events(1, 1), summary(small, 1))
    with pytest.raises(StoreUnavailable):
        await too_big
    await fits


async def test_a_database_file_that_was_removed_is_not_written_to_in_secret(
    store: SqliteRunStore, tmp_path: Path
) -> None:
    run_id = await stored_run(store)
    (tmp_path / "state" / "runs.db").unlink()
    with pytest.raises(StoreUnavailable, match="removed or replaced"):
        await store.append(run_id, events(1, 1), summary(run_id, 1))
    with pytest.raises(StoreUnavailable, match="removed or replaced"):
        await store.ping()


async def test_closing_the_store_commits_what_was_handed_over(make_sqlite: MakeSqlite) -> None:
    store: SqliteRunStore = await make_sqlite()
    run_id = await stored_run(store)
    waiting = [store.append(run_id, events(n, n), summary(run_id, n)) for n in range(1, 101)]
    await store.close()
    await asyncio.gather(*waiting)
    reopened = await make_sqlite()
    assert len((await reopened.read(run_id)).events) == 100


async def test_a_commit_does_not_hold_up_the_event_loop_or_the_readers(store: SqliteRunStore) -> None:
    run_id = await stored_run(store, 1)
    async with held(store.database):
        waiting = store.append(run_id, events(2, 2), summary(run_id, 2))
        assert len((await store.read(run_id)).events) == 1
        assert not waiting.done()
    await waiting
    assert len((await store.read(run_id)).events) == 2


async def test_commits_are_synced_to_disk_through_a_write_ahead_log(store: SqliteRunStore) -> None:
    """A killed process cannot show a missing fsync, only a power cut can."""
    pragmas = ("synchronous", "journal_mode", "foreign_keys")
    values = await store.database.write(lambda c: [c.execute(f"PRAGMA {name}").fetchone()[0] for name in pragmas])
    assert values == [2, "wal", 1]


async def test_readers_cannot_write(store: SqliteRunStore) -> None:
    with pytest.raises(StoreUnavailable, match="readonly"):
        await store.database.read(lambda c: c.execute("DELETE FROM runs"))
    await store.ping()


async def test_an_opening_that_is_cancelled_leaves_nothing_open(tmp_path: Path) -> None:
    store = SqliteRunStore(str(tmp_path / "runs.db"), state_dir=tmp_path)
    before = set(threading.enumerate())
    opening = asyncio.create_task(store.open())
    await asyncio.sleep(0)
    opening.cancel()
    with pytest.raises(asyncio.CancelledError):
        await opening
    with pytest.raises(StoreUnavailable):
        await store.create(header())
    assert "store-writer" not in {thread.name for thread in set(threading.enumerate()) - before}
    assert not is_alive(store.owner_id, tmp_path / "owners")


async def test_a_store_is_opened_once(store: SqliteRunStore) -> None:
    await store.close()
    with pytest.raises(RuntimeError, match="once"):
        await store.open()


async def test_closing_gives_up_on_a_disk_that_hangs(make_sqlite: MakeSqlite, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("aitp_playground.store.sqlite.CLOSE_SECONDS", 0.01)
    store: SqliteRunStore = await make_sqlite()
    run_id = await stored_run(store)
    async with held(store.database):
        waiting = store.append(run_id, events(1, 1), summary(run_id, 1))
        with capture_logs() as logs:
            await store.close()
        assert [(entry["event"], entry["waiting_events"]) for entry in logs] == [("store.close_timed_out", 1)]
    await waiting
