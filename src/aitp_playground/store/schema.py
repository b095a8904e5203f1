"""The tables, as numbered steps. A step that anybody may have run is never edited; a change is a new step."""

from __future__ import annotations

import re
import sqlite3
from collections.abc import Sequence
from contextlib import closing

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
    ("ALTER TABLE cp_batches ADD COLUMN given_up INTEGER NOT NULL DEFAULT 0",),
    ("ALTER TABLE runs ADD COLUMN proof TEXT",),
    (
        # One row for each append: its number is its place among all commits, for AUTOINCREMENT uses none twice.
        """
        CREATE TABLE commits (
            number INTEGER PRIMARY KEY AUTOINCREMENT,
            run_key INTEGER NOT NULL,
            first_seq INTEGER NOT NULL,
            last_seq INTEGER NOT NULL
        )
        """,
        "ALTER TABLE runs ADD COLUMN first_commit INTEGER",
        "ALTER TABLE runs ADD COLUMN last_commit INTEGER",
        # What was stored before counts as one commit a run.
        "INSERT INTO commits SELECT key, key, 1, event_count FROM runs WHERE event_count > 0 ORDER BY key",
        "UPDATE runs SET first_commit = key, last_commit = key WHERE event_count > 0",
        """
        CREATE TABLE removed_runs (
            key INTEGER PRIMARY KEY AUTOINCREMENT,
            run_id TEXT NOT NULL,
            last_commit INTEGER NOT NULL,
            last_seq INTEGER NOT NULL
        )
        """,
        "CREATE INDEX removed_runs_by_end ON removed_runs (last_commit, last_seq)",
        # ``forgotten``: the last commit of the removed runs that are not remembered by their ids any more.
        "CREATE TABLE chronicle (id TEXT NOT NULL, forgotten INTEGER NOT NULL)",
        "INSERT INTO chronicle VALUES (lower(hex(randomblob(8))), 0)",
        """
        CREATE TRIGGER commits_removed AFTER DELETE ON runs WHEN OLD.last_commit IS NOT NULL BEGIN
            DELETE FROM commits WHERE number BETWEEN OLD.first_commit AND OLD.last_commit AND run_key = OLD.key;
            INSERT INTO removed_runs (run_id, last_commit, last_seq)
                VALUES (OLD.run_id, OLD.last_commit, OLD.event_count);
            UPDATE chronicle SET forgotten = max(forgotten, (
                SELECT max(last_commit) FROM removed_runs WHERE key <= (SELECT max(key) FROM removed_runs) - 20000
            )) WHERE (SELECT max(key) FROM removed_runs) > 20000;
            DELETE FROM removed_runs WHERE key <= (SELECT max(key) FROM removed_runs) - 20000;
        END
        """,
    ),
    (
        # From commit ``first`` on, history is of the era ``id``: a new one with the first commit of each process.
        "CREATE TABLE eras (first INTEGER PRIMARY KEY, id TEXT NOT NULL UNIQUE)",
        # Who has a place before everything that is left misses nothing by beginning at the start.
        """
        CREATE TRIGGER eras_over AFTER INSERT ON eras BEGIN
            DELETE FROM eras WHERE first < (
                SELECT max(first) FROM eras WHERE first <= (SELECT min(number) FROM commits)
            );
        END
        """,
    ),
)
_ADDITION = re.compile(r"ALTER TABLE (\w+) ADD COLUMN (\w+)", re.ASCII)


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
    check(connection, steps)
    return found


def _step(connection: sqlite3.Connection, steps: Sequence[Sequence[str]]) -> None:
    version = _version(connection)
    check(connection, steps)
    if version < len(steps):
        _apply(connection, steps[version])
        connection.execute(f"PRAGMA user_version={version + 1}")


def _apply(connection: sqlite3.Connection, statements: Sequence[str]) -> None:
    for statement in statements:
        # Some builds between releases added a column one step earlier than it is now.
        addition = _ADDITION.match(statement)
        if addition is None or addition[2] not in _columns(connection).get(addition[1], ()):
            connection.execute(statement)


def check(connection: sqlite3.Connection, steps: Sequence[Sequence[str]] = MIGRATIONS) -> None:
    """Reads only. Raises ``StoreUnavailable`` for a database of a later release, of another program, or without what
    its version says it has."""
    # Of one moment: another process may be making the tables of a new database just now.
    alone = not connection.in_transaction
    if alone:
        connection.execute("BEGIN")
    try:
        _check(connection, steps)
    finally:
        if alone and connection.in_transaction:
            connection.execute("ROLLBACK")


def _check(connection: sqlite3.Connection, steps: Sequence[Sequence[str]]) -> None:
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
    if version == len(steps) and (lacking := _lacking(connection, steps)):
        raise StoreUnavailable(
            f"the run history {_file(connection)} lacks {lacking}, which its schema version {version} has: a build "
            "between releases or another program made it so. Move the file away, or set RUN_HISTORY_DB to another one."
        )


def _lacking(connection: sqlite3.Connection, steps: Sequence[Sequence[str]]) -> str:
    """The first table or column that a database made by ``steps`` has and this one has not; else empty."""
    there = _columns(connection)
    with closing(sqlite3.connect(":memory:", isolation_level=None)) as fresh:
        for statements in steps:
            _apply(fresh, statements)
        for table, columns in _columns(fresh).items():
            if table not in there:
                return f"the table {table}"
            for column in columns:
                if column not in there[table]:
                    return f"the column {column} of the table {table}"
    return ""


def _columns(connection: sqlite3.Connection) -> dict[str, list[str]]:
    """Those of each table."""
    columns: dict[str, list[str]] = {}
    rows = connection.execute(
        "SELECT t.name, c.name FROM sqlite_master AS t, pragma_table_info(t.name) AS c WHERE t.type = 'table'"
    )
    for table, column in rows:
        columns.setdefault(table, []).append(column)
    return columns


def _file(connection: sqlite3.Connection) -> str:
    name: str = connection.execute("SELECT file FROM pragma_database_list WHERE name = 'main'").fetchone()[0]
    return name or "in memory"


def _version(connection: sqlite3.Connection) -> int:
    version: int = connection.execute("PRAGMA user_version").fetchone()[0]
    return version
