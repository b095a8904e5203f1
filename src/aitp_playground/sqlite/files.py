"""Files and connections of the SQLite store: private to their owner whatever the umask."""

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
from aitp_playground.store.space import keep_giving_back

BUSY_SECONDS = 5.0
#: A long reader lets the write-ahead log grow; afterwards it is cut back to this many bytes.
WAL_BYTES_KEPT = 64 * 1024 * 1024
_creating = threading.Lock()


def private_directory(path: Path) -> Path:
    """Create ``path`` (0700) unless it is there. An existing directory is the operator's and stays as it is."""
    missing = [part for part in (path, *path.parents) if not part.exists()]
    for part in reversed(missing):
        try:
            part.mkdir(mode=0o700)
        except FileExistsError:
            continue
        part.chmod(0o700)
    return path


def _new_file(path: Path) -> bool:
    """Create ``path`` empty (0600). False when something is there. SQLite gives ``-wal`` and ``-shm`` its mode."""
    try:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    except FileExistsError:
        return False
    try:
        os.fchmod(descriptor, 0o600)
    finally:
        os.close(descriptor)
    return True


def _refuse_no_file(path: Path) -> None:
    """Raises ``OSError`` for what is there and cannot be the database."""
    state = path.stat()
    if not stat.S_ISREG(state.st_mode):
        raise OSError(errno.EINVAL, "the run history must be a regular file; set RUN_HISTORY_DB to one", str(path))
    if state.st_uid != os.geteuid() and state.st_mode & OTHERS:
        raise PermissionError(errno.EPERM, "the run history belongs to somebody else, and is open to others", str(path))


def _close_to_others(path: Path) -> None:
    """An existing database is never opened here: POSIX drops a process's locks on a file when *any* descriptor of it is
    closed, and another connection of this process may be holding some."""
    for name in (path, path.with_name(path.name + "-wal"), path.with_name(path.name + "-shm")):
        if name.exists() and name.stat().st_mode & OTHERS:
            name.chmod(0o600)


def connect_writer(path: Path | None, check: Callable[[sqlite3.Connection], None]) -> sqlite3.Connection:
    """The writing connection, in autocommit: transactions are spelled out. ``None`` is a database in memory.

    ``check`` raises for a database that is somebody else's. Until it has returned, nothing is changed at a path that is
    there; a new file is made, private, with the directories that it needs.
    """
    new = False
    if path is not None:
        private_directory(path.parent)
        with _creating:
            new = _new_file(path)
        if not new:
            _refuse_no_file(path)
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


def connect_reader(path: Path) -> sqlite3.Connection:
    """A connection that cannot write, for one thread at a time."""
    connection = sqlite3.connect(
        f"{path.absolute().as_uri()}?mode=ro",
        uri=True,
        timeout=BUSY_SECONDS,
        isolation_level=None,
        check_same_thread=False,
    )
    connection.execute("PRAGMA query_only=ON")
    return connection


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
