"""What the OpenTelemetry SDK makes of the spans it is given."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterator

import pytest

from aitp_playground.observability.otel import Exporter
from aitp_playground.observability.trace_context import trace_id_of

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
