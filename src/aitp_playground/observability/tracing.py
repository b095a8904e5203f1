"""Traces by the OpenTelemetry SDK, as the standard ``OTEL_*`` variables say: a run is a trace, a step a span.

The spans of runs and steps are made of their events, once those are on disk; those of agents come with their telemetry.
The SDK is the extra ``otel``, imported only where a variable asks for traces. It samples, batches and sends in a thread
of its own; what it cannot send it drops.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import threading
from collections import OrderedDict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import urlsplit

import structlog

from aitp_playground.errors import ConfigurationError
from aitp_playground.events.model import RunEvent
from aitp_playground.events.tokens import without_tokens
from aitp_playground.events.vocabulary import STEP_ENDS, TERMINAL_TYPES
from aitp_playground.observability.spans import MAX_TEXT, Attributes, FinishedSpan, Sink
from aitp_playground.observability.trace_context import Parent, span_id_of, trace_id_of

if TYPE_CHECKING:
    from aitp_playground.observability.otel import Exporter

log = structlog.get_logger(__name__)

#: What asks for traces, and how to have them.
ENDPOINTS: Final = ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "OTEL_EXPORTER_OTLP_ENDPOINT")
NO_SDK: Final = "OTEL_EXPORTER_OTLP_ENDPOINT is set and the OpenTelemetry SDK is not installed: no traces are exported."
NOT_INSTALLED: Final = (
    f"{NO_SDK} Install it "
    "(pip install 'aitp-playground[otel]', in a checkout make otel), or set OTEL_SDK_DISABLED=true."
)
#: Runs whose spans are being made; the oldest gives way.
MAX_RUNS: Final = 2_000
#: Events that are told with one span.
MAX_EVENTS: Final = 128
CLOSE_SECS: Final = 5.0
_TOLD: Final = ("agent_id", "initiator", "target", "capability", "jti", "session_id", "cause", "error")
_NS: Final = 1_000_000_000


@dataclass(slots=True)
class _Open:
    name: str
    start: int
    attributes: dict[str, str | int | float | bool]
    events: list[tuple[str, int, Attributes]] = field(default_factory=list)


@dataclass(slots=True)
class _Run:
    root: _Open
    steps: dict[str, _Open] = field(default_factory=dict)
    link: Parent | None = None


class Tracing:
    """Makes the spans of runs. An observer of their logs."""

    def __init__(self, sink: Sink) -> None:
        self._sink = sink
        self._runs: OrderedDict[str, _Run] = OrderedDict()

    def sampled(self, run_id: str) -> bool:
        """Whether agents are to report spans of this run."""
        return self._sink.samples(trace_id_of(run_id))

    def link(self, run_id: str, parent: Parent) -> None:
        """The run was asked for by a request of another trace."""
        if self.sampled(run_id):
            self._run(run_id).link = parent

    def observe(self, event: RunEvent, _stored: object = None) -> None:
        """An event is on disk."""
        if not self.sampled(event.run_id):
            return
        known, at = self._run(event.run_id, event), int(event.ts * _NS)
        step_id = event.get("step_id")
        if event.type == "run.started":
            known.root.start = at
            known.root.name = f"run {event.get('scenario_ref') or ''}".strip()
            known.root.attributes |= _texts({"aitp.scenario.ref": event.get("scenario_ref")})
        elif event.type == "step.started" and isinstance(step_id, str):
            labels = {"aitp.step.id": step_id, "aitp.step.type": event.payload.get("step_type")}
            labels |= {"gen_ai.agent.name": event.get("agent"), "aitp.capability": event.get("capability")}
            known.steps[step_id] = _Open(f"step {step_id}", at, _texts(labels))
        elif event.type in STEP_ENDS and isinstance(step_id, str):
            self._end_step(event.run_id, known, step_id, at, event)
        elif event.type in TERMINAL_TYPES:
            self._end_run(event.run_id, known, at, event)
        else:
            _note(known.steps.get(str(step_id), known.root), event, at)

    def take(self, run_id: str, spans: Iterable[FinishedSpan]) -> None:
        """What an agent of the run has handed in."""
        if self.sampled(run_id):
            for span in spans:
                self._sink.export(span)

    async def close(self) -> None:
        """Send what waits, for a while."""
        loop, done = asyncio.get_running_loop(), asyncio.Event()

        def shut_down() -> None:
            try:
                self._sink.shutdown()
            finally:
                with contextlib.suppress(RuntimeError):  # the loop is closed by now
                    loop.call_soon_threadsafe(done.set)

        # No thread of an executor: the end of the loop and of the process waits for those, and a receiver that takes a
        # request and never answers holds this one for longer than anybody is to wait.
        threading.Thread(target=shut_down, name="tracing-close", daemon=True).start()
        try:
            async with asyncio.timeout(CLOSE_SECS):
                await done.wait()
        except TimeoutError:
            log.warning("tracing.left_behind", seconds=CLOSE_SECS)

    def _run(self, run_id: str, event: RunEvent | None = None) -> _Run:
        known = self._runs.get(run_id)
        if known is None:
            root = _Open("run", int(event.ts * _NS) if event else 0, {"aitp.run.id": run_id})
            known = self._runs[run_id] = _Run(root)
            if len(self._runs) > MAX_RUNS:
                self._runs.popitem(last=False)
        return known

    def _end_step(self, run_id: str, known: _Run, step_id: str, at: int, event: RunEvent) -> None:
        opened = known.steps.pop(step_id, None)
        if opened is None:
            return
        error = event.get("error") if event.type == "step.failed" else None
        opened.attributes["aitp.step.outcome"] = STEP_ENDS[event.type]
        self._export(run_id, opened, step_id, at, error=error)

    def _end_run(self, run_id: str, known: _Run, at: int, event: RunEvent) -> None:
        self._runs.pop(run_id, None)
        for step_id, opened in known.steps.items():
            self._export(run_id, opened, step_id, at, error="the run ended meanwhile")
        known.root.attributes["aitp.run.status"] = TERMINAL_TYPES[event.type]
        error = None if event.type == "run.complete" else event.get("error") or event.get("cause") or event.type
        self._export(run_id, known.root, None, at, error=error, link=known.link)

    def _export(
        self, run_id: str, opened: _Open, step_id: str | None, end: int, *, error: Any, link: Parent | None = None
    ) -> None:
        self._sink.export(
            FinishedSpan(
                trace_id=trace_id_of(run_id),
                span_id=span_id_of(run_id, step_id),
                parent_id=None if step_id is None else span_id_of(run_id),
                name=without_tokens(opened.name)[:MAX_TEXT],
                kind="internal",
                start=opened.start or end,
                end=max(end, opened.start),
                attributes=opened.attributes,
                error=None if error is None else without_tokens(str(error))[:MAX_TEXT],
                link=link,
                events=opened.events,
            )
        )


def _note(opened: _Open, event: RunEvent, at: int) -> None:
    if len(opened.events) < MAX_EVENTS:
        told = {f"aitp.{name}": event.get(name) for name in _TOLD} | {"aitp.code": event.payload.get("code")}
        opened.events.append((event.type, at, _texts(told)))


def _texts(told: Mapping[str, Any]) -> dict[str, str | int | float | bool]:
    return {name: without_tokens(value)[:MAX_TEXT] for name, value in told.items() if isinstance(value, str) and value}


def endpoint_of(environment: Mapping[str, str] = os.environ) -> str | None:
    """Where the standard variables want traces; None where they ask for none."""
    if environment.get("OTEL_SDK_DISABLED", "").strip().lower() == "true":
        return None
    if environment.get("OTEL_TRACES_EXPORTER", "otlp").strip().lower() != "otlp":
        return None
    return next((address for name in ENDPOINTS if (address := environment.get(name, "").strip())), None)


def receiver_of(endpoint: str) -> str:
    """Its host, and its port if it names one: the rest may hold a password.

    Raises ConfigurationError where it is no address.
    """
    with contextlib.suppress(ValueError):  # brackets that do not close, a port that is none
        address = urlsplit(endpoint)
        if address.scheme in ("http", "https") and address.hostname:
            return f"{address.hostname}:{address.port}" if address.port else address.hostname
    raise ConfigurationError(f"what {' or '.join(ENDPOINTS)} names is no http:// or https:// address")


def exporter(endpoint: str) -> Exporter | None:
    """The exporter that the standard variables describe; None where its package is missing. Imports it: blocks.

    ``endpoint`` is what :func:`endpoint_of` says. Raises ConfigurationError where one of them says what cannot be.
    """
    try:
        from aitp_playground.observability.otel import Exporter
    except ImportError:
        return None
    receiver_of(endpoint)
    try:
        return Exporter()
    except Exception as failure:
        raise ConfigurationError(f"the OpenTelemetry SDK refuses what an OTEL_* variable says: {failure}") from failure
