"""An honest peer's handshake with an agent, alone and while strangers send it ten thousand hellos."""

from __future__ import annotations

import asyncio
import contextlib
import statistics
import sys
import time
from collections.abc import AsyncIterator
from pathlib import Path

import aiohttp

from tests.bench.report import Figure
from tests.integration.agents.harness import SdkPeer, TelemetrySink, WorkerProcess, introduce

ROOT = Path(__file__).parents[2]
HELLOS = 10_000
AT_ONCE = 16
IDLE = 300


async def figures() -> list[Figure]:
    """The median may double at most, and no handshake of the honest peer may fail."""
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)) as http, _worker(http) as worker:
        honest = SdkPeer("honest")
        await introduce(worker, honest)
        await _handshakes(worker, honest, 20)
        idle = await _handshakes(worker, honest, IDLE)
        flood = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "tests.bench.strangers", worker.url, str(HELLOS), str(AT_ONCE)),
            cwd=ROOT,
            stdout=asyncio.subprocess.PIPE,
        )
        assert flood.stdout is not None
        await flood.stdout.readline()  # they are ready
        ended = asyncio.create_task(flood.wait())
        flooded: list[float] = []
        while not ended.done():
            flooded += await _handshakes(worker, honest, 1)
        told = (await flood.stdout.read()).decode().strip()
    ratio = statistics.median(flooded) / statistics.median(idle)
    return [
        Figure("handshake of a peer, agent otherwise idle", idle, "ms"),
        Figure(f"the same under {HELLOS:,} hellos of strangers", flooded, "ms", note=told),
        Figure("ratio of the medians", [ratio], "", target=2.0),
    ]


@contextlib.asynccontextmanager
async def _worker(http: aiohttp.ClientSession) -> AsyncIterator[WorkerProcess]:
    sink = TelemetrySink()
    await sink.start()
    worker = WorkerProcess(http, sink, "host", accept="any-verified")
    try:
        await worker.start()
        yield worker
    finally:
        await worker.close()
        await sink.close()


async def _handshakes(worker: WorkerProcess, honest: SdkPeer, count: int) -> list[float]:
    """Milliseconds of each, from the look at the manifest to the token; a fault ends the benchmark."""
    taken = []
    for _ in range(count):
        started = time.perf_counter()
        await honest.token_from(worker)
        taken.append((time.perf_counter() - started) * 1000)
        # Within what a peer may send in a second.
        await asyncio.sleep(max(0.0, 0.025 - taken[-1] / 1000))
    return taken
