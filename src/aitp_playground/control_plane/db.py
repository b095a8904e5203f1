"""The one database of a Control Plane: what it refuses, and what can be made to go wrong with it."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Callable, Sequence
from contextlib import closing
from functools import partial
from pathlib import Path
from typing import TypeVar
from zlib import crc32

from aitp_playground.sqlite.database import SqliteDatabase
from aitp_playground.sqlite.files import connect_reader, refuse_unfit
from aitp_playground.sqlite.writer import Work

T = TypeVar("T")

MEMORY = ":memory:"
READERS = 3
CLOSE_SECONDS = 10.0
#: Writes that wait at once; one more is refused as a lost database is.
MAX_WAITING = 10_000
_WHAT = "the database"


class DatabaseLost(sqlite3.OperationalError):
    """The database cannot be reached, or was declared so."""


def varchar(name: str, most: int, rest: str = "") -> str:
    """A text column of at most ``most`` characters without NUL; Postgres refuses what is longer, SQLite would not."""
    return f"{name} TEXT {rest} CHECK (length({name}) <= {most} AND instr({name}, char(0)) = 0)"


class _Failures:
    """SQLite's own words reach the handlers: they answer as a service does that has lost its database."""

    def of_work(self, failure: Exception) -> Exception:
        return failure

    def unavailable(self, failure: Exception) -> Exception:
        return DatabaseLost(str(failure)) if isinstance(failure, RuntimeError) else failure

    def closed(self) -> Exception:
        return DatabaseLost("the database is closed")

    def full(self, waiting: int) -> Exception:
        return DatabaseLost(f"{waiting} writes wait, and no more are taken")

    def after_commit(self, errors: Sequence[Exception | None]) -> None:
        pass


class Database:
    """``lost`` makes every read and write raise :class:`DatabaseLost`. Used from the loop that opened it.

    A write never waits for ever: whatever becomes of the writer, those who wait are told.
    """

    def __init__(self, path: str) -> None:
        self.lost = False
        #: Writes that are held now.
        self.held = 0
        self._writable = asyncio.Event()
        self._writable.set()
        self._database = SqliteDatabase(
            None if path == MEMORY else Path(path),
            _Failures(),
            name="cp",
            what=_WHAT,
            max_events=MAX_WAITING,
            max_bytes=0,
            readers=READERS,
            rows=sqlite3.Row,
        )

    async def open(self, schema: Sequence[str]) -> None:
        """Make the file (0600) and the tables that are missing. Raises ``sqlite3.Error`` or ``OSError``."""
        await self._database.open(partial(_check_release, schema=schema), partial(_create, schema=schema))

    async def close(self) -> None:
        """Commit what waits; refuse what comes."""
        await self._database.close(timeout=CLOSE_SECONDS)

    def hold_writes(self, held: bool) -> None:
        """Have writes wait while reads go on, as they do in Postgres while an index is made; or let them go on."""
        if held:
            self._writable.clear()
        else:
            self._writable.set()

    async def write(self, work: Work[T]) -> T:
        """Run ``work`` in a transaction; it is on disk when this returns.

        Raises what ``work`` raised, after its changes (only its own) were undone; ``sqlite3.Error`` when SQLite did.
        """
        self.held += 1
        try:
            await self._writable.wait()
        finally:
            self.held -= 1
        self._refuse_lost()
        return await self._database.write(work, events=1)

    async def read(self, work: Callable[[sqlite3.Connection], T]) -> T:
        """Run ``work`` on a connection that cannot write; it sees every write that was answered."""
        self._refuse_lost()
        return await self._database.read(work)

    def _refuse_lost(self) -> None:
        if self.lost:
            raise DatabaseLost("the database is not there")


def _create(connection: sqlite3.Connection, schema: Sequence[str]) -> None:
    """Make the tables. Raises ``sqlite3.DatabaseError`` when they are there and were made by another release."""
    _check_release(connection, schema)
    connection.execute("BEGIN IMMEDIATE")
    for statement in schema:
        connection.execute(statement)
    connection.execute(f"PRAGMA user_version = {_mark(schema)}")
    connection.execute("COMMIT")


def _mark(schema: Sequence[str]) -> int:
    return crc32("\n".join(schema).encode()) & 0x7FFF_FFFF


def _check_release(connection: sqlite3.Connection, schema: Sequence[str]) -> None:
    # Nobody keeps a development database for years: one that does not fit is told of, not migrated.
    found = connection.execute("PRAGMA user_version").fetchone()[0]
    tables = connection.execute("SELECT count(*) FROM sqlite_master").fetchone()[0]
    if found != _mark(schema) and (found or tables):
        raise sqlite3.DatabaseError(
            "the database was made by another release or program; remove it or choose another one"
        )


def inspect(path: str, schema: Sequence[str]) -> None:
    """Look whether ``path`` can be the database, and change nothing there: no mode, no time, no file beside it.

    Raises ``OSError`` for what is no file, or one of somebody else's that others can read; ``sqlite3.Error`` for one
    that holds something else.
    """
    try:
        refuse_unfit(Path(path), _WHAT)
    except FileNotFoundError:
        return
    # What is still in a log is looked at on opening.
    with closing(connect_reader(Path(path), immutable=True)) as connection:
        try:
            _check_release(connection, schema)
        except sqlite3.DatabaseError as failure:
            raise sqlite3.DatabaseError(f"{path}: {failure}") from failure
