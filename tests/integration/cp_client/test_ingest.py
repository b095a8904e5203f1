"""Whatever becomes of a run, and whatever the Control Plane does meanwhile: its events arrive, each once."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import aiohttp
import pytest

from aitp_playground.control_plane.options import Options
from aitp_playground.control_plane.server import Running, control_plane
from aitp_playground.events.model import draft
from aitp_playground.observability.metrics import Metrics
from aitp_playground.store.sqlite import SqliteRunStore
from tests.unit.cp_client.rogue import black_hole, refusing, rogue_server

from .ingesting import (
    START,
    WAIT,
    Reports,
    assert_same,
    ended,
    events_of,
    go_on,
    new_run,
    reporting,
    seen,
    settled,
    talk,
    until,
)

pytestmark = pytest.mark.usefixtures("hasty")
KEY = "a-key"


def counted(metrics: Metrics, fate: str) -> float:
    return metrics.registry.get_sample_value("aitp_playground_cp_ingest_events_total", {"fate": fate}) or 0.0


async def test_a_long_run_arrives_whole_in_batches(store: SqliteRunStore, cp: Running, reports: Reports) -> None:
    run_id = await new_run(store, talk(1200))
    events = await events_of(store, run_id)
    async with reporting(store, cp.url, cp.key) as reporter:
        ended(reporter, events)
        await settled(store, run_id)
        assert_same(await reports.rows(run_id), events)


@pytest.mark.parametrize(
    ("end", "fields"), [("run.failed", {"error": "the writer fell asleep"}), ("run.cancelled", {})]
)
async def test_a_run_that_did_not_succeed_arrives_as_well(
    store: SqliteRunStore, cp: Running, reports: Reports, end: str, fields: dict[str, str]
) -> None:
    run_id = await new_run(store, talk(5, end, **fields))
    events = await events_of(store, run_id)
    async with reporting(store, cp.url, cp.key) as reporter:
        ended(reporter, events)
        assert_same(await reports.has(run_id, 5), events)


async def test_many_runs_at_once_arrive_each_with_its_own(store: SqliteRunStore, cp: Running, reports: Reports) -> None:
    runs = [await new_run(store, talk(30)) for _ in range(12)]
    async with reporting(store, cp.url, cp.key) as reporter:
        for run_id in runs:
            ended(reporter, await events_of(store, run_id))
        for run_id in runs:
            await settled(store, run_id)
            assert_same(await reports.rows(run_id), await events_of(store, run_id))


@pytest.mark.parametrize("fault", ["drop", "truncate"])
async def test_what_was_stored_without_an_answer_is_not_sent_again(
    store: SqliteRunStore, cp: Running, reports: Reports, fault: str
) -> None:
    cp.service.switches.set({"fault": fault, "method": "POST", "path": "/api/events", "calls": 2})
    run_id = await new_run(store, talk(450))
    metrics = Metrics()
    async with reporting(store, cp.url, cp.key, metrics=metrics):
        await settled(store, run_id)
    assert_same(await reports.rows(run_id), await events_of(store, run_id))
    assert counted(metrics, "already_there") == 400


async def test_more_events_of_one_instant_than_a_page_of_history_holds_are_all_found(
    store: SqliteRunStore, cp: Running, reports: Reports
) -> None:
    cp.service.switches.set({"fault": "drop", "method": "POST", "path": "/api/events", "calls": 6})
    run_id = await new_run(store, [replace(one, ts=START) for one in talk(1150)])
    metrics = Metrics()
    async with reporting(store, cp.url, cp.key, metrics=metrics):
        await settled(store, run_id)
    assert_same(await reports.rows(run_id), await events_of(store, run_id))
    assert counted(metrics, "already_there") == 1150


async def test_what_was_stored_after_the_time_was_up_is_not_sent_again(
    store: SqliteRunStore, cp: Running, reports: Reports
) -> None:
    cp.service.switches.set({"fault": "delay", "seconds": 0.6, "method": "POST", "calls": 1})
    run_id = await new_run(store, talk(20))
    async with reporting(store, cp.url, cp.key, timeout_ms=200, settle=0.8):
        await settled(store, run_id)
    assert_same(await reports.rows(run_id), await events_of(store, run_id))


async def test_the_settling_time_passes_before_anything_is_looked_up_or_sent_again(
    store: SqliteRunStore, cp: Running, reports: Reports
) -> None:
    slept: list[float] = []
    asleep, go = asyncio.Event(), asyncio.Event()

    async def sleep(seconds: float) -> None:
        slept.append(seconds)
        asleep.set()
        await go.wait()

    cp.service.switches.set({"fault": "status", "status": 500, "method": "POST", "calls": 1})
    run_id = await new_run(store, talk(3))
    async with reporting(store, cp.url, cp.key, settle=77.0, sleep=sleep) as reporter:
        flushed = asyncio.create_task(reporter.flush(run_id))
        async with asyncio.timeout(WAIT):
            await asleep.wait()
        assert slept == [77.0]
        assert await reports.rows(run_id) == []
        go.set()
        assert await flushed is None
    assert slept == [77.0]
    assert_same(await reports.rows(run_id), await events_of(store, run_id))


async def test_a_run_ended_while_the_control_plane_was_away_arrives_when_it_is_back(
    store: SqliteRunStore, http: aiohttp.ClientSession, unused_tcp_port: int
) -> None:
    url = f"http://127.0.0.1:{unused_tcp_port}"
    run_id = await new_run(store, talk(250))
    events = await events_of(store, run_id)
    async with reporting(store, url, KEY) as reporter:
        ended(reporter, events)
        assert await reporter.flush(run_id) in {"refused", "breaker_open"}
        assert len(reporter.backlog) == 1
        async with control_plane(Options(port=unused_tcp_port, api_keys=(KEY,))) as cp:
            await settled(store, run_id)
            assert_same(await seen(cp, http).rows(run_id), events)
            await reporter.drain(WAIT)
            assert (len(reporter.backlog), reporter.backlog.lag) == (0, 0.0)


async def test_a_flush_amid_a_run_answers_when_all_so_far_has_arrived(
    store: SqliteRunStore, cp: Running, reports: Reports
) -> None:
    run_id = await new_run(store, talk(230, None))
    async with reporting(store, cp.url, cp.key) as reporter:
        assert await reporter.flush(run_id) is None
        assert_same(await reports.rows(run_id), await events_of(store, run_id))
        await go_on(store, run_id, [draft("llm.complete", agent_id="writer"), draft("run.complete")])
        ended(reporter, await events_of(store, run_id))
        await settled(store, run_id)
        await go_on(store, run_id, [draft("cp.webhook.delivered", delivery_id="d")])
        ended(reporter, (await events_of(store, run_id))[-1:])
        await settled(store, run_id)
    assert_same(await reports.rows(run_id), await events_of(store, run_id))


async def test_a_run_that_goes_on_is_not_reported_before_somebody_asks(
    store: SqliteRunStore, cp: Running, reports: Reports
) -> None:
    run_id = await new_run(store, talk(4, None), [draft("cp.webhook.delivered", delivery_id="d")])
    other = await new_run(store, talk(4))
    async with reporting(store, cp.url, cp.key) as reporter:
        ended(reporter, await events_of(store, run_id))
        ended(reporter, await events_of(store, other))
        await settled(store, other)
        await reporter.drain(WAIT)
    assert await reports.rows(run_id) == []


async def test_a_flush_says_why_it_did_not_work(store: SqliteRunStore, cp: Running, reports: Reports) -> None:
    run_id = await new_run(store, talk(4, None))
    async with reporting(store, cp.url, "wrong") as reporter:
        assert await reporter.flush(run_id) == "unauthorized"
        assert await reporter.flush("no-such-run") is None
    assert await reports.rows(run_id) == []


@pytest.mark.parametrize("status", [400, 401, 413, 429, 500, 503])
async def test_a_refusal_that_passes_changes_nothing(
    store: SqliteRunStore, cp: Running, reports: Reports, status: int
) -> None:
    cp.service.switches.set({"fault": "status", "status": status, "method": "POST", "calls": 3})
    run_id = await new_run(store, talk(40))
    metrics = Metrics()
    async with reporting(store, cp.url, cp.key, metrics=metrics) as reporter:
        while await reporter.flush(run_id) is not None:
            pass
    assert_same(await reports.rows(run_id), await events_of(store, run_id))
    assert counted(metrics, "stub") == counted(metrics, "dropped") == 0


async def test_a_deleted_run_is_not_reported_any_more(store: SqliteRunStore, cp: Running, reports: Reports) -> None:
    cp.service.switches.set({"fault": "status", "status": 503, "method": "POST"})
    run_id = await new_run(store, talk(4))
    async with reporting(store, cp.url, cp.key) as reporter:
        assert await reporter.flush(run_id) == "http_5xx"
        assert await store.delete(run_id)
        cp.service.switches.clear()
        assert await reporter.flush(run_id) is None
    assert await reports.rows(run_id) == []


async def test_a_flush_does_not_sit_out_the_settling_time_of_what_cannot_have_arrived(store: SqliteRunStore) -> None:
    run_id = await new_run(store, talk(4, None))
    with refusing() as nowhere:
        async with asyncio.timeout(WAIT), reporting(store, nowhere, KEY, settle=1000.0) as reporter:
            assert await reporter.flush(run_id) == "refused"

            async def at_rest() -> bool:
                return not len(reporter.backlog)

            await until(at_rest)
            assert await reporter.flush(run_id) == "refused"


async def test_a_flush_does_not_sit_out_the_settling_time_while_the_control_plane_is_away(
    store: SqliteRunStore,
) -> None:
    run_id = await new_run(store, talk(4, None))
    async with (
        asyncio.timeout(WAIT),
        rogue_server(black_hole) as rogue,
        reporting(store, rogue.url, KEY, settle=1000.0, timeout_ms=100) as reporter,
    ):
        assert await reporter.flush(run_id) == "timeout"
        assert await reporter.flush(run_id) == "breaker_open"
