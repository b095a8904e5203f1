"""Whoever follows everything sees each event once and in order, however slow, and whoever wrote it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, aclosing
from pathlib import Path

import pytest

from aitp_playground.errors import StoreUnavailable
from aitp_playground.runs import chronicle as chronicle_module
from aitp_playground.runs.chronicle import Chronicle
from aitp_playground.store.chronicle_port import START, ChroniclePage, Position
from aitp_playground.store.sqlite import SqliteRunStore
from tests.unit.store.building import events, stored_run, summary


class Counted(SqliteRunStore):
    """How often its chronicle is read; ``broken`` raises instead."""

    reads = 0
    broken = False

    async def chronicle(self, after: Position, **bounds: int) -> ChroniclePage:  # type: ignore[override]
        self.reads += 1
        if self.broken:
            raise StoreUnavailable("away")
        return await super().chronicle(after, **bounds)


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[Counted]:
    opened = Counted(str(tmp_path / "runs.db"), state_dir=tmp_path)
    await opened.open()
    yield opened
    await opened.close()


async def add(store: SqliteRunStore, run_id: str, first: int, last: int, chronicle: Chronicle | None = None) -> None:
    await store.append(run_id, events(first, last), summary(run_id, last))
    if chronicle is not None:
        chronicle.wake()


async def collect(chronicle: Chronicle, after: Position, count: int) -> list[tuple[str, int]]:
    """The first ``count`` events that a follower gets."""
    found: list[tuple[str, int]] = []
    async with asyncio.timeout(300), aclosing(chronicle.follow(after)) as pages:
        async for page in pages:
            found += [(entry.run_id, entry.event.seq) for entry in page.entries]
            if len(found) >= count:
                break
    return found


async def until(true: Callable[[], object]) -> None:
    async with asyncio.timeout(300):
        while not true():  # noqa: ASYNC110 - what is waited for has no event of its own
            await asyncio.sleep(0.001)


async def test_stored_events_come_first_and_live_ones_follow(store: Counted) -> None:
    chronicle = Chronicle(store)
    await stored_run(store, 3, run_id="a")
    following = asyncio.create_task(collect(chronicle, START, 6))
    await until(lambda: store.reads >= 2)
    await add(store, "a", 4, 6, chronicle)
    assert await following == [("a", number) for number in range(1, 7)]


async def test_many_who_keep_up_share_what_is_read(store: Counted, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(chronicle_module, "FOREIGN_POLL", 60)
    chronicle = Chronicle(store)
    await stored_run(store, 0, run_id="a")
    head = await chronicle.head()
    followers = [asyncio.create_task(collect(chronicle, head, 50)) for _ in range(20)]
    await until(lambda: len(chronicle._waiting) == 20)
    before = store.reads
    for number in range(1, 51):
        await add(store, "a", number, number, chronicle)
        if number < 50:
            await until(lambda: len(chronicle._waiting) == 20)
    assert all(found == [("a", n) for n in range(1, 51)] for found in await asyncio.gather(*followers))
    assert store.reads - before <= 120, "fifty commits, not fifty times twenty"


async def test_a_follower_that_is_behind_reads_for_itself_and_then_joins(
    store: Counted, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(chronicle_module, "RECENT_BYTES", 1)
    chronicle = Chronicle(store)
    await stored_run(store, 0, run_id="a")
    async with aclosing(chronicle.follow(START)) as slow:
        await add(store, "a", 1, 1, chronicle)
        found = [entry.event.seq for entry in (await anext(slow)).entries]
        for number in range(2, 40):
            await add(store, "a", number, number, chronicle)
        while len(found) < 39:
            found += [entry.event.seq for entry in (await anext(slow)).entries]
    assert found == list(range(1, 40))


async def test_of_what_is_new_each_is_told_of_the_holes_it_asked_for(
    store: Counted, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(chronicle_module, "FOREIGN_POLL", 60)
    chronicle = Chronicle(store)
    for run_id in ("a", "b", "c"):
        await stored_run(store, 0, run_id=run_id)
    head = await chronicle.head()
    async with AsyncExitStack() as closing, asyncio.timeout(300):
        following = []
        for run_id in (None, "a", "b", "c"):
            pages = await closing.enter_async_context(aclosing(chronicle.follow(head, run_id)))
            following.append(asyncio.create_task(anext(pages)))
        await until(lambda: len(chronicle._waiting) == 4)
        for run_id in ("b", "c"):
            await add(store, run_id, 1, 1)
        await store.delete("b")
        await add(store, "a", 1, 1, chronicle)
        # The reader of c, like all others, gets its own event, and no word of b.
        pages = await asyncio.gather(*following)
    assert [page.removed for page in pages] == [("b",), (), ("b",), ()]
    own = [[entry.run_id for entry in page.entries] for page in pages]
    assert own == [["c", "a"], ["a"], [], ["c"]]


async def test_a_hole_that_was_passed_is_not_told_to_who_comes_back_behind_it(
    store: Counted, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(chronicle_module, "FOREIGN_POLL", 60)
    chronicle = Chronicle(store)
    for run_id in ("a", "b"):
        await stored_run(store, 0, run_id=run_id)
    head = await chronicle.head()
    async with aclosing(chronicle.follow(head)) as first, asyncio.timeout(300):
        before = asyncio.create_task(anext(first))
        await until(lambda: len(chronicle._waiting) == 1)
        await add(store, "b", 1, 1)
        passed = (await store.chronicle(head)).entries[-1].position
        await store.delete("b")
        await add(store, "a", 1, 1, chronicle)
        assert (await before).removed == ("b",)
        async with aclosing(chronicle.follow(passed)) as second:
            page = await anext(second)
    assert ([entry.run_id for entry in page.entries], page.removed) == (["a"], ())


async def test_what_another_process_commits_is_seen_without_being_told(store: Counted, tmp_path: Path) -> None:
    other = SqliteRunStore(str(tmp_path / "runs.db"), state_dir=tmp_path)
    await other.open()
    try:
        chronicle = Chronicle(store)
        await stored_run(other, 0, run_id="b")
        following = asyncio.create_task(collect(chronicle, await chronicle.head(), 2))
        await until(lambda: chronicle._waiting)
        await add(other, "b", 1, 2)
        assert await following == [("b", 1), ("b", 2)]
    finally:
        await other.close()


async def test_many_writers_and_readers_of_every_speed_see_the_same(store: Counted) -> None:
    chronicle = Chronicle(store)
    runs = [f"run-{number}" for number in range(8)]
    for run_id in runs:
        await stored_run(store, 0, run_id=run_id)

    async def write(run_id: str) -> None:
        for number in range(1, 31):
            await add(store, run_id, number, number, chronicle)
            await asyncio.sleep(0)

    async def read(pause: float) -> list[tuple[str, int]]:
        found: list[tuple[str, int]] = []
        async with aclosing(chronicle.follow(START)) as pages:
            async for page in pages:
                found += [(entry.run_id, entry.event.seq) for entry in page.entries]
                if len(found) >= 240:
                    break
                await asyncio.sleep(pause)
        return found

    async with asyncio.timeout(300):
        first, *others, _ = await asyncio.gather(
            *(read(pause) for pause in (0, 0, 0.001, 0.01, 0.05)), asyncio.gather(*map(write, runs))
        )
    assert len(first) == len(set(first)) == 240
    assert all(other == first for other in others)


async def test_nothing_is_read_when_nobody_follows(store: Counted) -> None:
    chronicle = Chronicle(store)
    await stored_run(store, 1, run_id="a")
    await collect(chronicle, START, 1)
    assert chronicle._reading is None
    before = store.reads
    await add(store, "a", 2, 2, chronicle)
    assert store.reads == before
    assert await collect(chronicle, START, 2) == [("a", 1), ("a", 2)]


async def test_a_store_that_fails_is_each_followers_to_know_and_the_next_begins_anew(store: Counted) -> None:
    chronicle = Chronicle(store)
    await stored_run(store, 1, run_id="a")
    following = [asyncio.create_task(collect(chronicle, START, 2)) for _ in range(2)]
    await until(lambda: len(chronicle._waiting) == 2)
    store.broken = True
    chronicle.wake()
    for task in following:
        with pytest.raises(StoreUnavailable):
            await task
    store.broken = False
    assert await collect(chronicle, START, 1) == [("a", 1)]


async def test_a_part_that_is_over_ends_where_it_was_to(store: Counted) -> None:
    chronicle = Chronicle(store)
    await stored_run(store, 3, run_id="a")
    head = await chronicle.head()
    await add(store, "a", 4, 5)
    async with aclosing(chronicle.pages(START, head)) as pages:
        found = [entry.event.seq async for page in pages for entry in page.entries]
    assert found == [1, 2, 3]
