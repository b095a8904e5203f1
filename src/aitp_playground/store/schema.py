"""The tables, as numbered steps. A step that has been released is never edited; a change is a new step."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence

from aitp_playground.errors import StoreUnavailable

#: ``MIGRATIONS[n]`` leads from version n to n + 1. ``PRAGMA user_version`` says how far a database has come.
MIGRATIONS: tuple[tuple[str, ...], ...] = (
    (
        """
        CREATE TABLE runs (
            key INTEGER PRIMARY KEY AUTOINCREMENT,
            run_id TEXT NOT NULL UNIQUE,
            status TEXT NOT NULL,
            event_count INTEGER NOT NULL DEFAULT 0,
            created_at REAL NOT NULL,
            finished_at REAL,
            cancel_requested INTEGER NOT NULL DEFAULT 0,
            owner TEXT NOT NULL,
            owner_dir TEXT NOT NULL,
            scenario_ref TEXT NOT NULL,
            template TEXT,
            run_label TEXT,
            idempotency_key TEXT UNIQUE,
            request_digest TEXT,
            inputs TEXT NOT NULL,
            fault_injection TEXT NOT NULL
        )
        """,
        "CREATE INDEX runs_newest ON runs (created_at)",
        "CREATE INDEX runs_by_status ON runs (status, created_at)",
        "CREATE INDEX runs_by_scenario ON runs (scenario_ref, created_at)",
        "CREATE INDEX runs_finished ON runs (finished_at) WHERE status IN ('success', 'failed', 'cancelled')",
        """
        CREATE TABLE events (
            run_key INTEGER NOT NULL REFERENCES runs (key) ON DELETE CASCADE,
            seq INTEGER NOT NULL,
            type TEXT NOT NULL,
            ts REAL NOT NULL,
            body BLOB NOT NULL,
            PRIMARY KEY (run_key, seq)
        ) WITHOUT ROWID
        """,
        """
        CREATE TABLE agent_logs (
            run_key INTEGER NOT NULL REFERENCES runs (key) ON DELETE CASCADE,
            agent_id TEXT NOT NULL,
            text TEXT NOT NULL,
            PRIMARY KEY (run_key, agent_id)
        )
        """,
        "CREATE TABLE pings (id INTEGER PRIMARY KEY, filler BLOB NOT NULL)",
    ),
    (
        # How far each run has been reported. A table apart from the batches, so that looking for runs reads no bodies.
        """
        CREATE TABLE cp_cursors (
            run_key INTEGER PRIMARY KEY REFERENCES runs (key) ON DELETE CASCADE,
            reported INTEGER NOT NULL
        )
        """,
        """
        CREATE TABLE cp_batches (
            run_key INTEGER PRIMARY KEY REFERENCES runs (key) ON DELETE CASCADE,
            first_seq INTEGER NOT NULL,
            last_seq INTEGER NOT NULL,
            event_count INTEGER NOT NULL,
            idempotency_key TEXT NOT NULL,
            body BLOB NOT NULL
        )
        """,
    ),
    (
        # No reference to its run: what was left behind must be removed all the more when the run is gone.
        """
        CREATE TABLE cp_leftovers (
            key INTEGER PRIMARY KEY,
            id TEXT NOT NULL UNIQUE,
            cp TEXT NOT NULL,
            run_id TEXT NOT NULL,
            kind TEXT NOT NULL,
            name TEXT,
            url TEXT,
            events TEXT NOT NULL,
            secret TEXT,
            tries INTEGER NOT NULL DEFAULT 0,
            next_try REAL NOT NULL DEFAULT 0
        )
        """,
        "CREATE INDEX cp_leftovers_by_run ON cp_leftovers (run_id)",
        # Nothing is verified for a run that is gone, so its secrets go too.
        """
        CREATE TRIGGER cp_secrets AFTER DELETE ON runs BEGIN
            UPDATE cp_leftovers SET secret = NULL WHERE run_id = OLD.run_id;
        END
        """,
        """
        CREATE TABLE cp_foreign (
            run_key INTEGER PRIMARY KEY REFERENCES runs (key) ON DELETE CASCADE,
            deliveries INTEGER NOT NULL
        )
        """,
    ),
    (
        "CREATE TABLE scenarios (digest TEXT PRIMARY KEY, body BLOB NOT NULL)",
        "ALTER TABLE runs ADD COLUMN scenario_digest TEXT",
        "CREATE INDEX runs_by_digest ON runs (scenario_digest)",
        """
        CREATE TRIGGER scenarios_unused AFTER DELETE ON runs WHEN OLD.scenario_digest IS NOT NULL BEGIN
            DELETE FROM scenarios WHERE digest = OLD.scenario_digest
                AND NOT EXISTS (SELECT 1 FROM runs WHERE scenario_digest = OLD.scenario_digest);
        END
        """,
    ),
    (
        "ALTER TABLE cp_batches ADD COLUMN given_up INTEGER NOT NULL DEFAULT 0",
        "ALTER TABLE runs ADD COLUMN proof TEXT",
    ),
)


def migrate(connection: sqlite3.Connection, steps: Sequence[Sequence[str]] = MIGRATIONS) -> int:
    """Bring a database to the newest version, one transaction a step; returns the version it had.

    Raises ``StoreUnavailable`` for a database of a later release, or one that holds somebody else's tables.
    Several processes may do this at once: the version is read again under each step's write lock.
    """
    found = _version(connection)
    while _version(connection) != len(steps):
        connection.execute("BEGIN IMMEDIATE")
        try:
            _step(connection, steps)
            connection.execute("COMMIT")
        finally:
            if connection.in_transaction:
                connection.execute("ROLLBACK")
    return found


def _step(connection: sqlite3.Connection, steps: Sequence[Sequence[str]]) -> None:
    version = _version(connection)
    check(connection, steps)
    if version < len(steps):
        for statement in steps[version]:
            connection.execute(statement)
        connection.execute(f"PRAGMA user_version={version + 1}")


def check(connection: sqlite3.Connection, steps: Sequence[Sequence[str]] = MIGRATIONS) -> None:
    """Reads only. Raises ``StoreUnavailable`` for a database of a later release, or of another program."""
    version = _version(connection)
    if version > len(steps):
        raise StoreUnavailable(
            f"the run history has schema version {version}, this release knows {len(steps)}: "
            "it was written by a later release. Upgrade, or set RUN_HISTORY_DB to another file."
        )
    tables = {name for (name,) in connection.execute("SELECT name FROM sqlite_master")}
    if tables if version == 0 else "runs" not in tables:
        raise StoreUnavailable(
            "RUN_HISTORY_DB names a database that is not a run history, and it was left alone. Set it to another file."
        )


def _version(connection: sqlite3.Connection) -> int:
    version: int = connection.execute("PRAGMA user_version").fetchone()[0]
    return version
