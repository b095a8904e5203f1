"""The bounds of a batch: refused with 413, or lost whole with an empty 500."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from typing import Any

import pytest

from tests.contract.wire import ControlPlane

BODY_BYTES = 262_144
PAYLOAD_UNITS = 65_536


def batch_of(size: int, unique: str) -> bytes:
    """A batch whose body has exactly this many bytes, in payloads within their own bound."""
    batch = [{"type": "demo", "run_id": unique, "payload": {"fill": "x" * 60_000}} for _ in range(4)]
    batch.append({"type": "demo", "run_id": unique, "payload": {"fill": ""}})
    batch[-1]["payload"] = {"fill": "x" * (size - len(json.dumps(batch)))}
    raw = json.dumps(batch).encode()
    assert len(raw) == size
    return raw


async def test_500_events_are_a_batch_and_501_are_too_many(cp: ControlPlane, unique: str) -> None:
    event = {"type": "demo", "run_id": unique}

    over = await cp.post("/api/events", [event] * 501)
    assert over.refusal() == (413, "PAYLOAD_TOO_LARGE")
    assert await cp.history(runId=unique) == []

    assert (await cp.post("/api/events", [event] * 500)).json() == {"ingested": 500}
    assert len(await cp.history(runId=unique, limit=1000)) == 500


async def test_the_body_bound_is_exact(cp: ControlPlane, unique: str) -> None:
    over = await cp.post("/api/events", data=batch_of(BODY_BYTES + 1, unique))
    assert over.refusal() == (413, "PAYLOAD_TOO_LARGE")
    assert await cp.history(runId=unique) == []

    assert (await cp.post("/api/events", data=batch_of(BODY_BYTES, unique))).json() == {"ingested": 5}


async def test_a_chunked_body_has_the_same_bound(cp: ControlPlane, unique: str) -> None:
    async def chunks(raw: bytes) -> AsyncIterator[bytes]:
        for start in range(0, len(raw), 8192):
            yield raw[start : start + 8192]

    over = await cp.post("/api/events", data=chunks(batch_of(BODY_BYTES + 1, unique)))
    assert over.refusal() == (413, "PAYLOAD_TOO_LARGE")

    within = await cp.post("/api/events", data=chunks(batch_of(BODY_BYTES, unique)))
    assert within.json() == {"ingested": 5}


@pytest.mark.parametrize("letter", ["x", "é", "☃"], ids=["one byte", "two bytes", "three bytes"])
async def test_a_payload_is_measured_in_utf16_units_not_bytes(cp: ControlPlane, unique: str, letter: str) -> None:
    room = PAYLOAD_UNITS - len('{"t":""}')

    def body(letters: int) -> bytes:
        event = {"type": "big", "run_id": unique, "payload": {"t": letter * letters}}
        return json.dumps([event], ensure_ascii=False).encode()

    over = await cp.post("/api/events", data=body(room + 1))
    assert over.refusal() == (413, "PAYLOAD_TOO_LARGE")
    assert over.json(413)["eventType"] == "big"

    assert (await cp.post("/api/events", data=body(room))).json() == {"ingested": 1}


async def test_a_letter_outside_the_basic_plane_counts_twice(cp: ControlPlane, unique: str) -> None:
    def body(letters: int) -> bytes:
        event = {"type": "big", "run_id": unique, "payload": {"t": "😀" * letters}}
        return json.dumps([event], ensure_ascii=False).encode()

    assert (await cp.post("/api/events", data=body(40_000))).refusal() == (413, "PAYLOAD_TOO_LARGE")
    assert (await cp.post("/api/events", data=body(32_000))).json() == {"ingested": 1}


async def test_an_event_without_payload_is_measured_whole(cp: ControlPlane, unique: str) -> None:
    answer = await cp.post("/api/events", [{"type": "flat", "run_id": unique, "error": "x" * PAYLOAD_UNITS}])

    assert answer.json(413)["eventType"] == "flat"


@pytest.mark.parametrize(
    "wrong",
    [
        {"type": "t" * 129},
        {"session_id": "s" * 256},
        {"run_id": "r" * 256},
        {"aid_a": "a" * 513},
        {"aid_b": "b" * 513},
        {"source": "s" * 129},
        {"payload": {"text": "a\0b"}},
        {"type": "a\0b"},
        {"payload": {"text": "\ud800"}},
        {"payload": {"\udc00": 1}},
    ],
    ids=lambda wrong: f"{next(iter(wrong))}-{len(str(wrong))}",
)
async def test_one_event_the_database_refuses_costs_the_batch(
    cp: ControlPlane, unique: str, wrong: dict[str, Any]
) -> None:
    good = {"type": "demo", "run_id": unique, "payload": {}}

    answer = await cp.post("/api/events", [good, {**good, **wrong}, good])

    assert (answer.status, answer.body) == (500, b"")
    assert await cp.history(runId=unique) == []


async def test_the_longest_names_still_pass(cp: ControlPlane, unique: str) -> None:
    await cp.ingest(
        {
            "type": "t" * 128,
            "run_id": unique.ljust(255, "r"),
            "session_id": unique.ljust(255, "s"),
            "aid_a": "a" * 512,
            "aid_b": "b" * 512,
            "source": "s" * 128,
        }
    )

    assert len(await cp.history(runId=unique.ljust(255, "r"))) == 1
