"""The OpenTelemetry SDK, which sends spans by OTLP over HTTP. Imported only where traces are wanted."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from typing import Final

from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import SERVICE_NAME, Resource
from opentelemetry.sdk.trace import Event, ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.sdk.trace.sampling import Decision
from opentelemetry.sdk.util.instrumentation import InstrumentationScope
from opentelemetry.trace import Link, SpanContext, SpanKind, Status, StatusCode, TraceFlags

from aitp_playground import __version__
from aitp_playground.observability.spans import LAST, Attributes, FinishedSpan
from aitp_playground.observability.trace_context import Parent

_KINDS: Final[Mapping[str, SpanKind]] = {
    "server": SpanKind.SERVER,
    "client": SpanKind.CLIENT,
    "internal": SpanKind.INTERNAL,
}
_NAME: Final = "aitp-playground"
_SAMPLED: Final = TraceFlags(TraceFlags.SAMPLED)
_LONE_SURROGATE: Final = re.compile("[\ud800-\udfff]")


class Exporter:
    """Implements :class:`~aitp_playground.observability.spans.Sink`.

    Spans are made elsewhere, by other processes too, so they are handed over finished: the SDK's own tracer would give
    them ids and times of its own. Sampler, resource, batches and the exporter are the SDK's, and read ``OTEL_*``.
    """

    def __init__(self) -> None:
        provider = TracerProvider()
        self._sampler = provider.sampler
        # Unless OTEL_SERVICE_NAME or OTEL_RESOURCE_ATTRIBUTES say otherwise.
        named = not str(provider.resource.attributes.get(SERVICE_NAME, "")).startswith("unknown_service")
        self._resource = provider.resource if named else provider.resource.merge(Resource({SERVICE_NAME: _NAME}))
        self._resources: dict[str, Resource] = {}
        self._scope = InstrumentationScope(_NAME, __version__)
        self._processor = BatchSpanProcessor(OTLPSpanExporter())

    def samples(self, trace_id: str) -> bool:
        """What ``OTEL_TRACES_SAMPLER`` says of a trace that begins."""
        # A ratio is decided by the low 64 bits of an id, as if all of them were random. In a run's they begin with the
        # variant of a UUID, always binary 10: half of the runs would be none of them, and three quarters all.
        random = int.from_bytes(hashlib.sha256(trace_id.encode()).digest()[:16])
        decision = self._sampler.should_sample(None, random, "run").decision
        return decision is Decision.RECORD_AND_SAMPLE

    def export(self, span: FinishedSpan) -> None:
        """Into the queue of the batch processor, which drops what finds no room.

        What protobuf cannot hold would cost the batch: lone surrogates, which JSON can, and times of more than 64 bits.
        """
        self._processor.on_end(
            ReadableSpan(
                name=_utf8(span.name),
                context=_context(span.trace_id, span.span_id),
                parent=None if span.parent_id is None else _context(span.trace_id, span.parent_id),
                resource=self._resource_of(span.agent),
                attributes=_encodable(span.attributes),
                events=[Event(name, _encodable(attributes), min(at, LAST)) for name, at, attributes in span.events],
                links=[] if span.link is None else [Link(_linked(span.link))],
                kind=_KINDS[span.kind],
                status=_status(span.error),
                start_time=min(span.start, LAST),
                end_time=min(span.end, LAST),
                instrumentation_scope=self._scope,
            )
        )

    def shutdown(self) -> None:
        """Send what waits."""
        self._processor.shutdown()  # type: ignore[no-untyped-call]  # the library left it unannotated

    def _resource_of(self, agent: str | None) -> Resource:
        """An agent is a service of its own, by its id: pictures of who calls whom are made of these."""
        if agent is None:
            return self._resource
        if agent not in self._resources:
            if len(self._resources) > 1_000:
                self._resources.clear()
            self._resources[agent] = self._resource.merge(Resource({SERVICE_NAME: agent}))
        return self._resources[agent]


def _utf8(text: str) -> str:
    return _LONE_SURROGATE.sub("\ufffd", text)


def _encodable(attributes: Attributes) -> Attributes:
    return {_utf8(name): _utf8(value) if isinstance(value, str) else value for name, value in attributes.items()}


def _status(error: str | None) -> Status:
    return Status(StatusCode.UNSET) if error is None else Status(StatusCode.ERROR, _utf8(error))


def _context(trace_id: str, span_id: str) -> SpanContext:
    return SpanContext(int(trace_id, 16), int(span_id, 16), is_remote=False, trace_flags=_SAMPLED)


def _linked(parent: Parent) -> SpanContext:
    flags = TraceFlags(TraceFlags.SAMPLED if parent.sampled else TraceFlags.DEFAULT)
    return SpanContext(int(parent.trace_id, 16), int(parent.span_id, 16), is_remote=True, trace_flags=flags)
