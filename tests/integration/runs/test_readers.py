"""Readers: whenever they join and however slow they are, all see the same events, each once."""

from __future__ import annotations

import asyncio
import random
from pathlib import Path

import pytest

from aitp_playground.runs.feed import RECENT
from aitp_playground.service import Playground
from aitp_playground.store.port import TERMINAL
from tests.support.playground import follow

from .watching import ACT, DUO, submit, terminals, unruly_playground, until, writer

pytestmark = pytest.mark.asyncio(loop_scope="module")


async def test_fifty_readers_that_join_at_random_moments_see_the_same_log(clean: Playground) -> None:
    rng = random.Random(3)
    run_id = await submit(clean, ACT, inputs={"act": "flood", "count": 1500})

    async def read(after: int, lag: int) -> list[bytes]:
        seen: list[bytes] = []
        position = after
        async for batch in clean.directory.stream(run_id, after=after):
            for entry in batch:
                position += 1
                assert entry.seq == position
                seen.append(entry.body)
            for _ in range(lag):
                await asyncio.sleep(0)
        return seen

    readers = []
    joins = [0] * 5 + [rng.randrange(1500) for _ in range(45)]
    for after in joins:
        readers.append(asyncio.create_task(read(after, rng.choice([0, 0, 3, 30]))))
        await asyncio.sleep(rng.random() * 0.01)
    seen = await asyncio.gather(*readers)
    whole = [entry.body for entry in (await clean.directory.view(run_id)).events]
    assert len(whole) > 1500
    for after, bodies in zip(joins, seen, strict=True):
        assert bodies == whole[after:]


async def test_a_reader_far_behind_is_caught_up_from_the_store(clean: Playground) -> None:
    run_id = await submit(clean, ACT, inputs={"act": "flood", "count": RECENT * 3})
    stream = clean.directory.stream(run_id)
    seen = [entry.seq for entry in await anext(stream)]
    feed = writer(clean, run_id).feed
    while feed.committed < RECENT * 2 and not feed.closed:
        await feed.wait(feed.committed)
    assert feed.at_hand[0] <= RECENT
    async for batch in stream:
        seen.extend(entry.seq for entry in batch)
    assert seen == list(range(1, len(seen) + 1))
    assert len(seen) > RECENT * 3


async def test_a_run_of_another_process_can_be_followed_and_cancelled(tmp_path: Path) -> None:
    database = str(tmp_path / "shared.db")
    async with (
        unruly_playground(tmp_path / "one", run_history_db=database) as conducting,
        unruly_playground(tmp_path / "two", run_history_db=database) as watching,
    ):
        quick = await submit(conducting, DUO)
        followed, own = await asyncio.gather(follow(watching, quick), follow(conducting, quick))
        assert followed.events == own.events
        long = await submit(conducting, ACT, inputs={"act": "sleep", "seconds": 60})
        await until(watching, long, "step.started")
        answer = await watching.directory.cancel(long)
        assert (answer.status, answer.cancelled) == ("cancelled", True)
        outcome = await follow(watching, long)
        assert terminals(outcome) == ["run.cancelled"]
        assert not watching.directory.agents()


async def test_a_view_is_of_one_moment(clean: Playground) -> None:
    """Status, count and events of one answer fit each other, also while events come in."""
    run_id = await submit(clean, ACT, inputs={"act": "flood", "count": 1000})
    over = False
    while not over:
        view = await clean.directory.view(run_id)
        over = view.row.summary.status in TERMINAL
        assert view.row.summary.event_count == len(view.events)
        assert (view.events[-1].type == "run.complete" if view.events else False) is over
        page = await clean.directory.view(run_id, after=2, limit=3)
        assert [entry.seq for entry in page.events] == list(range(3, 3 + len(page.events)))
        assert page.more is (page.row.summary.event_count > 2 + len(page.events))
        await asyncio.sleep(0.01)
