"""Summaries are a fold of the events and can be made again from them."""

from __future__ import annotations

from collections.abc import Iterable

import pytest

from aitp_playground.store.port import RunHeader, RunSummary, StoredEvent
from aitp_playground.store.sqlite import SqliteRunStore

from .building import stored_run, summary


def fold(header: RunHeader, events: Iterable[StoredEvent]) -> RunSummary:
    """Three events make a success."""
    seen = list(events)
    done = len(seen) == 3
    last = seen[-1].ts if seen else None
    return RunSummary(
        run_id=header.run_id,
        status="success" if done else "running" if seen else "pending",
        event_count=len(seen),
        finished_at=last if done else None,
    )


async def test_wrong_summaries_are_made_right_and_the_others_left_alone(store: SqliteRunStore) -> None:
    wrong, right, empty = await stored_run(store, 3), await stored_run(store, 2), await stored_run(store)
    await store.database.write(
        lambda c: c.execute("UPDATE runs SET event_count = 99 WHERE run_id = ?", (wrong,)).rowcount
    )
    assert await store.rebuild_summaries(fold) == 1
    found = {row.header.run_id: row.summary for row in (await store.list_runs(limit=9)).rows}
    assert found == {wrong: summary(wrong, 3, "success", 1003.0), right: summary(right, 2), empty: found[empty]}
    assert await store.rebuild_summaries(fold) == 0


async def test_a_fold_that_fails_changes_nothing_of_its_run_and_says_so(store: SqliteRunStore) -> None:
    run_id = await stored_run(store, 2)

    def broken(header: RunHeader, events: Iterable[StoredEvent]) -> RunSummary:
        raise LookupError(header.run_id)

    with pytest.raises(LookupError, match=run_id):
        await store.rebuild_summaries(broken)
    row = await store.get(run_id)
    assert row is not None
    assert row.summary == summary(run_id, 2)
    await store.ping()
