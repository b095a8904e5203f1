"""What SQLite and the system say of a database, as callers know it."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from pathlib import Path

import structlog

from aitp_playground.errors import InvalidRequest, Overloaded, StoreDamaged, StoreUnavailable
from aitp_playground.store.port import OutOfSequence

_DAMAGED = frozenset({sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB})
_NO_THREAD = (
    "the run store could not start a thread: this user or this container may have no more of them; raise the limit of "
    "processes (ulimit -u, pids_limit) or end others"
)


log = structlog.get_logger(__name__)


class StoreFailures:
    """Translates the failures of one database. ``None`` is one in memory.

    ``damage``: the first that showed the database to be damaged. It stays: pages that nobody looks at do not heal.
    """

    def __init__(self, path: Path | None) -> None:
        self._name = "in memory" if path is None else str(path)
        self.damage: StoreDamaged | None = None
        self._failing = False

    @property
    def writable(self) -> bool:
        """Whether the latest commit of what is no removal succeeded; never again once the database is damaged."""
        return self.damage is None and not self._failing

    def unavailable(self, failure: Exception) -> StoreUnavailable:
        """The failure of SQLite, of the file system, or of a thread that does not start."""
        error = StoreUnavailable(f"the run store cannot be used now: {failure}")
        if isinstance(failure, sqlite3.Error) and getattr(failure, "sqlite_errorcode", 0) & 0xFF in _DAMAGED:
            error = StoreDamaged(
                f"the database {self._name} is damaged ({failure}); stop the service, keep a copy of the file, and put "
                "a backup in its place or rescue what can be read with the .recover of sqlite3",
                retry_after=60,
            )
            self.damage = self.damage or error
        elif isinstance(failure, RuntimeError):
            error = StoreUnavailable(_NO_THREAD)
        error.__cause__ = failure
        return error

    def of_work(self, failure: Exception) -> Exception:
        """What a piece of work raised: ours, a fault in the data, a defect as it is, or ``StoreUnavailable``."""
        if isinstance(failure, UnicodeEncodeError):
            return InvalidRequest("text with a lone surrogate cannot be stored")
        if isinstance(failure, sqlite3.IntegrityError | sqlite3.ProgrammingError | sqlite3.DataError):
            return failure
        return self.unavailable(failure) if isinstance(failure, sqlite3.Error | OSError) else failure

    def closed(self) -> Exception:
        """Also for what comes before the opening."""
        return StoreUnavailable("the run store is closed")

    def full(self, waiting: int) -> Exception:
        """``waiting``: events."""
        return Overloaded(f"{waiting} events wait to be stored; try again shortly")

    def after_commit(self, errors: Sequence[Exception | None]) -> None:
        """Say once that writing fails, and once that it works again."""
        failures = [e for e in errors if isinstance(e, StoreUnavailable) and not isinstance(e, OutOfSequence)]
        if failures and not self._failing:
            self._failing = True
            log.error("store.unavailable", error=failures[0].message)
        elif self._failing and None in errors:
            self._failing = False
            log.info("store.available")
