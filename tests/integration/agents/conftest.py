"""Fixtures that start real workers and always take them down."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import aiohttp
import pytest

from tests.integration.agents.control_plane import ControlPlane
from tests.integration.agents.harness import (
    Make,
    MaliciousResponder,
    Pair,
    SdkPeer,
    Start,
    TelemetrySink,
    WorkerProcess,
    introduce,
)


@pytest.fixture
async def http() -> AsyncIterator[aiohttp.ClientSession]:
    async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=15)) as session:
        yield session


@pytest.fixture
async def sink() -> AsyncIterator[TelemetrySink]:
    receiver = TelemetrySink()
    await receiver.start()
    yield receiver
    await receiver.close()
    assert not receiver.faults


@pytest.fixture
async def make(http: aiohttp.ClientSession, sink: TelemetrySink) -> AsyncIterator[Make]:
    """Make a worker that is not started yet."""
    made: list[WorkerProcess] = []

    def build(agent_id: str, **changes: Any) -> WorkerProcess:
        made.append(WorkerProcess(http, sink, agent_id, **changes))
        return made[-1]

    yield build
    await asyncio.gather(*(worker.close() for worker in made))


@pytest.fixture
def start(make: Make) -> Start:
    """Make a worker and wait until it serves."""

    async def build(agent_id: str, script: str = "plain.py", **changes: Any) -> WorkerProcess:
        worker = make(agent_id, **changes)
        await worker.start(script)
        return worker

    return build


@pytest.fixture
async def worker(start: Start) -> WorkerProcess:
    return await start("alice")


@pytest.fixture
async def caller(worker: WorkerProcess) -> SdkPeer:
    """A peer that the worker was told about, which only goes to others."""
    peer = SdkPeer("carol")
    await introduce(worker, peer)
    return peer


@pytest.fixture
async def responder(worker: WorkerProcess) -> AsyncIterator[MaliciousResponder]:
    """A peer the worker can shake hands with, introduced, that answers over HTTP."""
    served = MaliciousResponder(SdkPeer("mallory", ["m.one", "m.two"]), worker.aid)
    await served.start()
    await introduce(worker, served.peer)
    yield served
    await served.close()


@pytest.fixture
async def pair(start: Start) -> Pair:
    """Two workers that know each other."""
    alice, bob = await asyncio.gather(start("alice"), start("bob"))
    await introduce(alice, bob)
    return alice, bob


@pytest.fixture
async def cp() -> AsyncIterator[ControlPlane]:
    control_plane = ControlPlane()
    await control_plane.start()
    yield control_plane
    await control_plane.close()
