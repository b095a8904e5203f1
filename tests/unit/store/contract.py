"""What every run store must do. A new store subclasses :class:`RunStoreContract` and gives it a ``store`` fixture, and
``reporting``: a store whose runs are to be reported."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import Any

import pytest

from aitp_playground.errors import InvalidRequest, RunNotFound, StoreUnavailable
from aitp_playground.store.port import (
    CancelComesFirst,
    KeptScenario,
    Leftover,
    Outbox,
    OutboxBatch,
    OutOfSequence,
    RunHeader,
    RunProof,
    RunStatus,
    RunStore,
    RunSummary,
)

from .building import events, header, stored_run, summary

BATCH = OutboxBatch(first=1, last=3, count=2, key="key", body=b'{"events":[\xff]}', given_up=2)


class RunStoreContract:
    """One test, one promise of the port."""

    async def test_a_created_run_is_pending_and_keeps_every_header_field(self, store: RunStore) -> None:
        given = RunHeader(
            run_id="run",
            scenario_ref="pack/scenario@1",
            template="strict",
            run_label="naïve ☃",
            inputs={"deep": [1, None, {"big": 2**80, "half": "\ud800"}]},
            fault_injection={"peer_offline": ["writer"]},
            created_at=1234.5678,
            idempotency_key="key",
            request_digest="digest",
        )
        row = await store.create(given)
        assert row == await store.get("run")
        assert (row.header, row.summary, row.cancel_requested) == (
            given,
            RunSummary(run_id="run", status="pending"),
            False,
        )

    async def test_an_unknown_run_is_none_and_has_no_events(self, store: RunStore) -> None:
        assert await store.get("nobody") is None
        page = await store.read("nobody", after=7)
        assert (page.events, page.next_after, page.more) == ((), 7, False)
        assert await store.agent_log("nobody", "writer") is None

    async def test_events_come_back_byte_for_byte_with_the_summary_stored_beside_them(self, store: RunStore) -> None:
        run_id = await stored_run(store)
        batch = events(1, 300, filler="x" * 5000)
        await store.append(run_id, batch, summary(run_id, 300, "failed", 1300.5))
        assert list((await store.read(run_id, max_bytes=10_000_000)).events) == batch
        row = await store.get(run_id)
        assert row is not None
        assert row.summary == summary(run_id, 300, "failed", 1300.5)

    @pytest.mark.parametrize("proof", ["proven", "unproven"])
    async def test_the_proof_of_a_success_is_kept_beside_it(self, store: RunStore, proof: RunProof) -> None:
        run_id = await stored_run(store, 1)
        over = replace(summary(run_id, 2, "success", 1300.5), proof=proof)
        await store.append(run_id, events(2, 2), over)
        row = await store.get(run_id)
        assert row is not None
        assert row.summary == over
        (listed,) = [row for row in (await store.list_runs(limit=100)).rows if row.header.run_id == run_id]
        assert listed.summary.proof == proof

    async def test_what_runs_were_started_from_is_kept_once_and_goes_with_the_last_of_them(
        self, store: RunStore
    ) -> None:
        one, other = KeptScenario("1" * 64, b'{"a":1}'), KeptScenario("2" * 64, b'{"b":2}')
        runs = []
        for kept in (one, one, other):
            row = await store.create(header(scenario_digest=kept.digest), kept)
            runs.append(row.header.run_id)
            assert row.header.scenario_digest == kept.digest
        assert (await store.scenario(one.digest), await store.scenario(other.digest)) == (one.body, other.body)
        found = await store.get(runs[0])
        assert found is not None
        assert found.header.scenario_digest == one.digest
        await store.delete(runs[0])
        assert await store.scenario(one.digest) == one.body
        await store.delete(runs[1])
        assert (await store.scenario(one.digest), await store.scenario(other.digest)) == (None, other.body)
        assert await store.scenario("3" * 64) is None

    async def test_a_page_has_no_more_bytes_than_asked_for_but_always_an_event(self, store: RunStore) -> None:
        run_id = await stored_run(store)
        batch = events(1, 10, filler="x" * 1000)
        await store.append(run_id, batch, summary(run_id, 10))
        size = len(batch[0].body)
        seen: list[int] = []
        more = True
        while more:
            page = await store.read(run_id, after=seen[-1] if seen else 0, max_bytes=size * 3 + 100)
            assert sum(len(event.body) for event in page.events) <= size * 3 + 100
            seen += [event.seq for event in page.events]
            more = page.more
        assert seen == list(range(1, 11))
        alone = await store.read(run_id, max_bytes=1)
        assert ([event.seq for event in alone.events], alone.more) == ([1], True)

    async def test_a_summary_may_change_without_events(self, store: RunStore) -> None:
        run_id = await stored_run(store)
        await store.append(run_id, [], summary(run_id, 0))
        assert (await store.count_by_status())["running"] == 1

    @pytest.mark.parametrize("first", [1, 3, 5, 9])
    async def test_events_that_do_not_continue_the_log_are_refused_whole(self, store: RunStore, first: int) -> None:
        run_id = await stored_run(store, 3)
        with pytest.raises(OutOfSequence) as refused:
            await store.append(run_id, events(first, first + 2), summary(run_id, first + 2, "success"))
        assert refused.value.expected == 4
        assert len((await store.read(run_id)).events) == 3
        assert (await store.count_by_status())["success"] == 0

    async def test_a_gap_inside_a_batch_is_refused_whole(self, store: RunStore) -> None:
        run_id = await stored_run(store)
        with pytest.raises(OutOfSequence):
            await store.append(run_id, [*events(1, 2), *events(4, 5)], summary(run_id, 5))
        assert not (await store.read(run_id)).events

    @pytest.mark.parametrize("wrong", [summary("run", 3), summary("other", 2)])
    async def test_a_summary_that_is_not_of_these_events_is_refused(self, store: RunStore, wrong: RunSummary) -> None:
        await store.create(header("run"))
        with pytest.raises(OutOfSequence):
            await store.append("run", events(1, 2), wrong)

    async def test_writing_to_a_run_that_is_gone_says_so(self, store: RunStore) -> None:
        run_id = await stored_run(store)
        assert await store.delete(run_id)
        for write in (
            store.append(run_id, events(1, 1), summary(run_id, 1)),
            store.request_cancel(run_id),
            store.save_agent_log(run_id, "writer", "text"),
        ):
            with pytest.raises(RunNotFound):
                await write

    async def test_writes_are_done_in_the_order_given(self, store: RunStore) -> None:
        created = store.create(header("run"))
        appends = [store.append("run", events(n, n), summary("run", n)) for n in range(1, 101)]
        deleted = store.delete("run")
        await asyncio.gather(created, *appends)
        assert await deleted
        assert await store.get("run") is None

    async def test_reading_from_an_offset_visits_every_event_once(self, store: RunStore) -> None:
        run_id = await stored_run(store, 25)
        seen, after, more = list[int](), 0, True
        while more:
            page = await store.read(run_id, after=after, limit=10)
            seen += [event.seq for event in page.events]
            after, more = page.next_after, page.more
        assert seen == list(range(1, 26))
        assert not (await store.read(run_id, after=15, limit=10)).more

    async def test_a_page_at_the_end_keeps_the_callers_place(self, store: RunStore) -> None:
        run_id = await stored_run(store, 2)
        page = await store.read(run_id, after=2)
        assert (page.events, page.next_after, page.more) == ((), 2, False)

    async def test_a_used_idempotency_key_gives_the_earlier_run_as_it_is_now(self, store: RunStore) -> None:
        run_id = await stored_run(store, 2, idempotency_key="key", request_digest="one")
        again = await store.create(header(idempotency_key="key", request_digest="two"))
        assert (again.header.run_id, again.header.request_digest, again.summary.event_count) == (run_id, "one", 2)
        assert sum((await store.count_by_status()).values()) == 1

    async def test_of_many_creates_with_one_key_exactly_one_creates(self, store: RunStore) -> None:
        rows = await asyncio.gather(*(store.create(header(idempotency_key="key")) for _ in range(20)))
        assert len({row.header.run_id for row in rows}) == 1
        assert len((await store.list_runs(limit=100)).rows) == 1

    async def test_an_idempotency_key_is_forgotten_with_its_run(self, store: RunStore) -> None:
        first = await stored_run(store, idempotency_key="key")
        await store.delete(first)
        assert await stored_run(store, idempotency_key="key") != first

    async def test_pages_are_newest_first_and_stay_right_while_runs_come_and_go(self, store: RunStore) -> None:
        ids = [await stored_run(store, created_at=at) for at in (1.0, 2.0, 2.0, 2.0, 3.0, 4.0)]
        first = await store.list_runs(limit=3)
        await stored_run(store, created_at=9.0)
        await store.delete(ids[3])
        second = await store.list_runs(limit=3, before=first.next)
        assert [row.header.run_id for row in (*first.rows, *second.rows)] == [ids[n] for n in (5, 4, 3, 2, 1, 0)]
        assert second.next is None

    async def test_a_full_last_page_has_no_next(self, store: RunStore) -> None:
        for _ in range(2):
            await stored_run(store)
        assert (await store.list_runs(limit=2)).next is None

    async def test_lists_can_be_narrowed_by_status_and_scenario_together(self, store: RunStore) -> None:
        wanted = [await stored_run(store, 1, scenario_ref="p/a@1", created_at=n) for n in (1.0, 2.0, 3.0)]
        await stored_run(store, scenario_ref="p/a@1")
        await stored_run(store, 1, scenario_ref="p/b@1")
        first = await store.list_runs(limit=2, status="running", scenario_ref="p/a@1")
        rest = await store.list_runs(limit=2, status="running", scenario_ref="p/a@1", before=first.next)
        assert [row.header.run_id for row in (*first.rows, *rest.rows)] == wanted[::-1]
        assert len((await store.list_runs(limit=9, status="pending")).rows) == 1
        assert len((await store.list_runs(limit=9, scenario_ref="p/b@1")).rows) == 1

    @pytest.mark.parametrize("cursor", ["", "x", "ü", "////", "AAAA", "QUJD" * 8, "' OR 1=1 --", "A" * 10_000])
    async def test_what_is_not_a_cursor_is_the_callers_mistake(self, store: RunStore, cursor: str) -> None:
        with pytest.raises(InvalidRequest):
            await store.list_runs(limit=1, before=cursor)

    @pytest.mark.parametrize("limit", [0, -1])
    async def test_a_limit_below_one_never_means_everything(self, store: RunStore, limit: int) -> None:
        run_id = await stored_run(store, 3)
        with pytest.raises(InvalidRequest):
            await store.list_runs(limit=limit)
        with pytest.raises(InvalidRequest):
            await store.read(run_id, limit=limit)

    async def test_a_wish_to_cancel_is_remembered_until_the_run_is_over(self, store: RunStore) -> None:
        going, over = await stored_run(store, 1), await stored_run(store, 1, finished_at=5.0)
        await asyncio.gather(store.request_cancel(going), store.request_cancel(over))
        rows = {row.header.run_id: row.cancel_requested for row in (await store.list_runs(limit=9)).rows}
        assert rows == {going: True, over: False}

    @pytest.mark.parametrize("end", ["success", "failed"])
    async def test_a_run_that_was_cancelled_first_ends_cancelled_or_not_at_all(
        self, store: RunStore, end: RunStatus
    ) -> None:
        run_id = await stored_run(store, 1)
        intent = store.request_cancel(run_id)
        ending = store.append(run_id, events(2, 2), summary(run_id, 2, end, 5.0))
        await intent
        with pytest.raises(CancelComesFirst):
            await ending
        await store.append(run_id, events(2, 3), summary(run_id, 3))
        await store.append(run_id, events(4, 4), summary(run_id, 4, "cancelled", 6.0))
        await store.append(run_id, events(5, 5), summary(run_id, 5, "cancelled", 6.0))
        assert [event.seq for event in (await store.read(run_id)).events] == [1, 2, 3, 4, 5]

    async def test_a_cancel_behind_the_end_changes_nothing(self, store: RunStore) -> None:
        run_id = await stored_run(store, 1)
        ending = store.append(run_id, events(2, 2), summary(run_id, 2, "success", 5.0))
        intent = store.request_cancel(run_id)
        await asyncio.gather(ending, intent)
        row = await store.get(run_id)
        assert row is not None
        assert (row.summary.status, row.cancel_requested) == ("success", False)

    async def test_the_last_log_of_an_agent_wins_and_goes_with_its_run(self, store: RunStore) -> None:
        run_id = await stored_run(store)
        for text in ("first", "second ☃"):
            await store.save_agent_log(run_id, "writer", text)
        assert await store.agent_log(run_id, "writer") == "second ☃"
        assert await store.agent_log(run_id, "reader") is None
        await store.delete(run_id)
        assert await store.agent_log(run_id, "writer") is None

    async def test_deleting_takes_everything_and_says_whether_there_was_anything(self, store: RunStore) -> None:
        run_id = await stored_run(store, 3)
        assert await store.delete(run_id)
        assert not await store.delete(run_id)
        await store.create(header(run_id))
        assert not (await store.read(run_id)).events

    async def test_pruning_removes_the_runs_that_finished_first_and_no_live_one(self, store: RunStore) -> None:
        ids = [await stored_run(store, 1, finished_at=at) for at in (50.0, 10.0, 40.0, 20.0)]
        live = await stored_run(store, 1)
        assert await store.prune(2) == 2
        assert await store.prune(2) == 0
        left = {row.header.run_id for row in (await store.list_runs(limit=9)).rows}
        assert left == {ids[0], ids[2], live}

    async def test_pruning_removes_any_number_of_runs(self, store: RunStore) -> None:
        await asyncio.gather(*(stored_run(store, 1, finished_at=float(n)) for n in range(130)))
        assert await store.prune(3) == 127
        assert (await store.count_by_status())["success"] == 3

    async def test_counts_name_every_status(self, store: RunStore) -> None:
        await stored_run(store)
        await stored_run(store, 1, finished_at=1.0)
        assert await store.count_by_status() == {"pending": 1, "running": 0, "success": 1, "failed": 0, "cancelled": 0}

    async def test_a_run_of_a_live_owner_is_no_orphan_and_cannot_be_adopted(self, store: RunStore) -> None:
        run_id = await stored_run(store, 1)
        assert await store.orphans() == []
        assert await store.adopt(run_id) is False
        assert await store.adopt("nobody") is False

    async def test_a_run_is_in_the_outbox_from_its_creation_and_due_from_its_end(self, reporting: RunStore) -> None:
        going = await stored_run(reporting, 2)
        late, early = [await stored_run(reporting, 3, finished_at=at) for at in (9.0, 5.0)]
        assert await reporting.unreported() == [early, late]
        assert await reporting.claim_outbox(going) == Outbox(reported=0, event_count=2, over=False)
        assert await reporting.claim_outbox(early) == Outbox(reported=0, event_count=3, over=True)

    async def test_a_store_that_reports_nothing_owes_nothing_unless_a_batch_is_saved(self, store: RunStore) -> None:
        run_id = await stored_run(store, 3, finished_at=5.0)
        assert await store.unreported() == []
        await store.save_batch(run_id, BATCH)
        assert await store.unreported() == [run_id]

    async def test_a_batch_is_kept_byte_for_byte_until_it_is_settled(self, reporting: RunStore) -> None:
        run_id = await stored_run(reporting, 5, finished_at=5.0)
        await reporting.save_batch(run_id, replace(BATCH, key="first"))
        await reporting.save_batch(run_id, BATCH)
        assert await reporting.claim_outbox(run_id) == Outbox(reported=0, event_count=5, over=True, batch=BATCH)
        await reporting.settle_outbox(run_id, 3)
        assert await reporting.claim_outbox(run_id) == Outbox(reported=3, event_count=5, over=True)
        assert await reporting.unreported() == [run_id]
        await reporting.settle_outbox(run_id, 5)
        await reporting.settle_outbox(run_id, 4)
        assert await reporting.unreported() == []

    async def test_events_after_the_end_make_a_settled_run_due_again(self, reporting: RunStore) -> None:
        run_id = await stored_run(reporting, 3, finished_at=5.0)
        await reporting.settle_outbox(run_id, 3)
        await reporting.append(run_id, events(4, 4), summary(run_id, 4, "success", 5.0))
        assert await reporting.unreported() == [run_id]

    async def test_the_outbox_goes_with_its_run(self, reporting: RunStore) -> None:
        run_id = await stored_run(reporting, 3, finished_at=5.0)
        await reporting.save_batch(run_id, BATCH)
        await reporting.delete(run_id)
        assert await reporting.unreported() == []
        assert await reporting.claim_outbox(run_id) is None
        for write in (reporting.save_batch(run_id, BATCH), reporting.settle_outbox(run_id, 3)):
            with pytest.raises(RunNotFound):
                await write
        await reporting.create(header(run_id))
        assert await reporting.claim_outbox(run_id) == Outbox(reported=0, event_count=0, over=False)

    async def test_a_closed_store_refuses(self, store: RunStore) -> None:
        await store.ping()
        await store.close()
        with pytest.raises(StoreUnavailable):
            await store.ping()
        with pytest.raises(StoreUnavailable):
            await store.create(header())

    async def test_a_read_of_one_type_pages_through_that_type_alone(self, store: RunStore) -> None:
        run_id = await stored_run(store)
        mixed = [replace(event, type="odd" if event.seq % 2 else "even") for event in events(1, 9)]
        await store.append(run_id, mixed, summary(run_id, 9))
        first = await store.read(run_id, event_type="odd", limit=3)
        assert ([event.seq for event in first.events], first.next_after, first.more) == ([1, 3, 5], 5, True)
        rest = await store.read(run_id, event_type="odd", after=first.next_after, limit=3)
        assert ([event.seq for event in rest.events], rest.more) == ([7, 9], False)

    async def test_what_is_left_behind_is_due_a_while_after_its_run_ended_and_not_before_it_ended(
        self, store: RunStore
    ) -> None:
        going, over = await stored_run(store, 1), await stored_run(store, 1, finished_at=100.0)
        await store.leave(webhook("early", going))
        await store.leave(webhook("late", over))
        assert await store.leftovers_by_due(CP, linger=30.0, limit=9) == [(130.0, webhook("late", over))]
        assert await store.leftovers_by_due("http://another", linger=30.0, limit=9) == []
        await store.append(going, events(2, 2), summary(going, 2, "failed", 90.0))
        due = await store.leftovers_by_due(CP, linger=30.0, limit=9)
        assert [(at, left.id) for at, left in due] == [(120.0, "early"), (130.0, "late")]
        assert len(await store.leftovers_by_due(CP, linger=30.0, limit=1)) == 1

    async def test_what_a_removed_run_left_is_due_at_once_and_has_no_secret_any_more(self, store: RunStore) -> None:
        deleted, pruned = await stored_run(store, 1), await stored_run(store, 1, finished_at=100.0)
        await store.leave(webhook("one", deleted))
        await store.leave(webhook("two", pruned))
        await store.delete(deleted)
        await store.prune(0)
        due = await store.leftovers_by_due(CP, linger=30.0, limit=9)
        assert [(at, left.id, left.secret) for at, left in due] == [(0.0, "one", None), (0.0, "two", None)]

    async def test_a_postponed_removal_counts_its_tries_and_a_forgotten_one_is_gone(self, store: RunStore) -> None:
        run_id = await stored_run(store, 1, finished_at=100.0)
        await store.leave(webhook("hook", run_id))
        await store.leave(webhook("hook", run_id, name="another"))
        await store.name_leftover("hook", "w-1")
        await store.postpone_leftover("hook", 500.0)
        await store.postpone_leftover("hook", 600.0)
        left = webhook("hook", run_id, name="w-1", tries=2)
        assert await store.leftovers(run_id) == [left]
        assert await store.leftovers_by_due(CP, linger=0.0, limit=9) == [(600.0, left)]
        await store.forget_leftover("hook")
        await store.name_leftover("hook", "w-2")
        assert await store.leftovers(run_id) == []

    async def test_nothing_is_left_or_counted_for_a_run_that_is_not_there(self, store: RunStore) -> None:
        for write in (store.leave(webhook("hook", "nobody")), store.count_foreign("nobody")):
            with pytest.raises(RunNotFound):
                await write
        assert await store.foreign_count("nobody") == 0

    async def test_foreign_deliveries_are_counted_for_each_run_by_itself(self, store: RunStore) -> None:
        one, other = await stored_run(store), await stored_run(store)
        for run_id in (one, other, one):
            await store.count_foreign(run_id)
        assert (await store.foreign_count(one), await store.foreign_count(other)) == (2, 1)

    async def test_no_secret_shows_in_what_a_leftover_looks_like(self) -> None:
        assert "5ecret" not in repr(webhook("hook", "run"))


CP = "http://cp"


def webhook(leftover_id: str, run_id: str, **fields: Any) -> Leftover:
    given = {"url": "http://us", "events": ("tct.revoked",), "secret": "5ecret", **fields}
    return Leftover(id=leftover_id, cp=CP, run_id=run_id, kind="webhook", **given)
