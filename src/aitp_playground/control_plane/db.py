"""SQLite in WAL mode: one thread writes in group commits, a few read."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import os
import queue
import sqlite3
import stat
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar
from zlib import crc32

T = TypeVar("T")
#: Runs in a transaction that it does not end. It may run twice, so its only effect is on the connection.
Work = Callable[[sqlite3.Connection], T]

MEMORY = ":memory:"
READERS = 3
BUSY_SECONDS = 5.0
CLOSE_SECONDS = 10.0
#: Writes that wait at once; one more is refused as a lost database is.
MAX_WAITING = 10_000


class DatabaseLost(sqlite3.OperationalError):
    """The database cannot be reached, or was declared so."""


def varchar(name: str, most: int, rest: str = "") -> str:
    """A text column of at most ``most`` characters without NUL; Postgres refuses what is longer, SQLite would not."""
    return f"{name} TEXT {rest} CHECK (length({name}) <= {most} AND instr({name}, char(0)) = 0)"


@dataclass(frozen=True, slots=True)
class _Piece:
    work: Work[Any]
    future: asyncio.Future[Any]


class Database:
    """``lost`` makes every read and write raise :class:`DatabaseLost`. Used from the loop that opened it.

    A write never waits for ever: whatever becomes of the writer, those who wait are told.
    """

    def __init__(self, path: str) -> None:
        self.lost = False
        #: Writes that are held now.
        self.held = 0
        self._path = path
        self._writable = asyncio.Event()
        self._writable.set()
        self._changed = threading.Condition()
        self._waiting: list[_Piece] = []
        self._stopping = False
        self._thread: threading.Thread | None = None
        self._pool: ThreadPoolExecutor | None = None
        self._idle: queue.LifoQueue[sqlite3.Connection] = queue.LifoQueue()
        self._loop: asyncio.AbstractEventLoop | None = None

    async def open(self, schema: Sequence[str]) -> None:
        """Make the file (0600) and the tables that are missing. Raises ``sqlite3.Error`` or ``OSError``."""
        self._loop = asyncio.get_running_loop()
        connection = await asyncio.to_thread(self._connect, schema)
        self._thread = threading.Thread(target=self._run, args=(connection,), name="cp-writer", daemon=True)
        self._thread.start()
        if self._path != MEMORY:
            self._pool = ThreadPoolExecutor(READERS, thread_name_prefix="cp-reader")

    async def close(self) -> None:
        """Commit what waits; refuse what comes."""
        await asyncio.to_thread(self._close)

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
        return await self._submit(work)

    async def _submit(self, work: Work[T]) -> T:
        if self.lost or self._loop is None:
            raise DatabaseLost("the database is not there")
        future: asyncio.Future[T] = self._loop.create_future()
        with self._changed:
            if self._stopping or len(self._waiting) >= MAX_WAITING:
                raise DatabaseLost("the database is closed" if self._stopping else "too many writes wait")
            self._waiting.append(_Piece(work, future))
            self._changed.notify()
        return await future

    async def read(self, work: Work[T]) -> T:
        """Run ``work`` on a connection that cannot write; it sees every write that was answered."""
        if self._pool is None:
            # A database in memory has one connection only.
            return await self._submit(work)
        if self.lost or self._stopping:
            raise DatabaseLost("the database is not there")
        return await asyncio.get_running_loop().run_in_executor(self._pool, self._query, work)

    # -- opening and closing ------------------------------------------------------------------------------------------

    def _connect(self, schema: Sequence[str]) -> sqlite3.Connection:
        if self._path != MEMORY:
            inspect(self._path, schema)
            _make_private(Path(self._path))
        connection = _open(self._path, uri=False)
        try:
            connection.execute("PRAGMA journal_mode=WAL")
            connection.execute("PRAGMA synchronous=FULL")
            connection.execute("PRAGMA foreign_keys=ON")
            _create(connection, schema)
        except BaseException:
            connection.close()
            raise
        return connection

    def _close(self) -> None:
        if self._pool is not None:
            self._pool.shutdown(wait=True, cancel_futures=True)
        while not self._idle.empty():
            self._idle.get_nowait().close()
        with self._changed:
            self._stopping = True
            self._changed.notify()
        if self._thread is not None:
            self._thread.join(CLOSE_SECONDS)

    # -- in the readers -----------------------------------------------------------------------------------------------

    def _query(self, work: Work[T]) -> T:
        try:
            connection = self._idle.get_nowait()
        except queue.Empty:
            connection = _open(f"{Path(self._path).absolute().as_uri()}?mode=ro", uri=True)
        try:
            return work(connection)
        finally:
            self._idle.put(connection)

    # -- in the writer ------------------------------------------------------------------------------------------------

    def _run(self, connection: sqlite3.Connection) -> None:
        try:
            while group := self._take():
                self._answer(self._commit(connection, group))
        finally:
            with self._changed:
                self._stopping = True
                left, self._waiting = self._waiting, []
            self._answer([(piece, DatabaseLost("the writer has ended"), False) for piece in left])
            connection.close()

    def _answer(self, outcomes: Sequence[_Outcome]) -> None:
        # Of a loop that is closed nobody waits for an answer.
        with contextlib.suppress(RuntimeError):
            if self._loop is not None:
                self._loop.call_soon_threadsafe(_settle, outcomes)

    def _take(self) -> list[_Piece]:
        with self._changed:
            self._changed.wait_for(lambda: self._waiting or self._stopping)
            group, self._waiting = self._waiting, []
            return group

    def _commit(self, connection: sqlite3.Connection, group: Sequence[_Piece]) -> list[_Outcome]:
        """Each piece with its result and True, or with its failure and False."""
        try:
            # Left behind by a group whose end failed, too; a failure here is that of the group again.
            _roll_back(connection)
            connection.execute("BEGIN IMMEDIATE")
            outcomes = [(piece, *self._one(connection, piece)) for piece in group]
            connection.execute("COMMIT")
        except Exception as failure:  # noqa: BLE001 - told to everybody who waits for it
            with contextlib.suppress(sqlite3.Error):
                _roll_back(connection)
            return [(piece, failure, False) for piece in group]
        return outcomes

    def _one(self, connection: sqlite3.Connection, piece: _Piece) -> tuple[Any, bool]:
        connection.execute("SAVEPOINT piece")
        try:
            result = piece.work(connection)
        except Exception as failure:
            if not connection.in_transaction:
                raise sqlite3.OperationalError("the transaction was given up") from failure
            connection.execute("ROLLBACK TO piece")
            connection.execute("RELEASE piece")
            return failure, False
        connection.execute("RELEASE piece")
        return result, True


#: A piece, its result and True, or its failure and False.
_Outcome = tuple[_Piece, Any, bool]


def _roll_back(connection: sqlite3.Connection) -> None:
    if connection.in_transaction:
        connection.execute("ROLLBACK")


def _open(target: str, *, uri: bool) -> sqlite3.Connection:
    connection = sqlite3.connect(
        target, uri=uri, timeout=BUSY_SECONDS, isolation_level=None, check_same_thread=False, cached_statements=256
    )
    connection.row_factory = sqlite3.Row
    return connection


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
        state = Path(path).stat()
    except FileNotFoundError:
        return
    if not stat.S_ISREG(state.st_mode):
        raise OSError(errno.EINVAL, "the database must be a regular file", path)
    if state.st_uid != os.geteuid() and state.st_mode & 0o077:
        raise PermissionError(errno.EPERM, "the database belongs to somebody else and is open to others", path)
    if not state.st_size:
        return
    # Immutable: SQLite then leaves no files of its own beside it. What is still in a log is looked at on opening.
    with contextlib.closing(_open(f"{Path(path).absolute().as_uri()}?mode=ro&immutable=1", uri=True)) as connection:
        try:
            _check_release(connection, schema)
        except sqlite3.DatabaseError as failure:
            raise sqlite3.DatabaseError(f"{path}: {failure}") from failure


def _make_private(path: Path) -> None:
    """Create ``path`` (0600), or take it from others: it holds the secrets of webhooks. ``-wal`` gets the same mode."""
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NONBLOCK | os.O_CLOEXEC, 0o600)
    try:
        state = os.fstat(descriptor)
        if stat.S_ISREG(state.st_mode) and state.st_uid == os.geteuid() and state.st_mode & 0o077:
            os.fchmod(descriptor, 0o600)
    finally:
        os.close(descriptor)


def _settle(outcomes: Sequence[tuple[_Piece, Any, bool]]) -> None:
    for piece, outcome, done in outcomes:
        if piece.future.done():
            continue  # its waiter went away; the write stands
        if done:
            piece.future.set_result(outcome)
        else:
            piece.future.set_exception(outcome)
