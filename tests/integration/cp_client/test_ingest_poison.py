"""Events that the Control Plane cannot take cost themselves only, and that shows."""

from __future__ import annotations

from typing import Any

import pytest

from aitp_playground.control_plane.server import Running
from aitp_playground.cp_client.reporting import sanitising
from aitp_playground.events.model import EventDraft, RunEvent, draft
from aitp_playground.observability.metrics import Metrics
from aitp_playground.observability.trace_context import trace_id_of
from aitp_playground.store.sqlite import SqliteRunStore

from .ingesting import Reports, assert_same, ended, events_of, new_run, reporting, settled, talk

pytestmark = pytest.mark.usefixtures("hasty")
Rows = list[dict[str, Any]]


async def sent(
    store: SqliteRunStore, cp: Running, reports: Reports, poison: list[EventDraft]
) -> tuple[Rows, list[RunEvent], Metrics]:
    """A run with ``poison`` from its second event on; what the Control Plane has of the others equals the log."""
    start, *rest = talk(60)
    run_id = await new_run(store, [start, *poison, *rest])
    events, metrics = await events_of(store, run_id), Metrics()
    async with reporting(store, cp.url, cp.key, metrics=metrics) as reporter:
        ended(reporter, events)
        await settled(store, run_id)
    rows = await reports.rows(run_id)
    last = 1 + len(poison)
    assert_same([rows[0], *rows[last:]], [events[0], *events[last:]])
    assert [row["type"] for row in rows] == [event.type for event in events]
    assert [(row["payload"]["id"], row["payload"]["seq"]) for row in rows] == [(one.id, one.seq) for one in events]
    return rows[1:last], events[1:last], metrics


def fates(metrics: Metrics) -> dict[str, float]:
    name = "aitp_playground_cp_ingest_events_total"
    found = {fate: metrics.registry.get_sample_value(name, {"fate": fate}) for fate in ("sanitised", "stub", "dropped")}
    return {fate: count for fate, count in found.items() if count}


async def test_text_the_database_cannot_hold_is_mended_and_marked(
    store: SqliteRunStore, cp: Running, reports: Reports
) -> None:
    poison = [
        draft("llm.complete", agent_id="writer", text="a\0b", deep=[{"k\0": "\0"}]),
        draft("llm.complete", agent_id="writer", text="half \ud83d of one", pair="\ud83d\ude00"),
        draft("llm.complete", agent_id="writer", tokens=2**80),
    ]
    rows, _, metrics = await sent(store, cp, reports, poison)
    nul, half, number = [row["payload"] for row in rows]
    assert (nul["text"], nul["deep"], nul["sanitised"]) == ("a\ufffdb", [{"k\ufffd": "\ufffd"}], ["text"])
    assert (half["text"], half["pair"], half["sanitised"]) == ("half \ufffd of one", "😀", ["text"])
    assert (number["tokens"], number["sanitised"]) == (str(2**80), ["number"])
    assert fates(metrics) == {"sanitised": 3.0}


async def test_an_event_that_is_too_large_or_too_deep_leaves_a_stub_in_its_place(
    store: SqliteRunStore, cp: Running, reports: Reports
) -> None:
    deep: Any = "bottom"
    for _ in range(400):
        deep = [deep]
    poison = [
        draft("handshake.started", agent_id="writer", session_id="s-1", aid_a="aid:pubkey:A", text="x" * 102_400),
        draft("llm.complete", agent_id="writer", nest=deep),
        draft("llm.complete", agent_id="writer", text="😀" * 40_000),
    ]
    rows, events, metrics = await sent(store, cp, reports, poison)
    assert [row["payload"] for row in rows] == [
        {"id": event.id, "seq": event.seq, "trace_id": trace_id_of(event.run_id), "omitted": reason}
        for event, reason in zip(events, ["too_large", "not_encodable", "too_large"], strict=True)
    ]
    assert (rows[0]["sessionId"], rows[0]["aidA"]) == ("s-1", "aid:pubkey:A")
    assert fates(metrics) == {"stub": 3.0}


async def test_text_that_just_fits_goes_unchanged(store: SqliteRunStore, cp: Running, reports: Reports) -> None:
    rows, events, metrics = await sent(
        store, cp, reports, [draft("llm.complete", agent_id="writer", text="字" * 65_000)]
    )
    assert_same(rows, events)
    assert fates(metrics) == {}


async def test_a_text_too_long_for_its_column_is_left_out_of_it_but_stays_in_the_payload(
    store: SqliteRunStore, cp: Running, reports: Reports
) -> None:
    poison = [draft("handshake.started", session_id="s" * 300, aid_a="aid:" + "a" * 600, boundary="b" * 40)]
    (row,), _, _ = await sent(store, cp, reports, poison)
    assert (row["sessionId"], row["aidA"]) == (None, None)
    assert row["payload"]["session_id"] == "s" * 300
    assert row["payload"]["boundary"] == "b" * 32
    assert row["payload"]["sanitised"] == ["session_id", "aid_a", "boundary"]


@pytest.mark.parametrize(("limit", "patched"), [("_LONGEST", {"type": 128}), ("MAX_UNITS", 10**6)])
async def test_the_one_event_that_is_refused_for_reasons_unknown_here_is_found_and_left_out(
    store: SqliteRunStore,
    cp: Running,
    reports: Reports,
    monkeypatch: pytest.MonkeyPatch,
    limit: str,
    patched: Any,
) -> None:
    monkeypatch.setattr(sanitising, limit, patched)
    poison = draft("handshake.started", session_id="s" * 300, text="x" * 70_000 if limit == "MAX_UNITS" else "")
    rows, events, metrics = await sent(store, cp, reports, [*talk(30, None)[1:], poison])
    assert_same(rows[:-1], events[:-1])
    last = events[-1]
    stub = {"id": last.id, "seq": last.seq, "trace_id": trace_id_of(last.run_id), "omitted": "refused"}
    assert rows[-1]["payload"] == stub
    assert fates(metrics)["stub"] == 1.0
    assert "dropped" not in fates(metrics)


async def test_a_control_plane_that_can_store_nothing_for_a_while_costs_no_event(
    store: SqliteRunStore, cp: Running, reports: Reports
) -> None:
    cp.service.switches.set({"fault": "status", "status": 500, "method": "POST", "calls": 12})
    run_id = await new_run(store, talk(2))
    metrics = Metrics()
    async with reporting(store, cp.url, cp.key, settle=0.01, metrics=metrics):
        await settled(store, run_id)
    assert_same(await reports.rows(run_id), await events_of(store, run_id))
    assert fates(metrics) == {}
