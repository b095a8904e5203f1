"""Files and connections of a SQLite database: private to their owner whatever the umask."""

from __future__ import annotations

import errno
import os
import sqlite3
import stat
import threading
import time
from collections.abc import Callable
from pathlib import Path

from aitp_playground.private_files import OTHERS
from aitp_playground.sqlite.space import keep_giving_back

BUSY_SECONDS = 5.0
#: A long reader lets the write-ahead log grow; afterwards it is cut back to this many bytes.
WAL_BYTES_KEPT = 64 * 1024 * 1024
_creating = threading.Lock()


def refuse_unfit(path: Path, what: str) -> None:
    """Raises ``OSError`` for something at ``path`` that cannot be the database; ``what`` is what it was to be."""
    state = path.stat()
    if not stat.S_ISREG(state.st_mode):
        raise OSError(errno.EINVAL, f"{what} must be a regular file", str(path))
    if state.st_uid != os.geteuid() and state.st_mode & OTHERS:
        raise PermissionError(errno.EPERM, f"{what} belongs to somebody else, and is open to others", str(path))


def connect_writer(path: Path | None, check: Callable[[sqlite3.Connection], None], what: str) -> sqlite3.Connection:
    """The writing connection, in autocommit: transactions are spelled out. ``None`` is a database in memory.

    ``check`` raises for a database that is somebody else's. Until it has returned, nothing is changed at a path that is
    there; a new file is made, private, in a directory that is there. Raises ``OSError`` (:func:`refuse_unfit`) and
    ``sqlite3.Error``.
    """
    new = path is not None and _new_file(path)
    if path is not None and not new:
        refuse_unfit(path, what)
    connection = sqlite3.connect(
        str(path) if path is not None else ":memory:",
        timeout=BUSY_SECONDS,
        isolation_level=None,
        check_same_thread=False,
        cached_statements=256,
    )
    try:
        if path is not None:
            if new:
                keep_giving_back(connection)
            else:
                check(connection)
                _close_to_others(path)
            _use_wal(connection)
        connection.execute("PRAGMA synchronous=FULL")
        connection.execute("PRAGMA foreign_keys=ON")
        connection.execute(f"PRAGMA journal_size_limit={WAL_BYTES_KEPT}")
    except BaseException:
        connection.close()
        raise
    return connection


def connect_reader(path: Path, *, immutable: bool = False) -> sqlite3.Connection:
    """A connection that cannot write, for one thread at a time.

    ``immutable``: without files of SQLite's own beside the database; what is in its log is not seen.
    """
    connection = sqlite3.connect(
        f"{path.absolute().as_uri()}?mode=ro{'&immutable=1' if immutable else ''}",
        uri=True,
        timeout=BUSY_SECONDS,
        isolation_level=None,
        check_same_thread=False,
    )
    connection.execute("PRAGMA query_only=ON")
    return connection


def _new_file(path: Path) -> bool:
    """Create ``path`` empty (0600). False when something is there. SQLite gives ``-wal`` and ``-shm`` its mode."""
    with _creating:
        try:
            descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        except FileExistsError:
            return False
        try:
            os.fchmod(descriptor, 0o600)
        finally:
            os.close(descriptor)
        return True


def _close_to_others(path: Path) -> None:
    """An existing database is never opened here: POSIX drops a process's locks on a file when *any* descriptor of it is
    closed, and another connection of this process may be holding some."""
    for name in (path, path.with_name(path.name + "-wal"), path.with_name(path.name + "-shm")):
        if name.exists() and name.stat().st_mode & OTHERS:
            name.chmod(0o600)


def _use_wal(connection: sqlite3.Connection) -> None:
    """The switch to WAL needs the file alone, and SQLite does not wait for that itself."""
    deadline = time.monotonic() + BUSY_SECONDS
    while True:
        try:
            mode = connection.execute("PRAGMA journal_mode=WAL").fetchone()[0]
        except sqlite3.OperationalError as failure:
            if failure.sqlite_errorcode & 0xFF != sqlite3.SQLITE_BUSY or time.monotonic() > deadline:
                raise
        else:
            if mode != "wal":
                raise sqlite3.OperationalError(f"the file system allows journal mode {mode!r} only, WAL is needed")
            return
        time.sleep(0.01)
