"""The stream of everything: how late an event is on it, and how soon it goes on from any place of a large history."""

from __future__ import annotations

import asyncio
import json
import random
import tempfile
import time
from pathlib import Path
from typing import Any

from aitp_playground.store.chronicle_port import Position
from aitp_playground.store.port import RunHeader, RunSummary, StoredEvent
from aitp_playground.store.sqlite import SqliteRunStore
from tests.bench.report import Figure
from tests.bench.server import Server, server

REF = "intra-org/trust-gate@1.0.0"
STORED = 1_000_000
A_RUN, A_COMMIT = 10_000, 4
RESUMED = 100
RUNS = 40


async def figures() -> list[Figure]:
    """Lag of the stream under runs one after another, and time from the request to the first event in a history."""
    async with server() as running:
        lag = await _lag(running)
    with tempfile.TemporaryDirectory(prefix="playground-bench-") as name:
        database = Path(name) / "runs.db"
        places = await _fill(database)
        async with server(run_history_db=str(database), run_retention="1000000") as running:
            resumed = [await _resume(running, place) for place in places]
    return [
        Figure("an event on the stream after it happened", lag, "ms", 100),
        Figure(f"on from any place of {STORED:,} events", resumed, "ms", 50),
    ]


async def _lag(running: Server) -> list[float]:
    found: list[float] = []
    async with running.http.get(f"{running.url}/events") as stream:

        async def read() -> None:
            async for line in stream.content:
                if line.startswith(b"data: "):
                    now = time.time()
                    found.append((now - json.loads(line[6:])["ts"]) * 1e3)

        reading = asyncio.create_task(read())
        for _ in range(RUNS):
            await running.follow(await running.submit(REF))
        await asyncio.sleep(1)
        reading.cancel()
        await asyncio.gather(reading, return_exceptions=True)
    return found


async def _fill(database: Path) -> list[str]:
    """A history of a million events, in commits of four; some places in it."""
    store = SqliteRunStore(str(database), state_dir=database.parent, max_waiting_events=STORED * 2)
    await store.open()
    for number in range(STORED // A_RUN):
        run_id = f"{number:08x}-0000-4000-8000-000000000000"
        await store.create(RunHeader(run_id=run_id, scenario_ref="bench/bench@1.0.0", created_at=time.time()))
        waiting: list[Any] = []
        for first in range(1, A_RUN, A_COMMIT):
            events = [_event(run_id, seq) for seq in range(first, first + A_COMMIT)]
            last = first + A_COMMIT - 1
            over = last == A_RUN
            summary = RunSummary(
                run_id=run_id,
                status="success" if over else "running",
                event_count=last,
                finished_at=time.time() if over else None,
            )
            waiting.append(store.append(run_id, events, summary))
        await asyncio.gather(*waiting)
    commits = STORED // A_COMMIT
    places = [await store.chronicle_placed(Position(random.randrange(1, commits), 0)) for _ in range(RESUMED)]
    await store.close()
    return [f"{place.era}.{place.commit}.{place.seq}" for place in places]


def _event(run_id: str, seq: int) -> StoredEvent:
    body = {"seq": seq, "id": "x", "type": "step.started", "ts": time.time(), "run_id": run_id, "payload": "y" * 200}
    return StoredEvent(seq, "step.started", time.time(), json.dumps(body).encode())


async def _resume(running: Server, place: str) -> float:
    begun = time.perf_counter()
    async with running.http.get(f"{running.url}/events", params={"after": place}) as stream:
        async for line in stream.content:
            if line.startswith(b"data: "):
                return (time.perf_counter() - begun) * 1e3
    raise RuntimeError("the stream ended")
