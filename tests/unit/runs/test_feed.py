"""A feed shows what is committed, to readers at any position, at the cost of one future each."""

from __future__ import annotations

import asyncio

from aitp_playground.runs.feed import RECENT, RECENT_BYTES, Feed
from aitp_playground.store.port import StoredEvent


def entries(first: int, last: int) -> list[StoredEvent]:
    return [StoredEvent(seq, "t", 0.0, b"{}") for seq in range(first, last + 1)]


def test_a_reader_gets_exactly_what_lies_beyond_its_position() -> None:
    feed = Feed()
    feed.publish(entries(1, 5))
    assert [entry.seq for entry in feed.since(2) or []] == [3, 4, 5]
    assert feed.since(5) == []


def test_a_reader_too_far_behind_is_sent_to_the_store() -> None:
    feed = Feed()
    feed.publish(entries(1, RECENT + 10))
    assert feed.since(5) is None
    assert [entry.seq for entry in feed.since(10) or []] == list(range(11, RECENT + 11))


def test_a_feed_keeps_no_more_bytes_than_it_may_however_large_its_events_are() -> None:
    feed = Feed()
    large = [StoredEvent(seq, "t", 0.0, b"x" * (RECENT_BYTES // 3)) for seq in range(1, 10)]
    for event in large:
        feed.publish([event])
        assert feed.at_hand[1] <= RECENT_BYTES
    assert feed.since(6) == large[6:]
    assert feed.since(5) is None
    feed.publish([StoredEvent(10, "t", 0.0, b"x" * (RECENT_BYTES + 1))])
    assert (feed.at_hand, feed.since(9)) == ((0, 0), None)


def test_a_feed_of_a_recovered_run_sends_readers_of_its_past_to_the_store() -> None:
    feed = Feed(committed=7)
    assert feed.since(0) is None
    assert feed.since(7) == []
    feed.publish(entries(8, 8))
    assert [entry.seq for entry in feed.since(7) or []] == [8]


async def test_every_waiting_reader_wakes_on_a_commit_and_on_the_end() -> None:
    feed = Feed()
    waiting = [asyncio.ensure_future(feed.wait(0)) for _ in range(200)]
    await asyncio.sleep(0)
    feed.publish(entries(1, 1))
    await asyncio.wait_for(asyncio.gather(*waiting), 300)
    waiting = [asyncio.ensure_future(feed.wait(1)) for _ in range(200)]
    await asyncio.sleep(0)
    feed.close()
    await asyncio.wait_for(asyncio.gather(*waiting), 300)


async def test_a_reader_that_leaves_costs_nothing_more() -> None:
    feed = Feed()
    reader = asyncio.ensure_future(feed.wait(0))
    await asyncio.sleep(0)
    assert feed.waiting == 1
    reader.cancel()
    await asyncio.gather(reader, return_exceptions=True)
    assert feed.waiting == 0


def test_events_that_got_to_the_disk_unseen_send_readers_to_the_store() -> None:
    feed = Feed()
    feed.publish(entries(1, 5))
    feed.publish(entries(8, 9))
    assert feed.since(5) is None
    assert feed.since(3) is None
    assert [entry.seq for entry in feed.since(7) or []] == [8, 9]
