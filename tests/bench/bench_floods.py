"""An honest peer's handshake with an agent, alone and while those who have proven nothing send it what they like."""

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
#: Of each kind, how many; the first is what a stranger may do most with.
FLOODS = {
    "hellos": (10_000, "hellos of strangers"),
    "forgeries": (3_000, "hellos that bear its name"),
    "challenges": (3_000, "requests for challenges"),
}
AT_ONCE = 16
IDLE = 300


async def figures() -> list[Figure]:
    """The median may double at most, and no handshake of the honest peer may fail."""
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)) as http, _worker(http) as worker:
        honest = SdkPeer("honest")
        await introduce(worker, honest)
        await _handshakes(worker, honest, 20)
        idle = await _handshakes(worker, honest, IDLE)
        found = [Figure("handshake of a peer, agent otherwise idle", idle, "ms")]
        for kind, (count, words) in FLOODS.items():
            flooded, told = await _under(kind, count, worker, honest)
            ratio = statistics.median(flooded) / statistics.median(idle)
            found += [
                Figure(f"the same under {count:,} {words}", flooded, "ms", note=told),
                Figure("ratio of the medians", [ratio], "", target=2.0),
            ]
    return found


async def _under(kind: str, count: int, worker: WorkerProcess, honest: SdkPeer) -> tuple[list[float], str]:
    """Its handshakes while a flood goes on, and what became of the flood."""
    flood = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "tests.bench.strangers", kind, worker.url, str(count), str(AT_ONCE)),
        cwd=ROOT,
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
    )
    assert flood.stdout is not None
    assert flood.stdin is not None
    flood.stdin.write(f"{honest.aid}\n".encode())
    flood.stdin.close()
    await flood.stdout.readline()  # they are ready
    ended = asyncio.create_task(flood.wait())
    flooded: list[float] = []
    while not ended.done():
        flooded += await _handshakes(worker, honest, 1)
    return flooded, (await flood.stdout.read()).decode().strip()


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
