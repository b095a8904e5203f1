"""``make soak``: what only shows after many rounds. Numbers: ``RUNS`` in a row, ``ROUNDS`` of what depends on chance.

- Runs in a row, 32 in flight: memory and descriptors at each third; the last may be at most 1.05 times the first.
- Readers of a long run that never read: what each costs, and what is given back when they leave.
- The tests that are tried three times otherwise: a server killed in the middle of its runs, cancels at any moment,
  the normal forms of every shipped scenario on a machine that has nothing to spare.
- Requests that are made up from the contract: as many times more of them, and other ones each time.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from urllib.parse import urlsplit

from tests.bench.bench_streams import write_scenario
from tests.bench.processes import descendants, descriptors, private_mb
from tests.bench.report import machine
from tests.bench.server import Server, server

REF = "intra-org/research-and-write@1.0.0"
IN_FLIGHT = 32
READERS = 60
MOST = 1.05
#: What a reader may cost, MB.
READER_MB = 1.0
#: Seconds until spare children are forked again, garbage is collected, and the client here has closed its idle
#: connections: it looks for those of 15 s every 15 s.
SETTLE = 35.0
ROUNDS_OF = (
    "tests/integration/runs/test_crash.py",
    "tests/integration/runs/test_cancel.py",
    "tests/integration/cli/test_tail.py",
    "tests/integration/api/test_schemathesis.py",
    "tests/integration/scenarios/test_normal_forms.py",
)


async def in_a_row(runs: int) -> bool:
    """Whether memory and descriptors stay what they are after the first third."""
    held: list[dict[str, float]] = []
    each: list[dict[int, float]] = []
    async with server(max_concurrent_runs=str(IN_FLIGHT), run_retention="200") as running:
        for third in range(3):
            await _third(running, runs // 3)
            await asyncio.sleep(SETTLE)
            held.append(_held(running))
            each.append({pid: private_mb(pid) or 0.0 for pid in descendants(running.pid)[1:]})
            print(f"  after {(third + 1) * (runs // 3)} runs: {_told(held[-1])}", flush=True)
    ratios = {name: held[2][name] / held[0][name] for name in held[0] if held[0][name]}
    # Spare children are new ones each time, and differ by some pages: only what lives on can grow.
    lasting = each[0].keys() & each[2].keys()
    ratios["MB of the others"] = sum(each[2][pid] for pid in lasting) / sum(each[0][pid] for pid in lasting)
    kept = all(ratio <= MOST for ratio in ratios.values())
    verdict = "met" if kept else "MISSED"
    print(f"  the last to the first, of what was there at both: {_told(ratios)} (at most {MOST}: {verdict})")
    return kept


async def _third(running: Server, runs: int) -> None:
    gate = asyncio.Semaphore(IN_FLIGHT)

    async def one() -> None:
        async with gate:
            if (kind := await running.follow(await running.submit(REF))) != "run.complete":
                raise RuntimeError(f"a run ended with {kind}")

    await asyncio.gather(*(one() for _ in range(runs)))


def _held(running: Server) -> dict[str, float]:
    family = descendants(running.pid)
    return {
        "processes": len(family),
        "MB of the server": private_mb(running.pid) or 0.0,
        "MB of the others": sum(private_mb(pid) or 0.0 for pid in family[1:]),
        "descriptors": sum(len(descriptors(pid)) for pid in family),
        "files left": len(list((running.directory / "tmp").iterdir())),
    }


def _told(numbers: dict[str, float]) -> str:
    return ", ".join(f"{name} {value:.4g}" for name, value in numbers.items())


async def readers() -> bool:
    """Whether readers that never read cost no more than they may."""
    with tempfile.TemporaryDirectory(prefix="playground-soak-") as name:
        write_scenario(Path(name))
        async with server(scenarios_dir=name) as running:
            run_id = await running.submit("bench/steps@1.0.0")
            await running.follow(run_id)
            await asyncio.sleep(SETTLE)
            before = private_mb(running.pid) or 0.0
            writers = [await _deaf(running, run_id) for _ in range(READERS)]
            await asyncio.sleep(SETTLE)
            during = private_mb(running.pid) or 0.0
            for writer in writers:
                writer.transport.abort()
            await asyncio.sleep(SETTLE)
            after = private_mb(running.pid) or 0.0
    each = (during - before) / READERS
    kept = each <= READER_MB
    print(
        f"  {READERS} readers that never read: {each:.2f} MB each (at most {READER_MB}: {'met' if kept else 'MISSED'})"
    )
    print(f"  server before {before:.1f}, with them {during:.1f}, without them {after:.1f} MB")
    return kept


async def _deaf(running: Server, run_id: str) -> asyncio.StreamWriter:
    address = urlsplit(running.url)
    _, writer = await asyncio.open_connection(address.hostname, address.port, limit=1024)
    writer.transport.pause_reading()  # type: ignore[attr-defined]
    writer.write(f"GET /runs/{run_id}/events HTTP/1.1\r\nHost: {address.netloc}\r\n\r\n".encode())
    await writer.drain()
    return writer


def rounds(number: int) -> bool:
    """Whether what depends on chance holds every time."""
    command = [sys.executable, "-m", "pytest", "-q", "-n", "2", *ROUNDS_OF]
    return subprocess.run(command, env={**os.environ, "ROUNDS": str(number)}, check=False).returncode == 0


def main() -> int:
    parser = argparse.ArgumentParser(prog="tests.bench.soak", description=__doc__)
    parser.add_argument("--runs", type=int, default=3000)
    parser.add_argument("--rounds", type=int, default=50)
    given = parser.parse_args()
    print(machine())
    kept = [asyncio.run(in_a_row(given.runs)), asyncio.run(readers()), rounds(given.rounds)]
    return 0 if all(kept) else 1


if __name__ == "__main__":
    sys.exit(main())
