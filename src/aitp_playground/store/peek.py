"""A look at a database without opening it as a store: nothing is made, moved or locked for long."""

from __future__ import annotations

import contextlib
import sqlite3
from pathlib import Path

_PATIENCE = 1.0


def newest_runs(database: Path, prefix: str, limit: int) -> list[tuple[str, str, str]]:
    """Id, status and ref of the newest runs whose id begins so; none without a database. Raises sqlite3.Error."""
    if not database.is_file():
        return []
    address = f"{database.absolute().as_uri()}?mode=ro"
    with contextlib.closing(sqlite3.connect(address, uri=True, timeout=_PATIENCE)) as opened:
        return opened.execute(
            "SELECT run_id, status, scenario_ref FROM runs WHERE substr(run_id, 1, ?) = ?"
            " ORDER BY created_at DESC, key DESC LIMIT ?",
            (len(prefix), prefix, limit),
        ).fetchall()
