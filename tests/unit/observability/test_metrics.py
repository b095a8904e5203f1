"""Every series is there before anything happens, and counts what happened."""

from __future__ import annotations

import ast
import asyncio
import contextlib
from pathlib import Path
from typing import Any, get_args

import pytest
from prometheus_client.parser import text_string_to_metric_families

from aitp_playground.events.model import RunEvent, draft
from aitp_playground.events.vocabulary import TYPES
from aitp_playground.observability import metrics as metrics_module
from aitp_playground.observability.fed import Directory, Fed
from aitp_playground.observability.metrics import (
    DeliveryResult,
    IngestFate,
    Metrics,
    StepEnd,
    TelemetryResult,
)

ROUTES = [("GET", "/runs/{id}"), ("POST", "/runs")]


def series(metrics: Metrics) -> dict[tuple[str, frozenset[tuple[str, str]]], float]:
    families = text_string_to_metric_families(metrics.render().decode())
    return {(s.name, frozenset(s.labels.items())): s.value for family in families for s in family.samples}


def value(metrics: Metrics, name: str, **labels: str) -> float:
    return series(metrics)[f"aitp_playground_{name}", frozenset(labels.items())]


def event(event_type: str, ts: float = 1.0, **fields: Any) -> RunEvent:
    return RunEvent(seq=1, id="e", type=event_type, ts=ts, run_id="r", fields=draft(event_type, **fields).fields)


@pytest.fixture
def metrics() -> Metrics:
    return Metrics(routes=ROUTES, step_types=["workflow", "handshake"])


def use_everything(metrics: Metrics) -> None:
    for event_type in (*TYPES, "run.exploded"):
        metrics.observe_event(event(event_type))
    for outcome in ("complete", "skipped", "failed"):
        metrics.step_ended("workflow", outcome)
        metrics.step_ended("unheard-of", outcome)
    for result in ("accepted", "duplicate", "rejected"):
        metrics.telemetry_batch(result)
    for fate in get_args(DeliveryResult):
        metrics.delivery(fate)
    for status in (101, 200, 302, 404, 503, 999):
        metrics.http_request("GET", "/runs/{id}", status, 0.01)
        metrics.http_request("BREW", "/no/such/route", status, 0.01)
    with metrics.launching(), metrics.subscriber():
        metrics.idempotent_replay()
    for fate in ("stored", "already_there", "sanitised", "stub", "dropped"):
        metrics.cp_ingest_events(fate, 2)
    metrics.cp_ingest_retry()
    metrics.feed("agents_live", lambda: 3)
    metrics.feed("disk_free_bytes", lambda: 5, "history")
    metrics.feed("log_lines_dropped", lambda: 7)


def test_no_series_appears_that_was_not_there_from_the_start(metrics: Metrics) -> None:
    before = series(metrics).keys()
    use_everything(metrics)
    assert series(metrics).keys() == before


def test_each_event_type_counts_for_itself_and_unknown_ones_together(metrics: Metrics) -> None:
    for event_type in ("capability.denied", "capability.denied", "run.exploded", "odd"):
        metrics.observe_event(event(event_type))
    assert value(metrics, "events_total", type="capability.denied", origin="agent") == 2
    assert value(metrics, "events_total", type="other", origin="other") == 2
    assert value(metrics, "events_total", type="run.started", origin="service") == 0


@pytest.mark.parametrize(
    ("last", "status"), [("complete", "success"), ("failed", "failed"), ("cancelled", "cancelled")]
)
def test_a_run_counts_by_how_it_ended_and_how_long_it_took(metrics: Metrics, last: str, status: str) -> None:
    metrics.observe_event(event("run.started", 100.0))
    metrics.observe_event(event(f"run.{last}", 102.5))
    assert value(metrics, "runs_started_total") == 1
    assert value(metrics, "runs_total", status=status) == 1
    assert value(metrics, "run_duration_seconds_sum") == 2.5


def test_a_run_that_never_began_counts_without_a_duration(metrics: Metrics) -> None:
    metrics.observe_event(event("run.cancelled"))
    assert value(metrics, "runs_total", status="cancelled") == 1
    assert value(metrics, "run_duration_seconds_count") == 0


@pytest.mark.parametrize(
    ("raised", "result"), [(None, "ready"), (RuntimeError, "failed"), (asyncio.CancelledError, "cancelled")]
)
def test_a_launch_counts_by_how_it_ended(metrics: Metrics, raised: type[BaseException] | None, result: str) -> None:
    with contextlib.suppress(RuntimeError, asyncio.CancelledError), metrics.launching():
        if raised:
            raise raised
    assert value(metrics, "agent_launches_total", result=result) == 1
    assert value(metrics, "agent_launch_seconds_count") == (1 if result == "ready" else 0)


def test_steps_count_by_type_and_outcome(metrics: Metrics) -> None:
    metrics.step_ended("handshake", "failed")
    metrics.step_ended("unheard-of", "complete")
    assert value(metrics, "steps_total", step_type="handshake", outcome="failed") == 1
    assert value(metrics, "steps_total", step_type="other", outcome="complete") == 1


def test_requests_count_by_route_template_and_never_by_path(metrics: Metrics) -> None:
    metrics.http_request("GET", "/runs/{id}", 404, 0.25)
    metrics.http_request("GET", "/runs/r1", 200, 0.25)
    labels = {"method": "GET", "route": "/runs/{id}"}
    assert value(metrics, "http_requests_total", **labels, status_class="4xx") == 1
    assert value(metrics, "http_request_seconds_sum", **labels) == 0.25
    assert value(metrics, "http_requests_total", method="other", route="other", status_class="2xx") == 1


def test_a_subscriber_counts_only_while_it_is_served(metrics: Metrics) -> None:
    with contextlib.suppress(ConnectionError), metrics.subscriber():
        assert value(metrics, "sse_subscribers") == 1
        raise ConnectionError
    assert value(metrics, "sse_subscribers") == 0


def test_a_fed_gauge_reads_its_source_when_rendered(metrics: Metrics) -> None:
    waiting = [1]
    metrics.feed("runs_pending", lambda: len(waiting))
    waiting.append(2)
    assert value(metrics, "runs_pending") == 2


def test_a_source_that_fails_hides_no_other_metric(metrics: Metrics) -> None:
    metrics.feed("agents_live", lambda: 1 / 0)
    metrics.feed("runs_running", lambda: 4)
    assert str(value(metrics, "agents_live")) == "nan"
    assert value(metrics, "runs_running") == 4


def test_what_somebody_else_counts_is_a_counter(metrics: Metrics) -> None:
    assert value(metrics, "log_lines_dropped_total") == 0
    metrics.feed("log_lines_dropped", lambda: 3)
    assert value(metrics, "log_lines_dropped_total") == 3


def test_what_is_told_of_each_directory_has_a_series_for_each_and_for_no_other(metrics: Metrics) -> None:
    metrics.feed("disk_free_bytes", lambda: 5, "history")
    assert value(metrics, "disk_free_bytes", directory="history") == 5
    assert value(metrics, "disk_free_bytes", directory="state") == 0
    for name, directory in (("disk_free_bytes", ""), ("agents_live", "state")):
        with pytest.raises(ValueError, match="no series"):
            metrics.feed(name, lambda: 1, directory)  # type: ignore[arg-type]


def test_two_services_in_one_process_count_apart(metrics: Metrics) -> None:
    metrics.idempotent_replay()
    assert value(Metrics(), "idempotent_replays_total") == 0


# -- fed ---------------------------------------------------------------------------------------------------------------

SOURCE = Path(metrics_module.__file__).parents[1]
ELSEWHERE = [ast.parse(file.read_text()) for file in SOURCE.rglob("*.py") if file != Path(metrics_module.__file__)]
NODES = [node for tree in ELSEWHERE for node in ast.walk(tree)]


def test_every_gauge_that_is_declared_is_fed_by_the_service() -> None:
    calls = [node for node in NODES if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute)]
    fed = {call.args[0].value for call in calls if call.func.attr == "feed" and isinstance(call.args[0], ast.Constant)}
    assert fed == set(get_args(Fed))


def test_the_gauges_of_each_directory_are_fed_for_each() -> None:
    words = {node.value for node in NODES if isinstance(node, ast.Constant) and isinstance(node.value, str)}
    assert set(get_args(Directory)) <= words


def test_every_way_to_count_is_used_by_the_service() -> None:
    ways = {name for name in vars(Metrics) if not name.startswith("_")}
    assert ways <= {node.attr for node in NODES if isinstance(node, ast.Attribute)}


@pytest.mark.parametrize("results", [StepEnd, TelemetryResult, DeliveryResult, IngestFate])
def test_every_result_that_is_declared_can_come_about(results: Any) -> None:
    words = {node.value for node in NODES if isinstance(node, ast.Constant) and isinstance(node.value, str)}
    assert set(get_args(results)) <= words
