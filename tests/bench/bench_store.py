"""How many durable events a second the store takes: ``python -m tests.bench.bench_store``.

Appenders hand over batches of 50 events and wait for the commit before the next, on a real file with a real fsync.
The reading figure is one page of 10,000 events.
"""

from __future__ import annotations

import asyncio
import json
import os
import platform
import sqlite3
import statistics
import tempfile
import time
from pathlib import Path
from typing import Any

from aitp_playground.store.port import RunHeader, RunSummary, StoredEvent
from aitp_playground.store.sqlite import SqliteRunStore

APPENDERS = 32
BATCH = 50
BATCHES = 25
ROUNDS = 7
PAGE = 10_000
#: Bytes; about what a trust.established event takes.
BODY = b'{"filler":"%s"}' % (b"x" * 450)


def run() -> dict[str, Any]:
    """Machine, median and spread (lowest and highest round) of each figure."""
    with tempfile.TemporaryDirectory() as directory:
        appended, read = asyncio.run(_measure(Path(directory)))
    return {
        "machine": {
            "cpus": os.cpu_count(),
            "arch": platform.machine(),
            "kernel": platform.release(),
            "python": platform.python_version(),
            "sqlite": sqlite3.sqlite_version,
        },
        "rounds": ROUNDS,
        "appenders": APPENDERS,
        "events_per_append": BATCH,
        "durable_events_per_second": _spread(appended),
        "read_10000_events_ms": _spread(read),
    }


async def _measure(directory: Path) -> tuple[list[float], list[float]]:
    store = SqliteRunStore(str(directory / "runs.db"), state_dir=directory)
    await store.open()
    try:
        await _round(store, "warm-up")
        appended = [await _round(store, f"round-{n}") for n in range(ROUNDS)]
        await _append(store, "page", PAGE // BATCH)
        read = [await _read_page(store) for _ in range(ROUNDS)]
    finally:
        await store.close()
    return appended, read


async def _round(store: SqliteRunStore, name: str) -> float:
    started = time.perf_counter()
    await asyncio.gather(*(_append(store, f"{name}-{n}", BATCHES) for n in range(APPENDERS)))
    return APPENDERS * BATCHES * BATCH / (time.perf_counter() - started)


async def _append(store: SqliteRunStore, run_id: str, batches: int) -> None:
    await store.create(RunHeader(run_id=run_id, scenario_ref="bench/store@1", created_at=time.time()))
    for first in range(1, batches * BATCH + 1, BATCH):
        batch = [StoredEvent(seq, "step.complete", 1.0, BODY) for seq in range(first, first + BATCH)]
        await store.append(run_id, batch, RunSummary(run_id=run_id, status="running", event_count=first + BATCH - 1))


async def _read_page(store: SqliteRunStore) -> float:
    started = time.perf_counter()
    page = await store.read("page", limit=PAGE)
    assert len(page.events) == PAGE
    return (time.perf_counter() - started) * 1000


def _spread(values: list[float]) -> dict[str, float]:
    return {
        "median": round(statistics.median(values), 1),
        "lowest": round(min(values), 1),
        "highest": round(max(values), 1),
    }


if __name__ == "__main__":
    print(json.dumps(run(), indent=2))
