"""Whose turn it is: a few runs at once, one batch of each, and first those that somebody waits for."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from typing import Any

import orjson
import pytest
from aiohttp import web

from aitp_playground.cp_client.reporting.ingest import AT_ONCE
from aitp_playground.cp_client.reporting.reporter import Reporter
from aitp_playground.observability.metrics import Metrics
from aitp_playground.store.port import EventPage
from tests.integration.cp_client.ingesting import WAIT, ended, events_of, new_run, reporting, talk
from tests.unit.store.model import ModelRunStore

from .rogue import Rogue, says


class Gate:
    """A Control Plane that takes a batch only when the test lets it."""

    def __init__(self) -> None:
        self.under_way: Counter[str] = Counter()
        self.most = 0
        self._open = asyncio.Semaphore(0)
        self._changed = asyncio.Condition()

    async def take(self, request: web.BaseRequest) -> web.Response:
        events: list[dict[str, Any]] = orjson.loads(await request.read())["events"]
        run_id = events[0]["run_id"]
        await self._note(run_id, 1)
        await self._open.acquire()
        await self._note(run_id, -1)
        return web.json_response({"ingested": len(events)})

    def let(self, batches: int) -> None:
        for _ in range(batches):
            self._open.release()

    async def holds(self, run_ids: set[str]) -> None:
        """Wait until exactly these runs have a batch under way."""
        async with asyncio.timeout(WAIT), self._changed:
            await self._changed.wait_for(lambda: {*+self.under_way} == run_ids)

    async def _note(self, run_id: str, change: int) -> None:
        async with self._changed:
            self.under_way[run_id] += change
            self.most = max(self.most, *self.under_way.values())
            self._changed.notify_all()


@pytest.fixture
def gate(rogue: Rogue) -> Gate:
    gate = Gate()
    rogue.route("POST", "/api/events", gate.take)
    return gate


@pytest.fixture
async def store() -> ModelRunStore:
    model = ModelRunStore(outbox=True)
    await model.open()
    return model


@pytest.fixture
async def reporter(store: ModelRunStore, rogue: Rogue, gate: Gate) -> AsyncIterator[Reporter]:
    async with reporting(store, rogue.url, "key", timeout_ms=20_000) as opened:
        yield opened


async def end(store: ModelRunStore, reporter: Reporter, count: int) -> list[str]:
    runs = [await new_run(store, talk(3)) for _ in range(count)]
    for run_id in runs:
        ended(reporter, await events_of(store, run_id))
    return runs


async def test_only_so_many_runs_are_reported_at_once_and_the_longest_waiting_is_next(
    store: ModelRunStore, reporter: Reporter, gate: Gate
) -> None:
    runs = await end(store, reporter, AT_ONCE + 2)
    await gate.holds(set(runs[:AT_ONCE]))
    assert len(reporter.backlog) == AT_ONCE + 2
    gate.let(len(runs))
    await reporter.drain(WAIT)
    assert await store.unreported() == []
    assert len(reporter.backlog) == 0


async def test_a_flush_does_not_wait_for_runs_that_nobody_waits_for(
    store: ModelRunStore, reporter: Reporter, gate: Gate
) -> None:
    runs = await end(store, reporter, AT_ONCE + 2)
    await gate.holds(set(runs[:AT_ONCE]))
    urgent = await new_run(store, talk(3, None))
    flushed = asyncio.create_task(reporter.flush(urgent))
    await gate.holds({*runs[:AT_ONCE], urgent})
    gate.let(len(runs) + 1)
    assert await flushed is None


async def test_a_run_has_one_batch_under_way_however_often_it_is_asked_for(
    store: ModelRunStore, reporter: Reporter, gate: Gate
) -> None:
    run_id = await new_run(store, talk(700))
    flushes = [asyncio.create_task(reporter.flush(run_id)) for _ in range(5)]
    ended(reporter, (await events_of(store, run_id))[-1:])
    gate.let(4)
    assert await asyncio.gather(*flushes) == [None] * 5
    assert gate.most == 1


async def test_what_is_under_way_does_not_hold_up_a_stop_beyond_its_grace(
    store: ModelRunStore, rogue: Rogue, gate: Gate
) -> None:
    async with asyncio.timeout(WAIT), reporting(store, rogue.url, "key", timeout_ms=60_000) as reporter:
        (run_id,) = await end(store, reporter, 1)
        await gate.holds({run_id})
        await reporter.drain(0.05)
    assert await store.unreported() == [run_id]


async def test_a_fault_with_one_run_keeps_no_other_from_being_reported(
    store: ModelRunStore, reporter: Reporter, gate: Gate, monkeypatch: pytest.MonkeyPatch
) -> None:
    broken = await new_run(store, talk(3))
    read = store.read

    async def read_badly(run_id: str, **page: Any) -> EventPage:
        if run_id == broken:
            raise ValueError("a page torn out")
        return await read(run_id, **page)

    monkeypatch.setattr(store, "read", read_badly)
    assert await reporter.flush(broken) == "bad_shape"
    gate.let(1)
    assert await reporter.flush((await end(store, reporter, 1))[0]) is None


async def test_failures_are_counted(store: ModelRunStore, rogue: Rogue) -> None:
    metrics = Metrics()
    rogue.behaviour = says(b"", 404)
    run_id = await new_run(store, talk(3))
    async with reporting(store, rogue.url, "key", metrics=metrics) as reporter:
        assert await reporter.flush(run_id) == "http_4xx"
    assert (metrics.registry.get_sample_value("aitp_playground_cp_ingest_retries_total") or 0) >= 1
