"""Read-only connections and the few threads that use them."""

from __future__ import annotations

import asyncio
import queue
import sqlite3
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from aitp_playground.sqlite.failures import Failures

T = TypeVar("T")


class Readers:
    """At most ``threads`` reads at once, each on a connection of its own, which ``connect`` opens when first needed."""

    def __init__(
        self, connect: Callable[[], sqlite3.Connection], failures: Failures, *, name: str, threads: int
    ) -> None:
        self._connect = connect
        self._failures = failures
        self._closed = False
        self._pool = ThreadPoolExecutor(threads, thread_name_prefix=name)
        self._idle: queue.LifoQueue[sqlite3.Connection] = queue.LifoQueue()

    async def run(self, query: Callable[[sqlite3.Connection], T]) -> T:
        """Run ``query`` in a thread; what SQLite says is told as the failures of this database are."""
        try:
            reading = asyncio.get_running_loop().run_in_executor(self._pool, self._with_connection, query)
        except RuntimeError as failure:
            if self._closed:
                raise self._failures.closed() from None
            raise self._failures.unavailable(failure) from failure
        return await reading

    def close(self) -> None:
        """Let reads under way finish, refuse the waiting ones, close the connections. Blocks."""
        self._closed = True
        self._pool.shutdown(wait=True, cancel_futures=True)
        while not self._idle.empty():
            self._idle.get_nowait().close()

    def _with_connection(self, query: Callable[[sqlite3.Connection], T]) -> T:
        try:
            try:
                connection = self._idle.get_nowait()
            except queue.Empty:
                connection = self._connect()
            try:
                return query(connection)
            finally:
                self._idle.put(connection)
        except sqlite3.Error as failure:
            raise self._failures.unavailable(failure) from failure
