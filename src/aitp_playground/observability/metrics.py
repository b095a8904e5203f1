"""Prometheus metrics of one process, in a registry of their own.

Every label is bounded: event types come from the vocabulary, routes and step types are declared once at start, and what
was not declared counts as ``other``. All series exist from the start, so that a rate over a first occurrence is right.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Literal, get_args

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    ProcessCollector,
    disable_created_metrics,
    generate_latest,
)

from aitp_playground.events.model import RunEvent
from aitp_playground.events.vocabulary import TERMINAL_TYPES, TYPES, spec
from aitp_playground.observability.fed import Directory, Fed, FedMetrics, Read

#: What ``GET /metrics`` says its body is.
CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"

OTHER = "other"
StepEnd = Literal["complete", "skipped", "failed"]
TelemetryResult = Literal["accepted", "duplicate", "rejected"]
DeliveryResult = Literal["stored", "duplicate", "counted", "unsigned", "unknown_run", "too_large", "refused"]
#: What became of an event on its way to the Control Plane.
IngestFate = Literal["stored", "already_there", "sanitised", "stub", "dropped"]

_LAUNCH_RESULTS = ("ready", "failed", "cancelled")
_STATUS_CLASSES = ("2xx", "3xx", "4xx", "5xx")
_RUN_BUCKETS = (0.02, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120, 300, 600)
_LAUNCH_BUCKETS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30)
_HTTP_BUCKETS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5)
_MAX_STARTED = 10_000


class Metrics:
    """What is counted. Names start with ``aitp_playground_``; times are seconds.

    ``routes``: ``(method, template)`` pairs as the router knows them, which may be declared later too, before the first
    request; ``step_types``: the registered ones.
    """

    def __init__(self, *, routes: Iterable[tuple[str, str]] = (), step_types: Iterable[str] = ()) -> None:
        # A second series per counter that only says when this process made it is noise.
        disable_created_metrics()  # type: ignore[no-untyped-call]  # the library left it unannotated
        self.registry = CollectorRegistry()
        ProcessCollector(registry=self.registry)
        self._make_run_metrics()
        self._make_service_metrics()
        self._declare_step_types([OTHER, *step_types])
        self.declare_routes([(OTHER, OTHER), *routes])

    # -- declaring ----------------------------------------------------------------------------------------------------

    def _declare_step_types(self, step_types: Iterable[str]) -> None:
        """Make the series of these step types, for each outcome."""
        for step_type in step_types:
            for outcome in get_args(StepEnd):
                self._steps[step_type, outcome] = self._step_counter.labels(step_type, outcome)

    def declare_routes(self, routes: Iterable[tuple[str, str]]) -> None:
        """Make the series of these routes, for each class of status."""
        for method, route in routes:
            for status_class in _STATUS_CLASSES:
                self._requests[method, route, status_class] = self._request_counter.labels(method, route, status_class)
            self._request_seconds[method, route] = self._request_histogram.labels(method, route)

    def feed(self, name: Fed, read: Read, directory: Directory | Literal[""] = "") -> None:
        """Let ``read`` say this value whenever the metrics are rendered; one that fails reads as NaN."""
        self._fed.feed(name, read, directory)

    def fed(self, name: Fed) -> float:
        """What is read now; NaN when that fails."""
        return self._fed.value(name)

    # -- counting -----------------------------------------------------------------------------------------------------

    def observe_event(self, event: RunEvent) -> None:
        """Count a recorded event once; run starts and ends also feed the run metrics."""
        self._count_event.get(event.type, self._count_other)()
        if event.type in self._turning_points:
            self._observe_turn(event)

    @contextmanager
    def launching(self) -> Iterator[None]:
        """Around the launch of one agent, until it is ready: counts how it ended and, when it is ready, how long."""
        begun = time.perf_counter()
        result = "cancelled"
        try:
            yield
            result = "ready"
        except Exception:
            result = "failed"
            raise
        finally:
            self._launches[result].inc()
            if result == "ready":
                self._launch_seconds.observe(time.perf_counter() - begun)

    def step_ended(self, step_type: str, outcome: StepEnd) -> None:
        """A step of this type came to this end."""
        self._steps.get((step_type, outcome), self._steps[OTHER, outcome]).inc()

    def telemetry_batch(self, result: TelemetryResult) -> None:
        """An agent's batch was taken, had been seen already, or was turned away."""
        self._telemetry[result].inc()

    def cp_ingest_events(self, fate: IngestFate, count: int) -> None:
        """So many events reached the Control Plane; or were, before they did or instead, changed or given up."""
        self._cp_events[fate].inc(count)

    def cp_ingest_retry(self) -> None:
        """A batch did not reach the Control Plane this time."""
        self._cp_retries.inc()

    def delivery(self, result: DeliveryResult) -> None:
        """The Control Plane called a run back: kept, known already, only counted, or turned away."""
        self._deliveries[result].inc()

    def http_request(self, method: str, route: str, status: int, seconds: float) -> None:
        """A request was answered. ``route`` is the router's template, never the path that was asked for."""
        status_class = f"{status // 100}xx"
        if (method, route, status_class) not in self._requests:
            method, route = OTHER, OTHER
            status_class = status_class if status_class in _STATUS_CLASSES else "5xx"
        self._requests[method, route, status_class].inc()
        self._request_seconds[method, route].observe(seconds)

    @contextmanager
    def subscriber(self) -> Iterator[None]:
        """Around the serving of one event stream."""
        self._subscribers.inc()
        try:
            yield
        finally:
            self._subscribers.dec()

    def idempotent_replay(self) -> None:
        """A request for a run was answered with the run that an earlier, equal request had made."""
        self._replays.inc()

    def render(self) -> bytes:
        """The Prometheus text form."""
        return generate_latest(self.registry)

    # -- making -------------------------------------------------------------------------------------------------------

    def _make_run_metrics(self) -> None:
        runs = self._counter("runs", "Runs that ended, by status", "status")
        self._runs = {status: runs.labels(status) for status in TERMINAL_TYPES.values()}
        self._runs_started = self._counter("runs_started", "Runs that began")
        self._run_seconds = self._histogram("run_duration_seconds", "From a run's start to its end", _RUN_BUCKETS)
        self._started: dict[str, float] = {}
        self._turning_points = frozenset({"run.started", *TERMINAL_TYPES})
        events = self._counter("events", "Recorded events, by type and by who spoke", "type", "origin")
        self._count_event = {name: events.labels(name, row.origin).inc for name in TYPES if (row := spec(name))}
        self._count_other = events.labels(OTHER, OTHER).inc
        self._step_counter = self._counter("steps", "Steps that ended, by type and outcome", "step_type", "outcome")
        self._steps: dict[tuple[str, str], Counter] = {}
        launches = self._counter("agent_launches", "Agents launched, by result", "result")
        self._launches = {result: launches.labels(result) for result in _LAUNCH_RESULTS}
        self._launch_seconds = self._histogram("agent_launch_seconds", "From launch to ready", _LAUNCH_BUCKETS)

    def _make_service_metrics(self) -> None:
        telemetry = self._counter("telemetry_batches", "Telemetry batches of agents, by result", "result")
        self._telemetry = {result: telemetry.labels(result) for result in get_args(TelemetryResult)}
        deliveries = self._counter("webhook_deliveries", "Deliveries of the Control Plane, by result", "result")
        self._deliveries = {result: deliveries.labels(result) for result in get_args(DeliveryResult)}
        self._request_counter = self._counter("http_requests", "Requests answered", "method", "route", "status_class")
        self._requests: dict[tuple[str, str, str], Counter] = {}
        self._request_histogram = self._histogram(
            "http_request_seconds", "Time to answer a request", _HTTP_BUCKETS, "method", "route"
        )
        self._request_seconds: dict[tuple[str, str], Histogram] = {}
        self._subscribers = self._gauge("sse_subscribers", "Event streams being served")
        ingested = self._counter(
            "cp_ingest_events", "Events reported to the Control Plane, by what became of them", "fate"
        )
        self._cp_events = {fate: ingested.labels(fate) for fate in get_args(IngestFate)}
        self._cp_retries = self._counter("cp_ingest_retries", "Attempts to report that failed")
        self._replays = self._counter("idempotent_replays", "Requests answered with an earlier run")
        self._fed = FedMetrics(self.registry, "aitp_playground_")

    def _counter(self, name: str, text: str, *labels: str) -> Counter:
        return Counter(f"aitp_playground_{name}", text, labels, registry=self.registry)

    def _gauge(self, name: str, text: str) -> Gauge:
        return Gauge(f"aitp_playground_{name}", text, registry=self.registry)

    def _histogram(self, name: str, text: str, buckets: tuple[float, ...], *labels: str) -> Histogram:
        return Histogram(f"aitp_playground_{name}", text, labels, buckets=buckets, registry=self.registry)

    def _observe_turn(self, event: RunEvent) -> None:
        if event.type == "run.started":
            self._runs_started.inc()
            if len(self._started) < _MAX_STARTED:
                self._started[event.run_id] = event.ts
            return
        self._runs[TERMINAL_TYPES[event.type]].inc()
        begun = self._started.pop(event.run_id, None)
        if begun is not None:
            self._run_seconds.observe(max(0.0, event.ts - begun))
