"""What the failures of a database are to those who use it."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from typing import Protocol

#: The primary codes of a disk without room: plain, and as an error of the file system (a quota, a file that is mapped).
_NO_ROOM = frozenset({sqlite3.SQLITE_FULL, sqlite3.SQLITE_IOERR})


class Failures(Protocol):
    """Says as what a failure is told. Called in the threads of the database, too."""

    def of_work(self, failure: Exception) -> Exception:
        """What a piece of work raised, or SQLite about it."""

    def unavailable(self, failure: Exception) -> Exception:
        """SQLite, the file system, or a thread that does not start."""

    def closed(self) -> Exception:
        """Work that came after the end."""

    def full(self, waiting: int) -> Exception:
        """Work beyond the bounds, while ``waiting`` pieces of weight wait."""

    def after_commit(self, errors: Sequence[Exception | None]) -> None:
        """A group is through; of each of its pieces what it failed with, or None."""


def is_no_room(failure: BaseException | None) -> bool:
    """Whether more room on the disk may be what was missing."""
    return isinstance(failure, sqlite3.Error) and getattr(failure, "sqlite_errorcode", 0) & 0xFF in _NO_ROOM
