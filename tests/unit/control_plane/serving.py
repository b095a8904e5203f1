"""A Control Plane of the test's own on a free port, a client for it, and a clock that the test moves."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp

from aitp_playground.control_plane.options import Options
from aitp_playground.control_plane.server import Running, control_plane


class Clock:
    """Stands still until it is moved."""

    def __init__(self) -> None:
        self.now = time.time()

    def __call__(self) -> float:
        return self.now


@dataclass
class Served:
    """The service, and the short words the tests use for its routes."""

    running: Running
    session: aiohttp.ClientSession

    def stop_the_clock(self) -> Clock:
        clock = Clock()
        self.running.service.clock = clock
        return clock

    def pass_time(self, clock: Clock, seconds: float) -> None:
        clock.now += seconds
        self.running.service.breakers.changed.set()

    async def call(self, method: str, path: str, json: Any = None, **query: Any) -> tuple[int, Any]:
        """Status and parsed body; None for an empty one."""
        asked = self.session.request(method, self.running.url + path, json=json, params=query)
        async with asked as response:
            return response.status, await response.json() if await response.read() else None

    async def get(self, path: str, **query: Any) -> Any:
        status, found = await self.call("GET", path, **query)
        assert status == 200, found
        return found

    async def ingest(self, *events: dict[str, Any]) -> None:
        assert await self.call("POST", "/api/events", {"events": events}) == (200, {"ingested": len(events)})

    async def until(self, path: str, holds: Callable[[Any], bool]) -> Any:
        """Ask until the answer is as wanted; the test's time-out is the bound."""
        while not holds(found := await self.get(path)):
            pass
        return found


@asynccontextmanager
async def serving(directory: Path, **options: Any) -> AsyncIterator[Served]:
    """Serve from ``cp.db`` in ``directory``; a second one there continues where the first ended."""
    async with control_plane(Options(database=str(directory / "cp.db"), **options)) as running:
        headers = {"Authorization": f"Bearer {running.key}"}
        async with aiohttp.ClientSession(headers=headers) as session:
            yield Served(running, session)
