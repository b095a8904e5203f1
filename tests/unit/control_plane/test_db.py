"""The database: group commits, isolation of failures, reads, loss."""

from __future__ import annotations

import asyncio
import contextlib
import os
import sqlite3
import threading
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from aitp_playground.control_plane.db import Database, DatabaseLost, varchar
from aitp_playground.control_plane.options import Options
from aitp_playground.control_plane.server import control_plane

TABLE = (f"CREATE TABLE IF NOT EXISTS notes (n INTEGER PRIMARY KEY, {varchar('text', 5)})",)


@pytest.fixture(params=["file", "memory"])
async def db(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Database]:
    database = Database(str(tmp_path / "x.db") if request.param == "file" else ":memory:")
    await database.open(TABLE)
    yield database
    await database.close()


def add(text: Any) -> Any:
    return lambda conn: conn.execute("INSERT INTO notes (text) VALUES (?)", (text,)).lastrowid


async def texts(db: Database) -> list[str]:
    return await db.read(lambda conn: [row["text"] for row in conn.execute("SELECT text FROM notes ORDER BY n")])


def modes(directory: Path) -> dict[str, int]:
    return {file.name: file.stat().st_mode & 0o777 for file in directory.iterdir()}


async def test_a_read_sees_every_write_that_was_answered(db: Database) -> None:
    for number in range(5):
        await db.write(add(str(number)))
        assert len(await texts(db)) == number + 1


async def test_writes_of_one_group_keep_their_order_and_results(db: Database) -> None:
    numbers = await asyncio.gather(*[db.write(add(str(number))) for number in range(50)])
    assert numbers == list(range(1, 51))
    assert await texts(db) == [str(number) for number in range(50)]


async def test_writes_that_wait_together_are_one_transaction(tmp_path: Path) -> None:
    db = Database(str(tmp_path / "x.db"))
    await db.open(TABLE)
    gate, begun = threading.Event(), asyncio.Event()
    loop, commits = asyncio.get_running_loop(), []

    def hold(conn: sqlite3.Connection) -> None:
        conn.set_trace_callback(lambda sql: commits.append(sql) if sql == "COMMIT" else None)
        loop.call_soon_threadsafe(begun.set)
        gate.wait(10)

    first = asyncio.ensure_future(db.write(hold))
    await begun.wait()
    rest = [asyncio.ensure_future(db.write(add(str(number)))) for number in range(20)]
    await asyncio.sleep(0)
    gate.set()
    await asyncio.gather(first, *rest)
    await db.close()
    assert len(commits) == 2


async def test_a_piece_that_fails_undoes_its_own_changes_and_nobody_elses(db: Database) -> None:
    def half(conn: sqlite3.Connection) -> None:
        add("half")(conn)
        raise ValueError("no")

    done = await asyncio.gather(db.write(add("a")), db.write(half), db.write(add("b")), return_exceptions=True)
    assert [type(outcome) for outcome in done] == [int, ValueError, int]
    assert await texts(db) == ["a", "b"]


@pytest.mark.parametrize("text", ["123456", "a\0b", "\ud800"], ids=["long", "nul", "surrogate"])
async def test_a_column_refuses_what_postgres_would(db: Database, text: str) -> None:
    with pytest.raises((sqlite3.IntegrityError, UnicodeEncodeError)):
        await db.write(add(text))
    await db.write(add("éééé😀"))
    assert await texts(db) == ["éééé😀"]


async def test_readers_cannot_write(tmp_path: Path) -> None:
    db = Database(str(tmp_path / "x.db"))
    await db.open(TABLE)
    with pytest.raises(sqlite3.OperationalError, match="readonly"):
        await db.read(add("x"))
    await db.close()


async def test_a_write_goes_on_beside_reads_that_take_long(tmp_path: Path) -> None:
    db = Database(str(tmp_path / "x.db"))
    await db.open(TABLE)
    gate = threading.Event()

    def slow(conn: sqlite3.Connection) -> int:
        gate.wait(10)
        count: int = conn.execute("SELECT count(*) FROM notes").fetchone()[0]
        return count

    reading = asyncio.ensure_future(db.read(slow))
    await db.write(add("x"))
    gate.set()
    assert await reading == 1
    await db.close()


async def test_a_lost_database_refuses_until_it_is_found_again(db: Database) -> None:
    await db.write(add("x"))
    db.lost = True
    for attempt in (db.write(add("y")), db.read(lambda conn: None)):
        with pytest.raises(DatabaseLost):
            await attempt
    db.lost = False
    assert await texts(db) == ["x"]


async def test_a_write_whose_waiter_went_away_stands(db: Database) -> None:
    gate = threading.Event()
    held = asyncio.ensure_future(db.write(lambda conn: gate.wait(10)))
    left = asyncio.ensure_future(db.write(add("x")))
    await asyncio.sleep(0)
    left.cancel()
    gate.set()
    await held
    assert await texts(db) == ["x"]


async def test_what_waits_is_committed_by_closing_and_what_comes_later_refused(tmp_path: Path) -> None:
    db = Database(str(tmp_path / "x.db"))
    await db.open(TABLE)
    waiting = [asyncio.ensure_future(db.write(add(str(number)))) for number in range(5)]
    await asyncio.sleep(0)
    await db.close()
    await asyncio.gather(*waiting)
    for attempt in (db.write(add("late")), db.read(lambda conn: None)):
        with pytest.raises(DatabaseLost):
            await attempt
    with sqlite3.connect(tmp_path / "x.db") as conn:
        assert conn.execute("SELECT count(*) FROM notes").fetchone() == (5,)
    conn.close()


async def test_the_files_are_their_owners_alone(tmp_path: Path) -> None:
    path = tmp_path / "x.db"
    path.touch(mode=0o644)
    db = Database(str(path))
    await db.open(TABLE)
    await db.write(add("x"))
    assert set(modes(tmp_path).values()) == {0o600}
    await db.close()


async def test_opening_again_keeps_what_is_there(tmp_path: Path) -> None:
    for number in range(2):
        db = Database(str(tmp_path / "x.db"))
        await db.open(TABLE)
        await db.write(add(str(number)))
        await db.close()
    assert list(modes(tmp_path)) == ["x.db"], "the log is folded in"


@pytest.mark.parametrize("path", ["missing/x.db", "."])
async def test_a_database_that_cannot_be_opened_says_so(tmp_path: Path, path: str) -> None:
    with pytest.raises((OSError, sqlite3.Error)):
        await Database(str(tmp_path / path)).open(TABLE)


async def test_a_database_of_another_release_is_refused_and_left_alone(tmp_path: Path) -> None:
    for schema, refusal in (
        (TABLE, None),
        (("CREATE TABLE IF NOT EXISTS other (n)",), "another release"),
        (TABLE, None),
    ):
        db = Database(str(tmp_path / "x.db"))
        if refusal:
            with pytest.raises(sqlite3.DatabaseError, match=refusal):
                await db.open(schema)
        else:
            await db.open(schema)
            await db.write(add("x"))
            await db.close()


class _Stubborn(sqlite3.Connection):
    """Fails the statements it is told to, once each."""

    refuses: list[str] = []  # noqa: RUF012 - shared on purpose: SQLite makes the connection

    def execute(self, sql: str, *args: Any) -> sqlite3.Cursor:
        if sql in self.refuses:
            self.refuses.remove(sql)
            raise sqlite3.OperationalError(f"disk I/O error in {sql}")
        return super().execute(sql, *args)


@pytest.fixture(params=["file", "memory"])
async def stubborn(
    request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[Database]:
    connect = sqlite3.connect
    monkeypatch.setattr(sqlite3, "connect", lambda *args, **kwargs: connect(*args, factory=_Stubborn, **kwargs))
    monkeypatch.setattr(_Stubborn, "refuses", [])
    database = Database(str(tmp_path / "x.db") if request.param == "file" else ":memory:")
    await database.open(TABLE)
    yield database
    await database.close()


@pytest.mark.parametrize(
    "refused", [["COMMIT", "ROLLBACK"], ["ROLLBACK TO piece", "ROLLBACK"], ["BEGIN IMMEDIATE"], ["COMMIT"]], ids=str
)
async def test_a_write_that_cannot_be_undone_fails_and_later_ones_go_on(stubborn: Database, refused: list[str]) -> None:
    _Stubborn.refuses[:] = refused
    async with asyncio.timeout(20):
        with pytest.raises(sqlite3.OperationalError, match="disk I/O error"):
            await stubborn.write(add("too long for it" if "ROLLBACK TO piece" in refused else "lost"))
        await stubborn.write(add("kept"))
    assert await texts(stubborn) == ["kept"]


async def test_a_rollback_that_keeps_failing_fails_each_write_and_hangs_none(stubborn: Database) -> None:
    _Stubborn.refuses[:] = ["COMMIT"] + ["ROLLBACK"] * 5
    async with asyncio.timeout(20):
        for _ in range(3):
            with pytest.raises(sqlite3.OperationalError):
                await stubborn.write(add("lost"))
        await stubborn.write(add("kept"))
    assert await texts(stubborn) == ["kept"]


async def test_held_writes_wait_while_reads_go_on_and_are_then_done_once(db: Database) -> None:
    await db.write(add("a"))
    db.hold_writes(True)
    writing = asyncio.create_task(db.write(add("b")))
    assert await texts(db) == ["a"]
    assert not writing.done()
    db.hold_writes(False)
    await writing
    assert await texts(db) == ["a", "b"]


def _look(path: Path) -> tuple[Any, ...]:
    state = path.stat()
    return state.st_mode, state.st_mtime_ns, state.st_ino


def _directory(path: Path) -> None:
    path.mkdir(mode=0o755)


def _text(path: Path) -> None:
    path.write_text("shopping list " * 100)
    path.chmod(0o644)


def _pipe(path: Path) -> None:
    os.mkfifo(path, 0o644)


def _foreign(path: Path) -> None:
    with contextlib.closing(sqlite3.connect(path)) as connection:
        connection.execute("CREATE TABLE somebody_elses (n)")
        connection.commit()
    path.chmod(0o644)


def _released(path: Path) -> None:
    _foreign(path)
    with contextlib.closing(sqlite3.connect(path)) as connection:
        connection.execute("PRAGMA user_version = 7")


def _linked_directory(path: Path) -> None:
    (path.parent / "there").mkdir(mode=0o755)
    path.symlink_to("there")


@pytest.mark.parametrize("make", [_directory, _text, _pipe, _foreign, _released, _linked_directory])
async def test_what_cannot_be_the_database_is_left_as_it_is(tmp_path: Path, make: Any) -> None:
    path = tmp_path / "given"
    make(path)
    before, listed = _look(path), sorted(modes(tmp_path))
    with pytest.raises((OSError, sqlite3.Error)):
        async with control_plane(Options(database=str(path))):
            pass
    assert _look(path) == before
    assert sorted(modes(tmp_path)) == listed


async def test_a_database_of_ours_that_others_could_read_is_taken_from_them(tmp_path: Path) -> None:
    path = tmp_path / "x.db"
    for _ in range(2):
        db = Database(str(path))
        await db.open(TABLE)
        await db.close()
        assert path.stat().st_mode & 0o777 == 0o600
        path.chmod(0o644)
