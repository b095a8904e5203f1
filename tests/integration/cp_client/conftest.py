"""A store, a Control Plane that can misbehave, and pauses that tests need not sit out."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import aiohttp
import pytest

from aitp_playground.control_plane.options import Options
from aitp_playground.control_plane.server import Running, control_plane
from aitp_playground.cp_client.reporting import ingest
from aitp_playground.net import client_session
from aitp_playground.store.sqlite import SqliteRunStore

from .ingesting import Reports, seen, stored


@pytest.fixture
def hasty(monkeypatch: pytest.MonkeyPatch) -> None:
    """Attempts follow each other after hundredths of a second."""
    monkeypatch.setattr(ingest, "FIRST_PAUSE", 0.02)
    monkeypatch.setattr(ingest, "LONGEST_PAUSE", 0.1)


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[SqliteRunStore]:
    async with stored(tmp_path) as opened:
        yield opened


@pytest.fixture
async def cp() -> AsyncIterator[Running]:
    async with control_plane(Options()) as running:
        yield running


@pytest.fixture
async def http() -> AsyncIterator[aiohttp.ClientSession]:
    async with client_session() as session:
        yield session


@pytest.fixture
def reports(cp: Running, http: aiohttp.ClientSession) -> Reports:
    return seen(cp, http)
