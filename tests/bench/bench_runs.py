"""Runs against a warm server: latency of one, throughput of many, what 500 of them leave behind, memory per agent."""

from __future__ import annotations

import asyncio
import contextlib
import time
from itertools import pairwise

from tests.bench.processes import descendants, descriptors, private_mb, resident_mb
from tests.bench.report import Figure
from tests.bench.server import Server, server

REF = "intra-org/research-and-write@1.0.0"
LATENCY_RUNS = 200
THROUGHPUT_RUNS = 500
IN_FLIGHT = 32
#: Seconds until the server has forked its spare children again and closed idle connections.
SETTLE = 20.0


async def figures() -> list[Figure]:
    """Latency, throughput, memory and leftovers."""
    async with server(max_concurrent_runs=str(IN_FLIGHT), run_retention="100000") as running:
        for _ in range(10):
            await _run(running)
        latency = [await _run(running) for _ in range(LATENCY_RUNS)]
        await asyncio.sleep(SETTLE)
        before = _holdings(running)
        rates, memory, total = await _throughput(running)
        await asyncio.sleep(SETTLE)
        after = _holdings(running)
        agents = len((await running.get("/agents"))["agents"])
    print(f"  500 runs left behind (before → after): {_told(before, after)}; agents listed {agents}")
    return [
        Figure("run latency, POST /runs to terminal event", latency, "ms", 50),
        Figure(f"throughput, {IN_FLIGHT} in flight, per 50 runs", rates, "runs/s", 20, at_most=False, note=total),
        Figure("private memory per agent", memory, "MB", 12),
    ]


async def _run(running: Server) -> float:
    begun = time.perf_counter()
    kind = await running.follow(await running.submit(REF))
    if kind != "run.complete":
        raise RuntimeError(f"a run ended with {kind}")
    return (time.perf_counter() - begun) * 1e3


async def _throughput(running: Server) -> tuple[list[float], list[float], str]:
    """Rates per 50 finished runs, memory samples of agents in the middle of their runs, and the overall figure."""
    gate = asyncio.Semaphore(IN_FLIGHT)
    finished: list[float] = []
    memory: list[float] = []

    async def one() -> None:
        async with gate:
            await _run(running)
            finished.append(time.perf_counter())

    async def watch() -> None:
        while True:
            await asyncio.sleep(0.5)
            rows = (await running.get("/agents"))["agents"]
            memory.extend(
                private for row in rows if row["status"] == "ready" and (private := private_mb(row["pid"])) is not None
            )

    begun = time.perf_counter()
    watching = asyncio.create_task(watch())
    try:
        await asyncio.gather(*(one() for _ in range(THROUGHPUT_RUNS)))
    finally:
        watching.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await watching
    took = time.perf_counter() - begun
    marks = [begun, *finished[49::50]]
    rates = [50 / (later - earlier) for earlier, later in pairwise(marks)]
    return rates, memory, f"{THROUGHPUT_RUNS} runs in {took:.1f} s = {THROUGHPUT_RUNS / took:.1f} runs/s, 0 failures"


def _holdings(running: Server) -> dict[str, float]:
    """What the server and its children hold."""
    family = descendants(running.pid)
    sockets = [link for pid in family for link in descriptors(pid) if link.startswith("socket:")]
    return {
        "processes": len(family),
        "descriptors": len(descriptors(running.pid)),
        "sockets": len(sockets),
        "temp files": len(list((running.directory / "tmp").iterdir())),
        "server RSS MB": round(resident_mb(running.pid), 1),
    }


def _told(before: dict[str, float], after: dict[str, float]) -> str:
    return ", ".join(f"{name} {before[name]:g} → {after[name]:g}" for name in before)
