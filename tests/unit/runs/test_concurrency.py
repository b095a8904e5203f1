"""Threads for one kind of work: bounded, counted until they are free, and out of the way of other kinds."""

from __future__ import annotations

import asyncio
import threading

import pytest

from aitp_playground.errors import Overloaded
from aitp_playground.runs.concurrency import Threads


async def test_what_waits_is_bounded_and_refused_at_once_and_the_place_is_free_again_afterwards() -> None:
    threads, held = Threads("test", 1, waiting=1), threading.Event()
    first, second = (asyncio.create_task(threads.do(held.wait)) for _ in range(2))
    await asyncio.sleep(0)
    with pytest.raises(Overloaded, match="ask again later"):
        await threads.do(int)
    held.set()
    assert await asyncio.gather(first, second) == [True, True]
    assert await threads.do(int) == 0


async def test_what_nobody_waits_for_any_more_counts_while_it_goes_on_and_is_not_begun_if_it_was_not() -> None:
    threads, began, held, second_ran = Threads("test", 1, waiting=0), threading.Event(), threading.Event(), []

    def work() -> None:
        began.set()
        held.wait()

    left = asyncio.create_task(threads.do(work))
    async with asyncio.timeout(30):
        await asyncio.to_thread(began.wait)
    left.cancel()
    with pytest.raises(asyncio.CancelledError):
        await left
    with pytest.raises(Overloaded):
        await threads.do(int)
    queue = Threads("queue", 1)
    going = asyncio.create_task(queue.do(held.wait))
    waiting = asyncio.create_task(queue.do(lambda: second_ran.append(1)))
    await asyncio.sleep(0)
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    held.set()
    await going
    await queue.do(int)
    assert second_ran == []
