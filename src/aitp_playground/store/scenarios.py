"""The scenarios that runs were started from: kept once each, for as long as one of their runs is."""

from __future__ import annotations

import sqlite3

from aitp_playground.store.port import KeptScenario


def keep(connection: sqlite3.Connection, scenario: KeptScenario) -> None:
    """Remember it, unless it is there; a trigger removes it with the last of its runs."""
    connection.execute("INSERT OR IGNORE INTO scenarios VALUES (?, ?)", (scenario.digest, scenario.body))


def kept(connection: sqlite3.Connection, digest: str) -> bytes | None:
    """What was remembered under ``digest``."""
    row = connection.execute("SELECT body FROM scenarios WHERE digest = ?", (digest,)).fetchone()
    return None if row is None else bytes(row[0])
