"""One database from its opening to its closing: a writer, a few readers, and the failures as its users know them."""

from __future__ import annotations

import asyncio
import os
import sqlite3
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import TypeVar

from aitp_playground import private_files
from aitp_playground.sqlite.failures import Failures
from aitp_playground.sqlite.files import connect_reader, connect_writer
from aitp_playground.sqlite.readers import Readers
from aitp_playground.sqlite.writer import Work, Writer

T = TypeVar("T")


class SqliteDatabase:
    """A file, or what is in memory (``path`` None) while it is open. Used from the event loop that opened it.

    ``name`` begins the names of its threads, ``what`` is what its file is called where it is refused. Beyond
    ``max_events`` events or ``max_bytes`` bytes that wait to be written more of them is refused (``Failures.full``).
    ``rows`` makes rows of tuples. ``make_directory``: that of the file, closed to others, when it is not there.
    """

    def __init__(
        self,
        path: Path | None,
        failures: Failures,
        *,
        name: str,
        what: str,
        max_events: int,
        max_bytes: int,
        readers: int,
        rows: type[sqlite3.Row] | None = None,
        make_directory: bool = False,
    ) -> None:
        self.path = path
        self._failures = failures
        self._name = name
        self._what = what
        self._bounds = {"max_events": max_events, "max_bytes": max_bytes}
        self._threads = readers
        self._rows = rows
        self._make_directory = make_directory
        self._writer: Writer | None = None
        self._readers: Readers | None = None
        self._file: os.stat_result | None = None
        #: Called in the writer's thread outside any transaction; what it raises is what the commit fails with.
        self.before_commit: Callable[[sqlite3.Connection], None] = lambda _: None
        #: Called there too, before what is not written ``always``; raises OSError to refuse it.
        self.admit: Callable[[], None] = lambda: None

    async def open(
        self, check: Callable[[sqlite3.Connection], None], prepare: Callable[[sqlite3.Connection], None]
    ) -> None:
        """``check`` raises for a database of somebody else, which is then left alone; ``prepare`` makes the tables.

        Works once. Raises what they raise, and what ``Failures.unavailable`` makes of SQLite, files and threads.
        """
        if self._writer is not None:
            raise RuntimeError("a database is opened once; make another one")
        loop = asyncio.get_running_loop()
        try:
            opening = loop.run_in_executor(None, self._open, loop, check, prepare)
        except RuntimeError as failure:
            raise self._failures.unavailable(failure) from failure
        try:
            await asyncio.shield(opening)
        except asyncio.CancelledError:
            with suppress(Exception):
                await opening
            await self.close(timeout=10.0)
            raise

    async def close(self, *, timeout: float) -> bool:
        """Commit what was handed over, refuse what comes, close every connection.

        Takes about ``timeout`` seconds and the longest read at most; False when a disk took not all of it by then.
        """
        return await asyncio.get_running_loop().run_in_executor(None, self._close, timeout)

    @property
    def pressure(self) -> tuple[int, float]:
        """Events handed over and not yet on disk; seconds that the latest commit took, or the one under way if more."""
        return (0, 0.0) if self._writer is None else (self._writer.backlog, self._writer.last_commit)

    def write(self, work: Work[T], *, events: int = 0, size: int = 0, always: bool = False) -> asyncio.Future[T]:
        """See :meth:`~aitp_playground.sqlite.writer.Writer.submit`."""
        if self._writer is not None:
            return self._writer.submit(work, events=events, size=size, always=always)
        refused: asyncio.Future[T] = asyncio.get_running_loop().create_future()
        refused.set_exception(self._failures.closed())
        return refused

    async def read(self, query: Callable[[sqlite3.Connection], T]) -> T:
        """Run ``query`` on a connection that cannot write. A database in memory has one, so its reads queue behind its
        writes. What is read holds every write that was answered."""
        return await (self._readers.run(query) if self._readers is not None else self.write(query))

    def _open(
        self,
        loop: asyncio.AbstractEventLoop,
        check: Callable[[sqlite3.Connection], None],
        prepare: Callable[[sqlite3.Connection], None],
    ) -> None:
        try:
            if self.path is not None and self._make_directory:
                private_files.directory(self.path.parent)
            connection = connect_writer(self.path, check, self._what)
            try:
                connection.row_factory = self._rows
                prepare(connection)
                if self.path is not None:
                    self._file = self.path.stat()
                guard, name = partial(self._guard, connection), f"{self._name}-writer"
                self._writer = Writer(
                    connection,
                    loop,
                    name=name,
                    guard=guard,
                    admit=lambda: self.admit(),
                    failures=self._failures,
                    **self._bounds,
                )
            except BaseException:
                connection.close()
                raise
        except (sqlite3.Error, OSError, RuntimeError) as failure:
            raise self._failures.unavailable(failure) from failure
        if self.path is not None:
            connect = partial(self._connect_reader, self.path)
            self._readers = Readers(connect, self._failures, name=f"{self._name}-reader", threads=self._threads)

    def _connect_reader(self, path: Path) -> sqlite3.Connection:
        connection = connect_reader(path)
        connection.row_factory = self._rows
        return connection

    def _guard(self, connection: sqlite3.Connection) -> None:
        self.before_commit(connection)
        # SQLite goes on writing to a file that was removed or replaced, and acknowledges what nobody can ever read.
        if self.path is None or self._file is None:
            return
        with suppress(FileNotFoundError):
            if os.path.samestat(self._file, self.path.stat()):
                return
        raise OSError(f"{self.path} was removed or replaced while in use; restart the service")

    def _close(self, timeout: float) -> bool:
        # Readers first: the last connection to close folds the write-ahead log in, and only a writer can.
        if self._readers is not None:
            self._readers.close()
        return self._writer is None or self._writer.stop(timeout)
