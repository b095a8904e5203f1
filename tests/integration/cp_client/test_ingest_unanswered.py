"""A Control Plane that is given up on and carries the request out all the same: what is sent again, and when."""

from __future__ import annotations

import asyncio

import pytest

from aitp_playground.control_plane.server import Running
from aitp_playground.store.sqlite import SqliteRunStore

from .ingesting import WAIT, Reports, assert_same, events_of, new_run, reporting, settled, talk, until


class Pauses:
    """Settling times that pass when the test says so."""

    def __init__(self) -> None:
        self.slept: list[float] = []
        self._passing = asyncio.Semaphore(0)

    async def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        await self._passing.acquire()

    def let_pass(self) -> None:
        self._passing.release()

    async def reach(self, count: int) -> None:
        async def reached() -> bool:
            return len(self.slept) >= count

        await until(reached)


@pytest.mark.parametrize("events", [3, 250])
async def test_while_inserts_are_blocked_and_reads_are_not_nothing_is_sent_twice(
    store: SqliteRunStore, cp: Running, reports: Reports, events: int
) -> None:
    pauses = Pauses()
    switch = cp.service.switches.set({"fault": "inserts_blocked"})
    cp.service.db.hold_writes(True)
    run_id = await new_run(store, talk(events))
    async with asyncio.timeout(WAIT), reporting(store, cp.url, cp.key, settle=5.0, timeout_ms=1000, sleep=pauses.sleep):
        for looked in range(1, 5):
            await pauses.reach(looked)
            pauses.let_pass()
        await pauses.reach(5)
        assert pauses.slept[:5] == [5.0, 10.0, 20.0, 40.0, 80.0]
        assert await reports.rows(run_id) == []
        cp.service.switches.clear(switch.id)
        cp.service.db.hold_writes(False)
        for _ in range(20):
            pauses.let_pass()
        await settled(store, run_id)
    assert_same(await reports.rows(run_id), await events_of(store, run_id))


async def test_a_restart_while_inserts_are_blocked_sends_nothing_twice_either(
    store: SqliteRunStore, cp: Running, reports: Reports
) -> None:
    """The service that comes next does not know the request, but that it was given up on."""
    before, after = Pauses(), Pauses()
    switch = cp.service.switches.set({"fault": "inserts_blocked"})
    cp.service.db.hold_writes(True)
    run_id = await new_run(store, talk(3))
    async with asyncio.timeout(WAIT):
        async with reporting(store, cp.url, cp.key, settle=5.0, timeout_ms=200, sleep=before.sleep):
            await before.reach(1)
        async with reporting(store, cp.url, cp.key, settle=5.0, timeout_ms=200, sleep=after.sleep):
            for looked in range(1, 4):
                await after.reach(looked)
                after.let_pass()
            await after.reach(4)
            assert after.slept == [5.0, 10.0, 20.0, 40.0]
            assert await reports.rows(run_id) == []
            cp.service.switches.clear(switch.id)
            cp.service.db.hold_writes(False)
            for _ in range(20):
                after.let_pass()
            await settled(store, run_id)
    assert_same(await reports.rows(run_id), await events_of(store, run_id))


async def test_after_the_longest_settling_time_it_is_sent_again(
    store: SqliteRunStore, cp: Running, reports: Reports
) -> None:
    """A request that was lost on its way is not waited for for ever."""
    pauses = Pauses()
    cp.service.switches.set({"fault": "black_hole", "method": "POST", "calls": 1})
    run_id = await new_run(store, talk(3))
    for _ in range(20):
        pauses.let_pass()
    async with asyncio.timeout(WAIT), reporting(store, cp.url, cp.key, settle=5.0, timeout_ms=1000, sleep=pauses.sleep):
        await settled(store, run_id)
    assert pauses.slept == [5.0, 10.0, 20.0, 40.0, 80.0, 145.0]
    assert_same(await reports.rows(run_id), await events_of(store, run_id))


async def test_each_unknown_outcome_doubles_the_settling_time_up_to_its_bound(
    store: SqliteRunStore, cp: Running, reports: Reports
) -> None:
    pauses = Pauses()
    cp.service.switches.set({"fault": "status", "status": 503, "method": "POST", "calls": 4})
    run_id = await new_run(store, talk(3))
    for _ in range(20):
        pauses.let_pass()
    async with (
        asyncio.timeout(WAIT),
        reporting(store, cp.url, cp.key, settle=5.0, settle_most=20.0, sleep=pauses.sleep),
    ):
        await settled(store, run_id)
    assert pauses.slept == [5.0, 10.0, 20.0, 20.0]
    assert_same(await reports.rows(run_id), await events_of(store, run_id))


async def test_a_flush_waits_as_long_as_one_call_and_settling_goes_on_without_it(
    store: SqliteRunStore, cp: Running
) -> None:
    pauses = Pauses()
    cp.service.db.hold_writes(True)
    run_id = await new_run(store, talk(3, None))
    async with (
        asyncio.timeout(WAIT),
        reporting(store, cp.url, cp.key, timeout_ms=300, sleep=pauses.sleep, patience=None) as reporter,
    ):
        assert await reporter.flush(run_id) == "timeout"
        assert await reporter.flush(run_id) in {"timeout", "breaker_open"}
    cp.service.db.hold_writes(False)


async def test_reports_that_settle_hold_up_no_others_and_no_shutdown(
    store: SqliteRunStore, cp: Running, reports: Reports
) -> None:
    pauses = Pauses()
    cp.service.switches.set({"fault": "black_hole", "method": "POST", "calls": 4})
    stuck = [await new_run(store, talk(3)) for _ in range(4)]
    async with asyncio.timeout(WAIT), reporting(store, cp.url, cp.key, timeout_ms=300, sleep=pauses.sleep) as reporter:
        await pauses.reach(4)
        other = await new_run(store, talk(3))
        assert await reporter.flush(other) is None
        await reporter.drain(WAIT)
    assert_same(await reports.rows(other), await events_of(store, other))
    for run_id in stuck:
        assert await reports.rows(run_id) == []
