"""Stores that are closed whatever a test does."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import pytest

from aitp_playground.store.sqlite import SqliteRunStore

MakeSqlite = Callable[..., Any]


@pytest.fixture
async def make_sqlite(tmp_path: Path) -> AsyncIterator[MakeSqlite]:
    """``await make_sqlite(database=…, **options)``: an open store, on the test's one file unless told otherwise."""
    async with AsyncExitStack() as opened:

        async def make(database: str | None = None, **options: Any) -> SqliteRunStore:
            state = tmp_path / "state"
            store = SqliteRunStore(database or str(state / "runs.db"), **{"state_dir": state, **options})
            opened.push_async_callback(store.close)
            await store.open()
            return store

        yield make


@pytest.fixture
async def store(make_sqlite: MakeSqlite) -> SqliteRunStore:
    """An open store on a file."""
    opened: SqliteRunStore = await make_sqlite()
    return opened
