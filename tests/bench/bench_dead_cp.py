"""What a Control Plane that swallows everything costs: twenty runs one after another, against twenty without one."""

from __future__ import annotations

import asyncio
import time

from tests.bench.report import Figure
from tests.bench.server import Server, server

REF = "cross-org/federated-analysis@1.0.0"
UNCONCERNED = "intra-org/research-and-write@1.0.0"
RUNS = 20
TIMEOUT_MS = 5000


async def figures() -> list[Figure]:
    """The twenty runs' total against the allowance, and the latency of runs that have nothing to do with it."""
    async with server() as running:
        alone, alone_each = await _total(running)
    hole = await asyncio.start_server(_swallow, "127.0.0.1", 0)
    async with hole:
        url = f"http://127.0.0.1:{hole.sockets[0].getsockname()[1]}"
        async with server(cp_base_url=url, cp_api_key="bench", cp_timeout_ms=str(TIMEOUT_MS)) as running:
            swallowed, swallowed_each = await _total(running)
    allowance = alone * 1.1 + TIMEOUT_MS
    return [
        Figure(f"{RUNS} federated runs, no Control Plane", [alone], "ms"),
        Figure(f"{RUNS} federated runs, a black hole", [swallowed], "ms", allowance),
        Figure("a run without CP use, no Control Plane", alone_each, "ms"),
        Figure("a run without CP use, a black hole", swallowed_each, "ms"),
    ]


async def _total(running: Server) -> tuple[float, list[float]]:
    await _run(running, UNCONCERNED)
    begun = time.perf_counter()
    for _ in range(RUNS):
        await _run(running, REF)
    total = (time.perf_counter() - begun) * 1e3
    return total, [await _run(running, UNCONCERNED) for _ in range(RUNS)]


async def _run(running: Server, ref: str) -> float:
    begun = time.perf_counter()
    kind = await running.follow(await running.submit(ref))
    if kind != "run.complete":
        raise RuntimeError(f"a run ended with {kind}")
    return (time.perf_counter() - begun) * 1e3


async def _swallow(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    try:
        while await reader.read(65_536):
            pass
    finally:
        writer.close()
