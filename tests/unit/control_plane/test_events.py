"""Ingest, history and streams of the development Control Plane, over HTTP."""

from __future__ import annotations

import asyncio
import json
import sqlite3
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from aitp_playground.control_plane.events import rows, stream
from aitp_playground.control_plane.events.reported import PAYLOAD_UNITS
from aitp_playground.control_plane.events.rows import Filter
from aitp_playground.control_plane.events.stream import MAX_STREAMS
from tests.unit.control_plane.serving import Served, serving


@pytest.fixture
async def cp(tmp_path: Path) -> AsyncIterator[Served]:
    async with serving(tmp_path) as served:
        yield served


async def newest(cp: Served, **query: Any) -> dict[str, Any]:
    found: dict[str, Any] = (await cp.get("/api/events/history", limit=1, **query))["events"][0]
    return found


@pytest.mark.parametrize(
    ("sent", "stored"),
    [
        (1795362643, "2026-11-22 15:50:43+00"),
        (1795362643.123, "2026-11-22 15:50:43.123+00"),
        (1795362643120, "2026-11-22 15:50:43.12+00"),
        ("2026-11-22T15:50:43.1239Z", "2026-11-22 15:50:43.123+00"),
        ("2026-11-22 17:50:43.5+02", "2026-11-22 15:50:43.5+00"),
        ("2026-11-22", "2026-11-22 00:00:00+00"),
        ("5", "2001-05-01 00:00:00+00"),
    ],
)
async def test_a_time_is_kept_to_the_millisecond_however_it_is_written(cp: Served, sent: object, stored: str) -> None:
    await cp.ingest({"type": "demo", "ts": sent})
    assert (await newest(cp))["ts"] == stored


@pytest.mark.parametrize("sent", [None, True, {}, "soon", "1795362643"])
async def test_what_is_no_time_becomes_the_time_of_arrival(cp: Served, sent: object) -> None:
    clock = cp.stop_the_clock()
    clock.now = 1_700_000_000.5
    await cp.ingest({"type": "demo", "ts": sent})
    assert (await newest(cp))["ts"] == "2023-11-14 22:13:20.5+00"


@pytest.mark.parametrize(
    "bad",
    [
        {"type": "x" * 129},
        {"type": "demo", "run_id": "x" * 256},
        {"type": "demo", "aidA": "x" * 513},
        {"type": "demo", "source": "x" * 129},
        {"type": "demo", "payload": {"deep": ["a\0b"]}},
        {"type": "demo", "payload": {"a\0b": 1}},
        {"type": "a\0b"},
        {"type": "demo", "payload": {"text": "\ud800"}},
        {"type": "demo", "ts": 1795362643000000},
        {"type": "demo", "ts": 253402300800},
    ],
    ids=lambda bad: json.dumps(bad)[:40],
)
async def test_one_event_the_database_would_not_take_costs_the_batch_and_is_answered_empty(
    cp: Served, bad: dict[str, Any]
) -> None:
    assert await cp.call("POST", "/api/events", [{"type": "good"}, bad]) == (500, None)
    assert (await cp.get("/api/events/history"))["count"] == 0


async def test_a_backslash_before_the_letters_of_a_nul_is_no_nul(cp: Served) -> None:
    await cp.ingest({"type": "demo", "payload": {"text": "\\u0000"}})
    assert (await newest(cp))["payload"] == {"text": "\\u0000"}


@pytest.mark.parametrize(("char", "units"), [("x", 1), ("€", 1), ("😀", 2)])
async def test_a_payload_is_measured_in_utf16_units(cp: Served, char: str, units: int) -> None:
    around = len('{"t":""}')
    room = (PAYLOAD_UNITS - around) // units
    raw = {"type": "demo", "payload": {"t": char * room}}
    encoded = json.dumps(raw, ensure_ascii=False)
    async with cp.session.post(f"{cp.running.url}/api/events", data=f"[{encoded}]".encode()) as response:
        assert response.status == 200
    raw["payload"] = {"t": char * (room + 1)}
    encoded = json.dumps(raw, ensure_ascii=False)
    async with cp.session.post(f"{cp.running.url}/api/events", data=f"[{encoded}]".encode()) as response:
        assert response.status == 413
        refused = await response.json()
    assert (refused["code"], refused["eventType"]) == ("PAYLOAD_TOO_LARGE", "demo")


async def test_events_of_one_instant_keep_their_order_on_every_page(cp: Served) -> None:
    await cp.ingest(*({"type": "demo", "ts": 1795362643, "payload": {"n": n}} for n in range(8)))
    pages = [await cp.get("/api/events/history", limit=3, offset=offset) for offset in (0, 3, 6)]
    assert [event["payload"]["n"] for page in pages for event in page["events"]] == list(range(8))
    assert [page["count"] for page in pages] == [3, 3, 2]


async def test_an_agent_is_found_on_either_side_and_once_when_it_is_on_both(cp: Served) -> None:
    sides = [("a", "b"), ("b", "a"), ("a", "a"), ("b", "c")]
    await cp.ingest(*({"type": f"t{n}", "ts": n + 1, "aidA": a, "aidB": b} for n, (a, b) in enumerate(sides)))
    found = await cp.get("/api/events/history", aid="a")
    assert [event["type"] for event in found["events"]] == ["t2", "t1", "t0"]
    assert (await cp.get("/api/events/history", aid="a", since="1970-01-01T00:00:02Z", type="t1"))["count"] == 1


@pytest.mark.parametrize("wanted", [Filter(type="x"), Filter(session_id="x"), Filter(run_id="x"), Filter()], ids=str)
def test_a_page_is_read_off_an_index_without_sorting(wanted: Filter) -> None:
    connection = sqlite3.connect(":memory:")
    for statement in rows.TABLES:
        connection.execute(statement)
    where, values = wanted.conditions()
    plan = connection.execute(
        f"EXPLAIN QUERY PLAN SELECT seq, ts FROM events WHERE {where} ORDER BY ts DESC, seq LIMIT 5", values
    ).fetchall()
    connection.close()
    assert "USING COVERING INDEX" in plan[0][3]
    assert not [step for step in plan if "TEMP B-TREE" in step[3]]


async def test_what_was_acknowledged_is_there_after_a_restart(tmp_path: Path) -> None:
    async with serving(tmp_path) as cp:
        await cp.ingest({"type": "demo", "run_id": "r"}, {"type": "handshake.started", "session_id": "s"})
    async with serving(tmp_path) as cp:
        assert (await cp.get("/api/events/history"))["count"] == 2
        assert [row["sessionId"] for row in (await cp.get("/api/sessions"))["sessions"]] == ["s"]


# -- streams ----------------------------------------------------------------------------------------------------------


async def frame(response: aiohttp.ClientResponse) -> dict[str, Any]:
    async with asyncio.timeout(300):
        while not (line := await response.content.readline()).startswith(b"data: "):
            assert line in (b"\n", b": heartbeat\n"), line
    assert await response.content.readline() == b"\n"
    found: dict[str, Any] = json.loads(line[6:])
    return found


async def test_a_stream_has_the_backlog_that_matches_and_then_what_is_stored(cp: Served) -> None:
    await cp.ingest({"type": "demo", "runId": "old", "payload": {"n": 0}}, {"type": "demo", "runId": "other"})
    async with cp.session.get(f"{cp.running.url}/api/events/stream", params={"run_id": "old"}) as response:
        assert response.content_type == "text/event-stream"
        assert (await frame(response))["payload"] == {"n": 0}
        await cp.ingest({"type": "demo", "runId": "other"}, {"type": "demo", "runId": "old", "payload": {"n": 1}})
        live = await frame(response)
    assert live["id"] == (await newest(cp, runId="old"))["id"]
    assert live.keys() == {"id", "type", "ts", "runId", "payload", "source"}
    assert live["ts"].endswith("Z")


async def test_the_backlog_is_the_last_hundred_of_everyone(cp: Served) -> None:
    await cp.ingest({"type": "demo", "runId": "mine"}, {"type": "demo", "runId": "mine", "payload": {"n": 1}})
    await cp.ingest(*({"type": "noise"} for _ in range(99)))
    async with cp.session.get(f"{cp.running.url}/api/events/stream", params={"runId": "mine"}) as response:
        assert (await frame(response))["payload"] == {"n": 1}


async def test_no_header_leaves_before_the_first_byte(tmp_path: Path) -> None:
    async with serving(tmp_path) as cp:
        asked = asyncio.create_task(cp.session.get(f"{cp.running.url}/api/events/stream"))
        while cp.running.service.bus.listeners < 2:
            await cp.get("/api/health")
        assert not asked.done()
        await cp.ingest({"type": "demo"})
        async with await asked as response:
            assert (await frame(response))["type"] == "demo"


async def test_a_quiet_stream_beats(tmp_path: Path) -> None:
    async with (
        serving(tmp_path, time_scale=0.01) as cp,
        cp.session.get(f"{cp.running.url}/api/events/stream") as response,
    ):
        assert await response.content.readline() == b": heartbeat\n"


async def test_streams_beyond_the_bound_are_refused(cp: Served) -> None:
    bus = cp.running.service.bus
    endings = [bus.subscribe(lambda event: None) for _ in range(MAX_STREAMS - bus.listeners)]
    status, refused = await cp.call("GET", "/api/events/stream")
    assert (status, refused["code"]) == (503, "SSE_CAPACITY")
    for end in endings:
        end()


async def test_a_reader_that_falls_behind_is_cut_off(cp: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stream, "MAX_WAITING", 3)
    await cp.ingest(*({"type": "demo", "payload": {"n": n}} for n in range(50)))
    async with cp.session.get(f"{cp.running.url}/api/events/stream") as response:
        frames = (await response.read()).decode().split("\n\n")
    assert [json.loads(text[6:])["payload"]["n"] for text in frames[:-1]] == [0, 1, 2]


async def test_streams_end_with_the_service(tmp_path: Path) -> None:
    async with aiohttp.ClientSession() as session:
        async with serving(tmp_path) as cp:
            await cp.ingest({"type": "demo"})
            key = {"Authorization": f"Bearer {cp.running.key}"}
            response = await session.get(f"{cp.running.url}/api/events/stream", headers=key)
            await frame(response)
        assert await response.content.read() == b""
        response.close()
