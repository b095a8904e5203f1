"""Telemetry of a real worker to a receiver that fails at times."""

from __future__ import annotations

import asyncio

import pytest

from tests.integration.agents.harness import Start, TelemetrySink, WorkerProcess


async def emit(worker: WorkerProcess, count: int) -> None:
    for n in range(count):
        answer = await worker.admin("self-execute", {"capability": "demo.echo", "input": {"n": n}})
        assert answer.status == 200


def numbers(sink: TelemetrySink) -> list[int]:
    return [event["emitter_seq"] for event in sink.events]


async def test_events_arrive_in_order_with_the_agents_own_token(start: Start, sink: TelemetrySink) -> None:
    worker = await start("alice")
    await emit(worker, 30)
    await sink.wait_for("capability.self_execute", 30)
    assert numbers(sink) == list(range(1, 31))
    assert sink.tokens == {f"Bearer {worker.telemetry_token}"}
    assert all(batch["emitter_seq"] == batch["events"][-1]["emitter_seq"] for batch in sink.batches)
    assert len({event["id"] for event in sink.events}) == 30


@pytest.mark.parametrize("failures", [[500, 503], [None], [401, 500, None]], ids=str)
async def test_what_failed_is_sent_again_in_order(
    start: Start, sink: TelemetrySink, failures: list[int | None]
) -> None:
    sink.failures = list(failures)
    worker = await start("alice")
    await emit(worker, 10)
    await sink.wait_for("capability.self_execute", 10)
    assert numbers(sink) == list(range(1, 11))


async def test_event_whose_acknowledgement_was_lost_is_sent_again_with_its_number_and_id(
    start: Start, sink: TelemetrySink
) -> None:
    sink.lose_answers = 1
    worker = await start("alice")
    await emit(worker, 1)
    assert (await worker.admin("flush", {})).status == 200
    first, second = (batch["events"][0] for batch in sink.batches)
    assert first == second
    assert numbers(sink) == [1]


async def test_receiver_that_does_not_answer_holds_up_no_route(start: Start, sink: TelemetrySink) -> None:
    worker = await start("alice")
    sink.gate.clear()
    await emit(worker, 20)
    assert (await worker.request("GET", "/.well-known/aitp-manifest")).status == 200
    sink.gate.set()
    await sink.wait_for("capability.self_execute", 20)
    assert numbers(sink) == list(range(1, 21))


async def test_flush_answers_when_everything_is_acknowledged(start: Start, sink: TelemetrySink) -> None:
    worker = await start("alice")
    sink.failures = [503] * 3
    await emit(worker, 3)
    answer = await worker.admin("flush", {})
    assert answer.body == {"emitter_seq": 3}
    assert numbers(sink) == [1, 2, 3]


async def test_flush_is_bounded(start: Start, sink: TelemetrySink) -> None:
    worker = await start("alice")
    sink.gate.clear()
    await emit(worker, 1)
    async with asyncio.timeout(300):
        assert (await worker.admin("flush", {})).status == 200
    assert not sink.events


async def test_event_the_receiver_cannot_take_does_not_hold_up_the_rest(start: Start, sink: TelemetrySink) -> None:
    worker = await start("alice")
    sink.failures = [422]
    await emit(worker, 1)
    await worker.admin("flush", {})
    await emit(worker, 2)
    await sink.wait_for("capability.self_execute", 2)
    assert numbers(sink) == [2, 3]
    worker.process.terminate()
    await worker.ended()
    assert b"event 1 was refused with status 422" in worker.err
