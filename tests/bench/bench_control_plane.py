"""How fast the development Control Plane, as a process of its own on a real file, takes events in and shows them."""

from __future__ import annotations

import asyncio
import sqlite3
import tempfile
import time
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Any

import aiohttp
import orjson

from tests.bench.report import Figure
from tests.contract.embedded import Embedded, embedded

BATCH = 500
INGESTED = 5_000
STORED = 100_000
ROUNDS = 7
PAGES = 15
AIDS = [f"aid:pubkey:{n:x>43}" for n in range(8)]

Make = Callable[[int], dict[str, Any]]


async def figures() -> list[Figure]:
    """Start-up, ingest of two kinds of events, and pages of a history of 100,000 events."""
    with tempfile.TemporaryDirectory(prefix="playground-bench-") as name:
        database = Path(name) / "cp.db"
        starts = [await asyncio.to_thread(_start, database) for _ in range(ROUNDS)]
        with embedded(database) as cp:
            async with aiohttp.ClientSession(headers={"Authorization": f"Bearer {cp.key}"}) as session:
                return [
                    Figure("from the command to the first health answer", starts, "ms", 1_000),
                    await _ingest(cp, session, f"ingest {INGESTED:,} plain events", _plain),
                    await _ingest(cp, session, f"ingest {INGESTED:,} handshake events with TCTs", _handshake),
                    *await _history(cp, session, database),
                ]


def _start(database: Path) -> float:
    started = time.perf_counter()
    with embedded(database):
        return (time.perf_counter() - started) * 1000


def _plain(n: int) -> dict[str, Any]:
    return {
        "type": f"demo.{n % 10}",
        "ts": time.time(),
        "run_id": f"run-{n % 100}",
        "session_id": f"session-{n // 20}",
        "aid_a": AIDS[n % 8],
        "aid_b": AIDS[n // 8 % 8],
        "payload": {"n": n, "filler": "x" * 150},
    }


def _handshake(n: int) -> dict[str, Any]:
    """Start and completion in turn, the completion with one TCT."""
    fields = {"ts": time.time(), "run_id": f"run-{n % 100}", "session_id": str(uuid.uuid4())}
    if n % 2 == 0:
        return {**fields, "type": "handshake.started", "aid_a": AIDS[0], "aid_b": AIDS[1], "payload": {}}
    now = int(time.time())
    claims = {"jti": str(uuid.uuid4()), "iss": AIDS[0], "sub": AIDS[1], "iat": now, "exp": now + 3600, "grants": ["g"]}
    return {**fields, "type": "handshake.complete", "grants": ["g"], "payload": {"tcts": [{"claims": claims}]}}


async def _ingest(cp: Embedded, session: aiohttp.ClientSession, name: str, make: Make) -> Figure:
    """One batch after the other, each acknowledged before the next is sent."""
    samples = []
    for _ in range(ROUNDS):
        bodies = _bodies(INGESTED, make)
        started = time.perf_counter()
        for body in bodies:
            await _post(cp, session, body)
        samples.append((time.perf_counter() - started) * 1000)
    return Figure(name, samples, "ms", 1_000)


def _bodies(count: int, make: Make) -> list[bytes]:
    return [orjson.dumps({"events": [make(first + n) for n in range(BATCH)]}) for first in range(0, count, BATCH)]


async def _post(cp: Embedded, session: aiohttp.ClientSession, body: bytes) -> None:
    async with session.post(f"{cp.url}/api/events", data=body) as response:
        assert await response.json() == {"ingested": BATCH}


async def _history(cp: Embedded, session: aiohttp.ClientSession, database: Path) -> list[Figure]:
    for body in _bodies(max(STORED - _stored(database), 0), _plain):
        await _post(cp, session, body)
    assert _stored(database) >= STORED
    asked: dict[str, dict[str, Any]] = {
        "newest 100": {},
        "newest 1,000": {"limit": 1000},
        "1,000 of one run": {"runId": "run-7", "limit": 1000},
        "100 of one agent": {"aid": AIDS[3]},
        "100 of one type, ten minutes": {"type": "demo.1", "since": _minutes_ago(10)},
        "100 after 90,000": {"offset": 90_000},
    }
    return [
        Figure(f"page of {STORED:,}: {name}", await _pages(cp, session, query), "ms", 50)
        for name, query in asked.items()
    ]


def _stored(database: Path) -> int:
    connection = sqlite3.connect(database)
    try:
        count: int = connection.execute("SELECT count(*) FROM events").fetchone()[0]
    finally:
        connection.close()
    return count


def _minutes_ago(minutes: int) -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(time.time() - minutes * 60))


async def _pages(cp: Embedded, session: aiohttp.ClientSession, query: dict[str, Any]) -> list[float]:
    samples = []
    for _ in range(PAGES):
        started = time.perf_counter()
        async with session.get(f"{cp.url}/api/events/history", params=query) as response:
            page = await response.json()
        samples.append((time.perf_counter() - started) * 1000)
        assert page["count"] == query.get("limit", 100)
    return samples
