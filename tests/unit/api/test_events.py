"""``GET /events``: every run in one stream, from any place, narrowed, with its holes told."""

from __future__ import annotations

import asyncio
import json
import time
from dataclasses import replace
from typing import Any

import pytest
from aiohttp import ClientResponse

from aitp_playground.api.backend import BACKEND
from aitp_playground.runs import chronicle as chronicle_module
from aitp_playground.store.port import StoredEvent
from aitp_playground.store.sqlite import SqliteRunStore
from tests.unit.store.building import stored_run, summary

from .conftest import Client, eventually
from .memory import MemoryDirectory


def event(seq: int, event_type: str = "step.started", ts: float = 1000.0, **fields: Any) -> StoredEvent:
    body = {"seq": seq, "type": event_type, "ts": ts, **fields}
    return StoredEvent(seq, event_type, ts, json.dumps(body).encode())


async def add(store: SqliteRunStore, run_id: str, *events: StoredEvent) -> None:
    await store.append(run_id, events, summary(run_id, events[-1].seq))


@pytest.fixture
async def two_runs(store: SqliteRunStore) -> None:
    for run_id in ("a", "b"):
        await stored_run(store, 0, run_id=run_id)
    await add(store, "a", event(1, "run.started", run_id="a"), event(2, "step.started", run_id="a", step_id="knock"))
    await add(store, "b", event(1, "run.started", run_id="b"))
    await add(store, "a", event(3, "step.access_denied", run_id="a", step_id="knock", agent="writer"))
    await add(store, "b", event(2, "run.failed", run_id="b", error="why"), event(3, "cp.degraded", run_id="b"))


async def frames(response: ClientResponse) -> list[dict[str, Any]]:
    """The frames of an answer that ends; ``id`` beside what is in ``data``."""
    async with asyncio.timeout(300):
        text = (await response.read()).decode()
    found = []
    for frame in text.split("\n\n"):
        lines = dict(line.split(": ", 1) for line in frame.splitlines() if not line.startswith(":"))
        if "data" in lines:
            found.append({"id": lines.get("id"), **json.loads(lines["data"])})
    return found


async def stored(client: Client, **params: str) -> list[dict[str, Any]]:
    response = await client.get("/events", params={"follow": "false", **params})
    assert response.status == 200, await response.text()
    found = await frames(response)
    assert found.pop()["type"] == "stream.end"
    return found


def told(found: list[dict[str, Any]]) -> list[tuple[str, int]]:
    return [(one["run_id"], one["seq"]) for one in found]


ALL = [("a", 1), ("a", 2), ("b", 1), ("a", 3), ("b", 2), ("b", 3)]


async def test_all_runs_are_one_stream_in_the_order_of_their_commits(client: Client, two_runs: None) -> None:
    found = await stored(client)
    assert told(found) == ALL
    assert len({one["id"] for one in found}) == 6


async def test_it_goes_on_behind_any_event(client: Client, two_runs: None) -> None:
    for number, one in enumerate(await stored(client), 1):
        assert told(await stored(client, after=one["id"])) == ALL[number:]
        response = await client.get("/events?follow=false&after=start", headers={"Last-Event-ID": one["id"]})
        assert told((await frames(response))[:-1]) == ALL[number:]


@pytest.mark.parametrize(
    ("params", "expected"),
    [
        ({"type": "run.*"}, [("a", 1), ("b", 1), ("b", 2)]),
        ({"type": "run.failed,step.access_denied"}, [("a", 3), ("b", 2)]),
        ({"run_id": "b"}, [("b", 1), ("b", 2), ("b", 3)]),
        ({"agent": "writer"}, [("a", 3)]),
        ({"step": "knock"}, [("a", 2), ("a", 3)]),
        ({"level": "warning"}, [("a", 3), ("b", 2), ("b", 3)]),
        ({"level": "error"}, [("b", 2)]),
        ({"run_id": "a", "level": "error"}, []),
        ({"after": "head"}, []),
        ({"after": "start"}, ALL),
    ],
)
async def test_it_can_be_narrowed(
    client: Client, two_runs: None, params: dict[str, str], expected: list[tuple[str, int]]
) -> None:
    assert told(await stored(client, **params)) == expected


async def test_it_can_be_narrowed_to_runs_of_a_ref_or_a_label(
    client: Client, store: SqliteRunStore, directory: MemoryDirectory
) -> None:
    for run_id, ref, label in (("a", "p/x@1", "nightly"), ("b", "p/y@1", None)):
        directory.add(run_id)
        row = directory.rows[run_id]
        directory.rows[run_id] = replace(row, header=replace(row.header, scenario_ref=ref, run_label=label))
        await stored_run(store, 0, run_id=run_id)
        await add(store, run_id, event(1, run_id=run_id))
    assert told(await stored(client, ref="p/y@1")) == [("b", 1)]
    assert told(await stored(client, label="nightly")) == [("a", 1)]
    assert told(await stored(client, label="nightly", ref="p/y@1")) == []


async def test_it_begins_at_a_time(client: Client, store: SqliteRunStore) -> None:
    await stored_run(store, 0, run_id="a")
    now = time.time()
    await add(store, "a", event(1, ts=now - 7200, run_id="a"))
    await add(store, "a", event(2, ts=now - 60, run_id="a"))
    assert told(await stored(client, since="10m")) == [("a", 2)]
    assert told(await stored(client, since="1d")) == [("a", 1), ("a", 2)]
    assert told(await stored(client, since="2001-01-01T00:00:00Z")) == [("a", 1), ("a", 2)]


async def test_a_follower_sees_what_comes_from_now_on(client: Client, store: SqliteRunStore, two_runs: None) -> None:
    response = await client.get("/events")
    async with asyncio.timeout(300):
        await add(store, "a", event(4, "run.complete", run_id="a"))
        assert json.loads((await _data(response)).removeprefix(b"data: "))["seq"] == 4
    response.close()


async def _data(response: ClientResponse) -> bytes:
    while True:
        line = await response.content.readline()
        if line.startswith(b"data: "):
            return line


async def test_where_runs_were_removed_a_gap_is_told(client: Client, store: SqliteRunStore, two_runs: None) -> None:
    first = (await stored(client))[0]["id"]
    await store.delete("b")
    found = await stored(client, after=first)
    assert [one for one in found if one["type"] == "stream.gap"] == [{"id": None, "type": "stream.gap", "runs": ["b"]}]
    assert told([one for one in found if one["type"] != "stream.gap"]) == [("a", 2), ("a", 3)]


async def test_of_one_run_its_own_gap_is_told_and_no_others(
    client: Client, store: SqliteRunStore, two_runs: None
) -> None:
    last = (await stored(client, run_id="b"))[-1]["id"]
    await store.delete("b")
    gap = {"id": None, "type": "stream.gap", "runs": ["b"]}
    assert await stored(client, run_id="b") == [gap]
    assert await stored(client, run_id="b", after=last) == []
    assert await stored(client, run_id="never") == []
    assert told(await stored(client, run_id="a")) == [("a", 1), ("a", 2), ("a", 3)]


@pytest.mark.parametrize(("run_id", "first"), [("a", "step.started"), ("b", "stream.gap")])
async def test_a_follower_of_one_run_is_told_of_its_gap_and_no_others(
    client: Client,
    store: SqliteRunStore,
    two_runs: None,
    monkeypatch: pytest.MonkeyPatch,
    run_id: str,
    first: str,
) -> None:
    monkeypatch.setattr(chronicle_module, "FOREIGN_POLL", 60)
    chronicle = client.app[BACKEND].chronicle
    async with asyncio.timeout(300), client.get("/events", params={"run_id": run_id}) as response:
        await eventually(lambda: chronicle._waiting)
        await add(store, "b", event(4, run_id="b"))
        await store.delete("b")
        await add(store, "a", event(4, run_id="a"))
        chronicle.wake()
        assert json.loads((await _data(response)).removeprefix(b"data: "))["type"] == first


@pytest.mark.parametrize("place", ["0123456789abcdef.1.1", "{store}.999.0"])
async def test_a_place_that_means_nothing_here_is_told_and_all_of_it_comes(
    client: Client, two_runs: None, place: str
) -> None:
    store = (await stored(client))[0]["id"].partition(".")[0]
    reset, *found = await stored(client, after=place.format(store=store))
    assert reset == {"id": None, "type": "stream.reset"}
    assert told(found) == ALL


async def test_a_reader_whose_filters_let_nothing_through_learns_how_far_it_is(client: Client, two_runs: None) -> None:
    response = await client.get("/events?follow=false&type=nothing.*")
    text = (await response.read()).decode()
    begin, end = [line.removeprefix("id: ") for line in text.splitlines() if line.startswith("id: ")]
    assert told(await stored(client, after=begin)) == ALL
    assert told(await stored(client, after=end)) == []


@pytest.mark.parametrize(
    "params",
    ["after=7", "after=zz.1.1", "since=soon", "since=2026-01-01T00:00:00", "level=loud", "follow=maybe", "typ=run.*"],
)
async def test_what_cannot_be_meant_is_refused(client: Client, params: str) -> None:
    response = await client.get(f"/events?{params}")
    assert response.status == 422
    assert (await response.json())["error"]["code"] == "invalid_request"
