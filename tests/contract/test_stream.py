"""GET /api/events/stream: frames, filters, the backlog, and headers that wait."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import aiohttp
import pytest

from tests.contract.wire import ISO_TIME, ControlPlane


async def frame(response: aiohttp.ClientResponse) -> dict[str, Any]:
    """The next event of a stream; heartbeats are passed over."""
    while True:
        line = await response.content.readline()
        assert line, "the stream ended"
        if line.startswith(b":"):
            assert await response.content.readline() == b"\n"
            continue
        assert line.startswith(b"data: "), line
        assert await response.content.readline() == b"\n"
        found: dict[str, Any] = json.loads(line.removeprefix(b"data: "))
        return found


async def test_a_frame_is_the_event_without_absent_fields_in_iso_times(cp: ControlPlane, unique: str) -> None:
    await cp.ingest(
        {"type": "demo", "run_id": unique, "aid_a": "A", "aid_b": "B", "session_id": "S", "payload": {"t": "héllo 😀"}}
    )
    (row,) = await cp.history(runId=unique)

    async with cp.stream(runId=unique) as response:
        assert response.status == 200
        assert response.content_type == "text/event-stream"
        event = await frame(response)

    assert ISO_TIME.fullmatch(event.pop("ts"))
    assert event == {
        "id": row["id"],
        "type": "demo",
        "aidA": "A",
        "aidB": "B",
        "sessionId": "S",
        "runId": unique,
        "payload": {"t": "héllo 😀"},
        "source": "playground",
    }


@pytest.mark.parametrize("name", ["runId", "run_id", "aid", "type"])
async def test_a_stream_shows_only_what_its_filter_meets(cp: ControlPlane, unique: str, name: str) -> None:
    field = {"aid": "aid_b", "type": "type"}.get(name, "run_id")
    event = {"type": "demo", "run_id": "other", "payload": {}}
    await cp.ingest(event, {**event, field: unique, "payload": {"n": 1}}, event)

    async with cp.stream(**{name: unique}) as response:
        first = await frame(response)
        await cp.ingest(event, {**event, field: unique, "payload": {"n": 2}})
        second = await frame(response)

    assert [first["payload"], second["payload"]] == [{"n": 1}, {"n": 2}]


async def test_a_stream_has_no_filter_by_session(cp: ControlPlane, unique: str) -> None:
    await cp.ingest({"type": "demo", "run_id": unique, "session_id": "mine"})

    async with cp.stream(session_id="another", runId=unique) as response:
        assert (await frame(response))["sessionId"] == "mine"


async def test_a_stream_looks_back_over_everybodys_last_hundred_events(cp: ControlPlane, unique: str) -> None:
    mine = {"type": "demo", "run_id": unique}
    await cp.ingest({**mine, "payload": {"n": 1}})
    await cp.ingest(*({"type": "demo", "run_id": f"not-{unique}"} for _ in range(100)))
    await cp.ingest({**mine, "payload": {"n": 2}})

    async with cp.stream(runId=unique) as response:
        assert (await frame(response))["payload"] == {"n": 2}


async def test_a_quiet_stream_answers_nothing_until_an_event_meets_its_filter(cp: ControlPlane, unique: str) -> None:
    opened = asyncio.Event()

    async def first() -> dict[str, Any]:
        async with cp.stream(runId=unique) as response:
            opened.set()
            return await frame(response)

    reading = asyncio.create_task(first())
    try:
        for _ in range(3):
            await cp.ingest({"type": "demo", "run_id": f"not-{unique}"})
        assert not opened.is_set()
        await cp.ingest({"type": "demo", "run_id": unique, "payload": {"n": 1}})
        assert (await reading)["payload"] == {"n": 1}
    finally:
        reading.cancel()


async def test_a_quiet_stream_beats_without_an_event(hasty_cp: ControlPlane, unique: str) -> None:
    async with hasty_cp.stream(runId=unique) as response:
        assert await response.content.readline() == b": heartbeat\n"
        assert await response.content.readline() == b"\n"
