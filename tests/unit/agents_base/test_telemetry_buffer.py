"""The telemetry buffer: bounded, honest about what it dropped, and safe with whatever it is given."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any

import pytest

from base.http import step_mark
from base.http.peer_client import PeerClient
from base.http.tracing import Span, Tracer
from base.process.bootstrap import TelemetryConfig
from base.telemetry import MAX_EVENT_BYTES, REFUSALS_AT_ONCE, Telemetry
from tests.integration.agents.harness import TelemetrySink


@pytest.fixture
async def sink() -> AsyncIterator[TelemetrySink]:
    receiver = TelemetrySink()
    await receiver.start()
    yield receiver
    await receiver.close()


@pytest.fixture
async def client() -> AsyncIterator[PeerClient]:
    client = PeerClient()
    yield client
    await client.close()


@pytest.fixture
async def telemetry(sink: TelemetrySink, client: PeerClient) -> AsyncIterator[Telemetry]:
    """With room for three events; started by the test."""
    made = Telemetry(TelemetryConfig(sink.url, "secret"), client.session, Tracer("", str), max_events=3)
    yield made
    await made.close()


async def test_flood_is_counted_per_type_without_a_gap_in_the_numbers(
    telemetry: Telemetry, sink: TelemetrySink
) -> None:
    for _ in range(3):
        telemetry.emit("handshake.failed")
    for _ in range(5):
        telemetry.emit("capability.denied")
    for _ in range(2):
        telemetry.emit("capability.invoked")
    assert telemetry.emitter_seq == 3
    telemetry.start()
    await sink.wait_for("capability.invoked")
    assert [event["emitter_seq"] for event in sink.events] == [1, 2, 3, 4, 5]
    assert {event["type"]: event["payload"]["dropped"] for event in sink.events[3:]} == {
        "capability.denied": 5,
        "capability.invoked": 2,
    }
    telemetry.emit("capability.denied", capability="later")
    assert await telemetry.flush(5.0)
    assert (sink.events[-1]["emitter_seq"], "payload" in sink.events[-1]) == (6, False)


async def test_field_without_a_place_of_its_own_goes_to_the_payload(telemetry: Telemetry, sink: TelemetrySink) -> None:
    telemetry.emit("llm.complete", capability="a.b", model="m", jti=None, payload={"tokens": 3})
    telemetry.start()
    [event] = await sink.wait_for("llm.complete")
    assert (event["capability"], event["payload"]) == ("a.b", {"model": "m", "tokens": 3})
    assert "jti" not in event


@pytest.mark.parametrize("value", ["\ud800", "nul \0", object(), {1: 2}], ids=["surrogate", "nul", "object", "key"])
async def test_strange_value_neither_raises_nor_blocks(telemetry: Telemetry, sink: TelemetrySink, value: Any) -> None:
    telemetry.emit("handshake.failed", error=value)
    telemetry.start()
    assert await telemetry.flush(5.0)
    assert len(sink.events) == 1


async def test_oversized_event_keeps_its_place_and_says_what_is_missing(
    telemetry: Telemetry, sink: TelemetrySink
) -> None:
    telemetry.emit("handshake.failed", error="x" * (MAX_EVENT_BYTES + 1))
    telemetry.start()
    [event] = await sink.wait_for("handshake.failed")
    assert event["payload"]["omitted_bytes"] > MAX_EVENT_BYTES
    assert len(json.dumps(event)) < 1000


async def test_batch_the_receiver_cannot_take_is_halved_until_one_event_is_left_out(
    sink: TelemetrySink, client: PeerClient
) -> None:
    telemetry = Telemetry(TelemetryConfig(sink.url, "secret"), client.session, Tracer("", str))
    for _ in range(8):
        telemetry.emit("capability.denied")
    sink.failures = [413, 413, 413, 413]
    telemetry.start()
    assert await telemetry.flush(5.0)
    await telemetry.close()
    assert [event["emitter_seq"] for event in sink.events] == [2, 3, 4, 5, 6, 7, 8]


@pytest.mark.parametrize("status", [400, 413, 422])
@pytest.mark.parametrize(
    ("bad_events", "bad_spans"),
    [({5}, set()), (set(), {250}), ({1, 30}, {1, 2, 300}), (set(range(1, 31)), set())],
    ids=["event", "span", "several", "every event"],
)
async def test_an_entry_that_the_receiver_refuses_costs_itself_alone(
    sink: TelemetrySink, client: PeerClient, status: int, bad_events: set[int], bad_spans: set[int]
) -> None:
    def refuse(body: dict[str, Any]) -> int | None:
        at_fault = bad_events & {event["emitter_seq"] for event in body["events"]}
        return status if at_fault or bad_spans & {span["start"] for span in body.get("spans", [])} else None

    sink.refuse = refuse
    tracer = Tracer("", str)
    telemetry = Telemetry(TelemetryConfig(sink.url, "secret"), client.session, tracer)
    for _ in range(30):
        telemetry.emit("capability.denied")
    for number in range(1, 301):
        tracer._keep(Span("x", "server", f"{number:016x}", "1" * 16, start=number, end=number))
    telemetry.start()
    assert await telemetry.flush(60.0)
    await telemetry.close()
    assert [event["emitter_seq"] for event in sink.events] == [n for n in range(1, 31) if n not in bad_events]
    spans = [span["start"] for batch in sink.batches for span in batch.get("spans", [])]
    assert spans == [n for n in range(1, 301) if n not in bad_spans], "each once, in order"


async def test_flush_says_whether_everything_arrived(telemetry: Telemetry, sink: TelemetrySink) -> None:
    assert await telemetry.flush(0.01)
    telemetry.emit("capability.denied")
    assert not await telemetry.flush(0.01)
    telemetry.start()
    assert await telemetry.flush(5.0)


async def test_flush_does_not_wait_for_the_pause_after_a_failure(
    telemetry: Telemetry, sink: TelemetrySink, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("base.telemetry.FIRST_PAUSE", 600.0)
    sink.failures = [503]
    sink.gate.clear()
    telemetry.emit("capability.denied")
    telemetry.start()
    flushing = asyncio.create_task(telemetry.flush(5.0))
    await sink.asked.wait()
    sink.gate.set()
    assert await flushing
    assert len(sink.events) == 1


async def test_an_event_bears_the_mark_of_the_request_it_comes_of_and_what_strangers_did_bears_none(
    sink: TelemetrySink, client: PeerClient
) -> None:
    telemetry = Telemetry(TelemetryConfig(sink.url, "secret"), client.session, Tracer("", str))
    for _ in range(REFUSALS_AT_ONCE + 5):
        telemetry.emit_refusal("capability.denied")
    telemetry.start()

    async def request() -> None:
        step_mark.take({step_mark.HEADER: "the-mark"})
        telemetry.emit("capability.invoked")
        assert await telemetry.flush(10)
        assert step_mark.current() == "the-mark"

    await asyncio.create_task(request())
    await telemetry.close()
    marks = {event["type"]: event.get("step_mark") for event in sink.events}
    assert marks == {"capability.denied": None, "capability.invoked": "the-mark"}
    assert sum(event.get("payload", {}).get("dropped", 0) for event in sink.events) >= 4


async def test_a_mark_of_any_length_or_none_leaves_nothing_of_the_request_before() -> None:
    step_mark.take({step_mark.HEADER: "x" * (step_mark.LONGEST + 1)})
    assert step_mark.current() is None
    assert step_mark.to_pass_on() == {}
    step_mark.take({step_mark.HEADER: "a"})
    assert step_mark.to_pass_on() == {step_mark.HEADER: "a"}
    step_mark.take({})
    assert step_mark.current() is None


@pytest.mark.parametrize("said", ["", "-1", "inf", "nan", "1e3", "1" * 7, "٣"])
async def test_only_a_number_of_seconds_says_how_long_a_step_has(said: str) -> None:
    step_mark.take({step_mark.HEADER: "a", step_mark.SECONDS_HEADER: said})
    assert step_mark.seconds_left() is None
    assert step_mark.to_pass_on() == {step_mark.HEADER: "a"}


async def test_what_a_step_has_left_is_passed_on_less_what_has_passed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(step_mark, "monotonic", lambda: 100.0)
    step_mark.take({step_mark.HEADER: "a", step_mark.SECONDS_HEADER: "30.5"})
    monkeypatch.setattr(step_mark, "monotonic", lambda: 110.0)
    assert step_mark.seconds_left() == 20.5
    assert step_mark.to_pass_on() == {step_mark.HEADER: "a", step_mark.SECONDS_HEADER: "20.500"}
    monkeypatch.setattr(step_mark, "monotonic", lambda: 200.0)
    assert step_mark.seconds_left() == 0
    step_mark.take({})
    assert step_mark.seconds_left() is None
