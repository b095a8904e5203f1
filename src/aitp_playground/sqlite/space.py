"""Disk that removed runs no longer need, given back to the system in small steps."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

#: Pages moved in one transaction: a long one would hold up the appends of live runs.
PAGES_AT_ONCE = 256
_INCREMENTAL = 2


def keep_giving_back(connection: sqlite3.Connection) -> None:
    """Have a database that is still empty keep track of its pages, so that they can be given back later."""
    connection.execute(f"PRAGMA auto_vacuum={_INCREMENTAL}")


def give_back(connection: sqlite3.Connection) -> bool:
    """Shorten the file by some of its free pages; whether there are more.

    A database that an earlier release made does not keep track of them: its free pages are used again, not given back.
    """
    if connection.execute("PRAGMA auto_vacuum").fetchone()[0] != _INCREMENTAL:
        return False
    free: int = connection.execute("PRAGMA freelist_count").fetchone()[0]
    for _ in range(min(free, PAGES_AT_ONCE)):
        # One by one: sqlite3 takes a single step of a statement without columns, and each step is a page.
        connection.execute("PRAGMA incremental_vacuum(1)")
    return free > PAGES_AT_ONCE


def shorten(path: Path) -> None:
    """Have the system see what was given back: the file gets shorter when the log is folded in, which may be long yet.

    Waits for nobody: what a reader still needs stays. Raises ``sqlite3.Error``.
    """
    with closing(sqlite3.connect(path, isolation_level=None, timeout=0)) as connection:
        connection.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchall()
