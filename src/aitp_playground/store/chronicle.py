"""Everything that was committed, in the order in which it was, whichever process wrote it.

Each append is a row of ``commits``, whose number comes from the transaction that writes the events. SQLite lets one
transaction write at a time, so whoever sees a number sees every lower one, or will never see it: its run was removed.

A database that is put back from a back-up gives numbers once more. The first commit of each process begins an era with
a name of its own, and a place is told with that of its commit: who has one of the lost commits is known by it, however
the copy came to be there.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from dataclasses import replace

from aitp_playground.store.chronicle_port import ChroniclePage, Entry, Position
from aitp_playground.store.port import StoredEvent

#: The era of a commit: what came before the first is of that which is named like the database itself.
_ERA = "coalesce((SELECT id FROM eras WHERE first <= {} ORDER BY first DESC LIMIT 1), (SELECT id FROM chronicle))"


def placed(connection: sqlite3.Connection, position: Position) -> Position:
    """The position with the era that it has here."""
    last = position.commit if position.seq else position.commit - 1
    return replace(position, era=connection.execute(f"SELECT {_ERA.format('?')}", (last,)).fetchone()[0])


def head(connection: sqlite3.Connection) -> Position:
    """Behind everything that is there now."""
    row = connection.execute("SELECT seq FROM sqlite_sequence WHERE name = 'commits'").fetchone()
    return placed(connection, Position(1 if row is None else row[0] + 1, 0))


def since(connection: sqlite3.Connection, at: float) -> Position:
    """Before the first commit whose first event is of ``at`` (Unix seconds) or later, as far as time went forward."""
    low, high = 1, head(connection).commit
    while low < high:
        middle = (low + high) // 2
        row = connection.execute(
            "SELECT number, ts FROM commits JOIN events ON events.run_key = commits.run_key AND seq = first_seq"
            " WHERE number >= ? ORDER BY number LIMIT 1",
            (middle,),
        ).fetchone()
        if row is None or row[1] >= at:
            high = middle
        else:
            low = row[0] + 1
    return placed(connection, Position(low, 0))


def page(
    connection: sqlite3.Connection, after: Position, limit: int, max_bytes: int, run_id: str | None = None
) -> ChroniclePage:
    """What follows ``after``, as it was at one moment: at most ``limit`` events and ``max_bytes`` bytes of them, but
    one at least if there is one. Of one run alone, no other's commits are looked at, and no other's holes told."""
    alone = not connection.in_transaction
    if alone:
        connection.execute("BEGIN")
    try:
        return _page(connection, after, limit, max_bytes, run_id)
    finally:
        if alone:
            connection.execute("ROLLBACK")


def _page(
    connection: sqlite3.Connection, after: Position, limit: int, max_bytes: int, run_id: str | None
) -> ChroniclePage:
    end = head(connection)
    entries: list[Entry] = []
    size, more = 0, False
    for entry in _entries(connection, after, limit + 1, run_id):
        size += len(entry.event.body)
        if len(entries) == limit or (entries and size > max_bytes):
            more = True
            break
        entries.append(entry)
    upto = entries[-1].position if more else max(after, end)
    removed = tuple(
        gone
        for (gone,) in connection.execute(
            "SELECT run_id FROM removed_runs"
            " WHERE (last_commit, last_seq) > (?, ?) AND (last_commit, last_seq) <= (?, ?)"
            " AND run_id = coalesce(?, run_id) ORDER BY last_commit, last_seq",
            (after.commit, after.seq, upto.commit, upto.seq, run_id),
        )
    )
    return ChroniclePage(tuple(entries), upto, more, removed, _forgotten(connection, after, run_id))


def _forgotten(connection: sqlite3.Connection, after: Position, run_id: str | None) -> bool:
    """Whether runs whose ids are not known any more had events behind ``after``; of one run, whether it may be such a
    one: neither there nor remembered as removed."""
    last: int = connection.execute("SELECT forgotten FROM chronicle").fetchone()[0]
    if last < max(1, after.commit):
        return False
    known = "SELECT 1 FROM runs WHERE run_id = ?1 UNION ALL SELECT 1 FROM removed_runs WHERE run_id = ?1"
    return run_id is None or connection.execute(known, (run_id,)).fetchone() is None


# CROSS JOIN is SQLite's word for this order of the tables: commits one by one, and the events of each.
_OF_ALL = "commits CROSS JOIN runs ON key = commits.run_key"
_OF_A_RUN = (
    "runs CROSS JOIN commits ON number BETWEEN first_commit AND last_commit AND commits.run_key = key AND run_id = ?"
)


def _entries(connection: sqlite3.Connection, after: Position, limit: int, run_id: str | None) -> Iterator[Entry]:
    tables = _OF_ALL if run_id is None else _OF_A_RUN
    rows = connection.execute(
        f"SELECT number, {_ERA.format('number')}, run_id, seq, type, ts, body FROM {tables}"  # noqa: S608 - constants
        " CROSS JOIN events ON events.run_key = commits.run_key AND seq BETWEEN first_seq AND last_seq"
        " WHERE number >= ? AND (number > ? OR seq > ?) ORDER BY number, seq LIMIT ?",
        (*(() if run_id is None else (run_id,)), after.commit, after.commit, after.seq, limit),
    )
    try:
        for number, era, run_id, *event in rows:
            yield Entry(Position(number, event[0], era), run_id, StoredEvent(*event))
    finally:
        rows.close()
