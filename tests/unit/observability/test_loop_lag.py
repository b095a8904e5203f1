"""The lateness of the loop, by a clock that only the test moves."""

from __future__ import annotations

import asyncio

import pytest
from structlog.testing import capture_logs

from aitp_playground.actors import Restart, Supervisor
from aitp_playground.observability.loop_lag import EVERY, WINDOW, LoopLag, LoopWatch


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def lag(clock: Clock) -> LoopLag:
    return LoopLag(clock)


def slept(lag: LoopLag, clock: Clock, late: float) -> None:
    lag.ask(EVERY)
    clock.now += EVERY + late
    lag.woken()


def test_a_loop_that_is_on_time_has_no_lag(lag: LoopLag, clock: Clock) -> None:
    assert lag.seconds == 0.0
    slept(lag, clock, 0.0)
    assert lag.seconds == pytest.approx(0.0)


def test_the_worst_is_told_to_everybody_who_asks(lag: LoopLag, clock: Clock) -> None:
    for late in (0.2, 0.7, 0.1):
        slept(lag, clock, late)
    assert [lag.seconds, lag.seconds] == pytest.approx([0.7, 0.7])


def test_what_is_overdue_this_moment_counts(lag: LoopLag, clock: Clock) -> None:
    lag.ask(EVERY)
    clock.now += EVERY / 2
    assert lag.seconds == 0.0
    clock.now += EVERY / 2 + 3
    assert lag.seconds == pytest.approx(3.0)


def test_a_window_later_it_is_still_told_and_two_windows_later_no_more(lag: LoopLag, clock: Clock) -> None:
    slept(lag, clock, 0.7)
    clock.now += WINDOW
    slept(lag, clock, 0.2)
    assert lag.seconds == pytest.approx(0.7)
    clock.now += WINDOW
    assert lag.seconds == pytest.approx(0.2)
    clock.now += 10 * WINDOW
    assert lag.seconds == 0.0


def test_a_loop_that_stood_still_for_long_says_so(lag: LoopLag, clock: Clock) -> None:
    slept(lag, clock, 5 * WINDOW)
    assert lag.seconds == pytest.approx(5 * WINDOW)


async def test_the_watch_measures_until_it_is_closed(lag: LoopLag, clock: Clock) -> None:
    naps: asyncio.Queue[asyncio.Future[None]] = asyncio.Queue()

    async def sleep(seconds: float) -> None:
        assert seconds == EVERY
        nap: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        naps.put_nowait(nap)
        await nap

    supervisor = Supervisor()
    supervisor.spawn(lambda: LoopWatch(lag, sleep), name="loop-watch")
    for late in (0.25, 0.5):
        nap = await naps.get()
        clock.now += EVERY + late
        nap.set_result(None)
    last = await naps.get()
    assert lag.seconds == pytest.approx(0.5)
    await supervisor.close(300)
    assert last.cancelled()


async def test_a_watch_that_fails_is_told_of_and_begun_again(lag: LoopLag) -> None:
    asleep = asyncio.Event()
    calls = iter([RuntimeError("no such clock")])

    async def sleep(seconds: float) -> None:
        for failure in calls:
            raise failure
        asleep.set()
        await asyncio.Event().wait()

    supervisor = Supervisor()
    with capture_logs() as logs:
        supervisor.spawn(lambda: LoopWatch(lag, sleep), name="loop-watch", restart=Restart.ON_FAILURE)
        async with asyncio.timeout(300):
            await asleep.wait()
    assert [line["actor"] for line in logs if line["event"] == "actor.failed"] == ["loop-watch"]
    await supervisor.close(300)
