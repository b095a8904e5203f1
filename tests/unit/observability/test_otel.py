"""What the OpenTelemetry SDK makes of the spans it is given."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import Callable, Iterator

import pytest

from aitp_playground.events.model import RunEvent, draft
from aitp_playground.observability.otel import Exporter
from aitp_playground.observability.spans import LAST, handed_in
from aitp_playground.observability.trace_context import trace_id_of
from aitp_playground.observability.tracing import Tracing
from tests.support.otlp import receiving_traces

RUNS = [str(uuid.UUID(int=n * 0x9E3779B97F4A7C15F39CC0605CEDC834 % (1 << 128), version=4)) for n in range(1, 4_001)]


@pytest.fixture
def exporter() -> Iterator[Callable[[], Exporter]]:
    """Makes one of what the environment says by then."""
    made: list[Exporter] = []

    def make() -> Exporter:
        made.append(Exporter())
        return made[-1]

    yield make
    for each in made:
        each.shutdown()


@pytest.mark.parametrize("sampler", ["traceidratio", "parentbased_traceidratio"])
@pytest.mark.parametrize("ratio", [0.1, 0.5, 0.9])
def test_of_runs_the_share_that_was_asked_for_is_sampled(
    sampler: str, ratio: float, exporter: Callable[[], Exporter], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OTEL_TRACES_SAMPLER", sampler)
    monkeypatch.setenv("OTEL_TRACES_SAMPLER_ARG", str(ratio))
    one, another = exporter(), exporter()
    decided = [one.samples(trace_id_of(run_id)) for run_id in RUNS]
    assert sum(decided) / len(RUNS) == pytest.approx(ratio, abs=0.04)
    assert [another.samples(trace_id_of(run_id)) for run_id in RUNS] == decided, "a run is always decided alike"


def event(event_type: str, *, ts: float = 5.0, **fields: object) -> RunEvent:
    return RunEvent(seq=1, id="e", type=event_type, ts=ts, run_id=RUNS[0], fields=draft(event_type, **fields).fields)


async def test_what_protobuf_cannot_hold_costs_no_batch(
    exporter: Callable[[], Exporter], monkeypatch: pytest.MonkeyPatch
) -> None:
    half, shown = "a \ud800 b", "a \ufffd b"
    told = {"kind": "server", "span_id": "1" * 16, "parent_id": "2" * 16, "start": 1, "end": LAST}
    strange = {**told, "name": half, "error": half, "attributes": {half: half, "nan": float("nan"), "large": 1 << 64}}
    async with receiving_traces() as receiver:
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", receiver.url)
        sink = exporter()
        tracing = Tracing(sink)
        tracing.observe(event("run.started", scenario_ref=half))
        tracing.take(RUNS[0], handed_in(RUNS[0], "worker", [strange, {**told, "name": "whole"}]))
        # An agent's word, as far as the calendar reaches: nanoseconds of that year need more than 64 bits.
        tracing.observe(event("capability.denied", ts=253_402_300_799.0, error=half))
        tracing.observe(event("run.failed", error=half))
        await asyncio.to_thread(sink.shutdown)
    ours, whole, root = receiver.spans
    assert (ours.name, ours.error, ours.attributes[shown], "large" in ours.attributes) == (shown, shown, shown, False)
    assert whole.name == "whole"
    assert (root.name, root.error, root.attributes["aitp.scenario.ref"]) == (f"run {shown}", shown, shown)
    [(name, noted)] = root.events
    assert (name, noted["aitp.error"]) == ("capability.denied", shown)
