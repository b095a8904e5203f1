"""Clients of servers that go wrong, and aioresponses for what no server can do."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from types import MappingProxyType
from typing import Any
from unittest.mock import Mock

import aiohttp
import pytest
from aiohttp.abc import AbstractStreamWriter
from aioresponses import aioresponses
from aioresponses import core as aioresponses_core

from aitp_playground.config import Settings
from aitp_playground.cp_client import CpClient
from aitp_playground.cp_client.breaker import Breaker
from aitp_playground.net import client_session

from .rogue import Rogue, rogue_server, says

API_KEY = "key-that-no-log-may-show"
MakeClient = Callable[..., CpClient]


class Clock:
    """Stands in for ``asyncio.sleep``: a sleeper wakes when the test says so."""

    def __init__(self) -> None:
        self._sleepers: asyncio.Queue[tuple[float, asyncio.Future[None]]] = asyncio.Queue()

    async def sleep(self, seconds: float) -> None:
        woken: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._sleepers.put_nowait((seconds, woken))
        await woken

    async def wake(self) -> float:
        """Wait for a sleeper, wake it, and say how long it meant to sleep."""
        seconds, woken = await self._sleepers.get()
        woken.set_result(None)
        return seconds


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
async def http() -> AsyncIterator[aiohttp.ClientSession]:
    async with client_session() as session:
        yield session


@pytest.fixture
async def rogue() -> AsyncIterator[Rogue]:
    """A server that is well to begin with."""
    async with rogue_server(says({"items": []})) as server:
        yield server


@pytest.fixture
async def make_client(http: aiohttp.ClientSession, tmp_path: Path, clock: Clock) -> AsyncIterator[MakeClient]:
    """Clients by base URL; their breakers sleep by the test's clock, without jitter. All are closed in the end."""
    made: list[CpClient] = []

    def breaker(probe: Any, **more: Any) -> Breaker:
        return Breaker(probe, sleep=clock.sleep, jitter=lambda _, most: most, **more)

    def make(url: str, *, hooks: MappingProxyType[str, Any] = MappingProxyType({}), **given: Any) -> CpClient:
        values = {"state_dir": tmp_path / "state", "cp_base_url": url, "cp_api_key": API_KEY, **given}
        client = CpClient(Settings.load(_env_file=None, **values), http, breaker=breaker, **hooks)
        made.append(client)
        return client

    yield make
    for client in made:
        await client.close()


class _WithWriter(aiohttp.ClientResponse):
    """aioresponses 0.7.9 knows nothing of the ``stream_writer`` that aiohttp 3.14 asks a response to be made with."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **{"stream_writer": Mock(spec=AbstractStreamWriter), **kwargs})


@pytest.fixture
def replies(monkeypatch: pytest.MonkeyPatch) -> Iterator[aioresponses]:
    """aioresponses, adapted."""
    monkeypatch.setattr(aioresponses_core, "ClientResponse", _WithWriter)
    with aioresponses() as mocked:
        yield mocked
