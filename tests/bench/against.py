"""``make bench AGAINST=<checkout>``: this version and another one, pair by pair.

Both serve at once, and only one at a time is asked: what makes the machine slower for a while makes both slower. In
every second pair the other one comes first. A ratio below 1 means that this version takes less.
"""

from __future__ import annotations

import argparse
import asyncio
import statistics
import subprocess
import sys
import time
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path

from tests.bench.processes import cpu_seconds, private_mb
from tests.bench.report import machine
from tests.bench.server import Server, server

REF = "intra-org/research-and-write@1.0.0"
IN_FLIGHT = 32
SETTINGS = {"max_concurrent_runs": str(IN_FLIGHT), "run_retention": "100000"}
Measure = Callable[[Server], Awaitable[float]]


async def latency(running: Server) -> float:
    """Milliseconds from ``POST /runs`` to the terminal event."""
    begun = time.perf_counter()
    if (kind := await running.follow(await running.submit(REF))) != "run.complete":
        raise RuntimeError(f"a run ended with {kind}")
    return (time.perf_counter() - begun) * 1e3


async def many(running: Server) -> float:
    """Milliseconds for each of as many runs as go at once."""
    begun = time.perf_counter()
    await asyncio.gather(*(latency(running) for _ in range(IN_FLIGHT)))
    return (time.perf_counter() - begun) * 1e3 / IN_FLIGHT


async def listing(running: Server) -> float:
    """Milliseconds for ``GET /scenarios`` and the first page of runs."""
    begun = time.perf_counter()
    await running.get("/scenarios")
    await running.get("/runs")
    return (time.perf_counter() - begun) * 1e3


MEASURES: dict[str, Measure] = {"one run": latency, f"each of {IN_FLIGHT} runs": many, "two lists": listing}


def prepared(checkout: Path) -> str:
    """The interpreter of a checkout's own virtual environment, which is made where it is missing."""
    subprocess.run(["make", "-s", "-C", str(checkout), ".venv/.run"], check=True, stdout=sys.stderr)
    return str(checkout / ".venv/bin/python")


async def alternate(ours: Server, theirs: Server, measure: Measure, pairs: int) -> list[tuple[float, float]]:
    """``(ours, theirs)`` of each pair."""
    found = []
    for number in range(pairs):
        if number % 2:
            other = await measure(theirs)
            found.append((await measure(ours), other))
        else:
            found.append((await measure(ours), await measure(theirs)))
    return found


def told(name: str, pairs: Sequence[tuple[float, float]], unit: str = "ms") -> str:
    """Both medians with their spread, and the median and spread of the ratios of the pairs."""
    ratios = sorted(ours / theirs for ours, theirs in pairs if theirs)
    columns = [_spread([pair[side] for pair in pairs]) for side in (0, 1)]
    return (
        f"  {name:<26} {columns[0]} {unit} | {columns[1]} {unit} | ratio {statistics.median(ratios):.3f}"
        f" ({ratios[len(ratios) // 20]:.3f}..{ratios[-1 - len(ratios) // 20]:.3f}, n={len(ratios)})"
    )


def _spread(values: Sequence[float]) -> str:
    ordered = sorted(values)
    edge = len(ordered) // 20
    return f"{statistics.median(ordered):9.2f} ({ordered[edge]:.2f}..{ordered[-1 - edge]:.2f})"


async def events_of_a_run(running: Server) -> int:
    """How much work a run is: the scenario of another version may have other steps."""
    run_id = await running.submit(REF)
    await running.follow(run_id)
    return len((await running.get(f"/runs/{run_id}"))["events"])


async def compare(checkout: Path, pairs: int) -> None:
    """Print every figure."""
    python = await asyncio.to_thread(prepared, checkout)
    async with server(**SETTINGS) as ours, server(python=python, **SETTINGS) as theirs:
        for running in (ours, theirs):
            for _ in range(5):
                await latency(running)
        work = [await events_of_a_run(running) for running in (ours, theirs)]
        before = [cpu_seconds(running.pid) for running in (ours, theirs)]
        print(f"  {'':<26} this version | {checkout} | ratio (5 % to 95 % of the pairs)")
        print(told("events of a run", [(work[0], work[1])], "  "))
        for name, measure in MEASURES.items():
            print(told(name, await alternate(ours, theirs, measure, pairs)), flush=True)
        after = [cpu_seconds(running.pid) for running in (ours, theirs)]
        used = [(own - own0, below - below0) for (own, below), (own0, below0) in zip(after, before, strict=True)]
        for part, name in enumerate(("CPU of the server", "CPU of its agents")):
            print(told(name, [(used[0][part], used[1][part])], "s"))
        print(told("memory of the server", [(private_mb(ours.pid) or 0, private_mb(theirs.pid) or 0)], "MB"))


def main() -> int:
    parser = argparse.ArgumentParser(prog="tests.bench.against", description=__doc__)
    parser.add_argument("checkout", type=Path)
    parser.add_argument("--pairs", type=int, default=30)
    given = parser.parse_args()
    if not (given.checkout / "Makefile").is_file():
        print(f"{given.checkout} is no checkout of this project: it has no Makefile", file=sys.stderr)
        return 2
    print(machine())
    asyncio.run(compare(given.checkout.resolve(), given.pairs))
    return 0


if __name__ == "__main__":
    sys.exit(main())
