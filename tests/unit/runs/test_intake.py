"""What an agent may say about its run, and what it may not."""

from __future__ import annotations

from typing import Any

import pytest

from aitp_playground.errors import InvalidRequest
from aitp_playground.runs.intake.batches import MAX_BATCH, telemetry_drafts


def entry(number: int = 1, **fields: Any) -> dict[str, Any]:
    return {"emitter_seq": number, "type": "capability.self_execute", "ts": 5.0, **fields}


def test_a_batch_becomes_drafts_in_order_under_the_agents_own_id() -> None:
    pairs = telemetry_drafts("writer", 2, [entry(1, capability="x.y"), entry(2, extra=3)])
    assert [number for number, _ in pairs] == [1, 2]
    assert pairs[0][1].fields == {"capability": "x.y", "agent_id": "writer"}
    assert pairs[1][1].fields == {"payload": {"extra": 3}, "agent_id": "writer"}
    assert pairs[0][1].ts == 5.0


@pytest.mark.parametrize("forged", ["run_id", "seq", "agent_id", "step_id"])
def test_an_agent_cannot_say_who_it_is_or_where_its_event_stands(forged: str) -> None:
    ((_, made),) = telemetry_drafts("writer", 1, [entry(1, **{forged: "mallory"})])
    assert "mallory" not in str(made.fields)
    assert made.fields["agent_id"] == "writer"


@pytest.mark.parametrize("kind", ["run.complete", "step.complete", "trust.established", "cp.degraded", None, 7])
def test_events_that_are_not_an_agents_to_report_are_refused(kind: Any) -> None:
    with pytest.raises(InvalidRequest, match=r"events\[0\]\.type"):
        telemetry_drafts("writer", 1, [entry(1) | {"type": kind}])


def test_a_number_without_a_fraction_is_a_whole_one_however_it_is_written() -> None:
    ((number, made),) = telemetry_drafts("writer", 3, [entry(3.0, port=80.0)])
    assert (number, type(number), made.fields["port"], type(made.fields["port"])) == (3, int, 80, int)


@pytest.mark.parametrize("number", [0, -1, True, "1", 1.5, None])
def test_a_number_that_counts_nothing_is_refused(number: Any) -> None:
    with pytest.raises(InvalidRequest, match=r"events\[0\]\.emitter_seq"):
        telemetry_drafts("writer", 1, [entry(number)])


def test_a_batch_out_of_order_or_with_another_last_number_is_refused() -> None:
    with pytest.raises(InvalidRequest, match="order"):
        telemetry_drafts("writer", 1, [entry(2), entry(1)])
    with pytest.raises(InvalidRequest, match="emitter_seq is 9"):
        telemetry_drafts("writer", 9, [entry(1)])


def test_a_batch_is_bounded() -> None:
    with pytest.raises(InvalidRequest, match="at most"):
        telemetry_drafts("writer", MAX_BATCH + 1, [entry(n) for n in range(1, MAX_BATCH + 2)])


@pytest.mark.parametrize("ts", [float("nan"), float("inf"), -1, "now", True, None])
def test_a_time_that_is_none_is_replaced_by_the_services_own(ts: Any) -> None:
    ((_, made),) = telemetry_drafts("writer", 1, [entry(1, ts=ts)])
    assert made.ts is None


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("error", {"a": 1}),
        ("grants", "all"),
        ("result", [1]),
        ("port", "80"),
        ("port", True),
        ("port", 1.5),
        ("aid", 5),
    ],
)
def test_a_named_field_of_the_wrong_shape_is_refused(field: str, value: Any) -> None:
    with pytest.raises(InvalidRequest, match=rf"events\[0\]\.{field}"):
        telemetry_drafts("writer", 1, [entry(1, **{field: value})])
