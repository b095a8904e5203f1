"""Runs in a real store, reported to a real Control Plane: what a test of that needs."""

from __future__ import annotations

import asyncio
import uuid
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

import aiohttp

from aitp_playground.config import Settings
from aitp_playground.control_plane.server import Running
from aitp_playground.cp_client import CpClient
from aitp_playground.cp_client.breaker import Breaker
from aitp_playground.cp_client.reporting.reporter import Reporter, open_reporter
from aitp_playground.cp_client.reporting.run_report import Means
from aitp_playground.events.codec import decode, encode
from aitp_playground.events.model import EventDraft, RunEvent, draft
from aitp_playground.events.tokens import without_tokens
from aitp_playground.net import client_session
from aitp_playground.observability.metrics import Metrics
from aitp_playground.observability.trace_context import trace_id_of
from aitp_playground.runs.state import fold
from aitp_playground.store.port import RunHeader, RunStore, StoredEvent
from aitp_playground.store.sqlite import SqliteRunStore

START = 1_790_000_000.0
WAIT = 300.0
Drafts = Sequence[EventDraft]


async def until(holds: Callable[[], Awaitable[bool]]) -> None:
    """Ask again and again, since what is waited for happens elsewhere."""
    async with asyncio.timeout(WAIT):
        while True:
            if await holds():
                return
            await asyncio.sleep(0.02)


@asynccontextmanager
async def stored(directory: Path) -> AsyncIterator[SqliteRunStore]:
    """A store on disk whose runs are to be reported."""
    store = SqliteRunStore(str(directory / "runs.db"), state_dir=directory / "state", outbox=True)
    await store.open()
    try:
        yield store
    finally:
        await store.close()


async def new_run(store: RunStore, *batches: Drafts) -> str:
    """A run with these events, each batch in an append of its own."""
    run_id = str(uuid.uuid4())
    await store.create(RunHeader(run_id=run_id, scenario_ref="p/s@1", created_at=START))
    for drafts in batches:
        await go_on(store, run_id, drafts)
    return run_id


async def go_on(store: RunStore, run_id: str, drafts: Drafts) -> None:
    """More events, a millisecond apart, some of them of one instant."""
    known = await events_of(store, run_id)
    fresh = [
        RunEvent(
            seq=seq,
            id=str(uuid.uuid4()),
            type=one.type,
            ts=START + seq // 3 / 1000 if one.ts is None else one.ts,
            run_id=run_id,
            fields=one.fields,
        )
        for seq, one in enumerate(drafts, len(known) + 1)
    ]
    encoded = [StoredEvent(event.seq, event.type, event.ts, encode(event)) for event in fresh]
    await store.append(run_id, encoded, fold([*known, *fresh]).summary(run_id))


def talk(count: int, end: str | None = "run.complete", **fields: Any) -> list[EventDraft]:
    """``count`` events of a run from its beginning; the last one ends it unless ``end`` is None."""
    drafts = [draft("run.started")]
    drafts += [draft("llm.started", agent_id="writer", n=n, text="say ☃" * 20) for n in range(count - 2)]
    return [*drafts, draft(end or "llm.complete", **fields)]


async def events_of(store: RunStore, run_id: str) -> list[RunEvent]:
    """The run's own log."""
    return [decode(entry.body) for entry in (await store.read(run_id, limit=100_000, max_bytes=1 << 30)).events]


@dataclass(kw_only=True)
class Reports:
    """A Control Plane as it is seen by its own API, and whoever reports to it."""

    url: str
    key: str
    http: aiohttp.ClientSession = field(repr=False)

    async def get(self, path: str, **query: Any) -> Any:
        headers = {"Authorization": f"Bearer {self.key}"}
        async with self.http.get(self.url + path, params=query, headers=headers) as response:
            assert response.status == 200, await response.text()
            return await response.json()

    async def rows(self, run_id: str) -> list[dict[str, Any]]:
        """Everything it has of a run, in the order of seq."""
        found: list[dict[str, Any]] = []
        while True:
            page = await self.get("/api/events/history", runId=run_id, limit=1000, offset=len(found))
            found += page["events"]
            if len(page["events"]) < 1000:
                return sorted(found, key=lambda row: row["payload"]["seq"])

    async def has(self, run_id: str, count: int) -> list[dict[str, Any]]:
        """Wait until it has so many events of a run."""

        async def enough() -> bool:
            return len(await self.rows(run_id)) >= count

        await until(enough)
        return await self.rows(run_id)


async def settled(store: RunStore, run_id: str) -> None:
    """Wait until the outbox owes nothing of this run."""

    async def nothing_owed() -> bool:
        return run_id not in await store.unreported()

    await until(nothing_owed)


def assert_same(rows: Sequence[dict[str, Any]], events: Sequence[RunEvent]) -> None:
    """Each event is there once, as it is in the run's own log."""
    assert Counter(row["payload"]["id"] for row in rows) == Counter(event.id for event in events)
    for row, event in zip(rows, events, strict=True):
        flat = {**event.payload, **event.fields, "id": event.id, "seq": event.seq}
        flat.pop("payload", None)
        flat["trace_id"] = trace_id_of(event.run_id)
        assert (row["type"], row["runId"], row["source"], row["payload"]) == (
            event.type,
            event.run_id,
            "aitp-playground",
            without_tokens(flat),
        )
        taken = datetime.fromisoformat(row["ts"])
        assert abs(taken - datetime.fromtimestamp(event.ts, UTC)).total_seconds() < 0.0011


@asynccontextmanager
async def reporting(
    store: RunStore,
    url: str,
    key: str,
    *,
    settle: float = 0.05,
    timeout_ms: int = 5000,
    sleep: Callable[[float], Any] = asyncio.sleep,
    metrics: Metrics | None = None,
    settle_most: float = 300.0,
    patience: float | None = 20.0,
) -> AsyncIterator[Reporter]:
    """Whoever reports to the Control Plane at ``url``; a breaker that opens tries again twenty times as soon."""
    settings = Settings.load(
        _env_file=None, state_dir=Path("/nowhere"), cp_base_url=url, cp_api_key=key, cp_timeout_ms=timeout_ms
    )
    async with client_session() as http:
        hasty = partial(Breaker, sleep=lambda seconds: asyncio.sleep(seconds / 20))
        client = CpClient(settings, http, breaker=hasty)
        means = Means(client=client, store=store, metrics=metrics or Metrics(), settle=settle, sleep=sleep)
        means = replace(means, settle_most=settle_most)
        try:
            async with open_reporter(means, grace=0.0, patience=patience) as reporter:
                yield reporter
        finally:
            await client.close()


def ended(reporter: Reporter, events: Sequence[RunEvent]) -> None:
    """Show the reporter a log as its run's actor would."""
    for event in events:
        reporter.observe(event, StoredEvent(event.seq, event.type, event.ts, encode(event)))


def seen(cp: Running, http: aiohttp.ClientSession) -> Reports:
    """The view of a Control Plane in this process."""
    return Reports(url=cp.url, key=cp.key, http=http)
