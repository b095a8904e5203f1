"""A receiver of traces: OTLP over HTTP, in protobuf, as the OpenTelemetry SDK sends it."""

from __future__ import annotations

import asyncio
import contextlib
import gzip
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import Any

from aiohttp import web
from aiohttp.test_utils import TestServer
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

KINDS = {1: "internal", 2: "server", 3: "client"}


@dataclass(frozen=True)
class Received:
    """A span, as it came. Times are nanoseconds."""

    service: str
    trace_id: str
    span_id: str
    parent_id: str
    name: str
    kind: str
    start: int
    end: int
    error: str | None
    attributes: dict[str, Any]
    events: list[tuple[str, dict[str, Any]]]
    links: list[tuple[str, str]]


@dataclass
class Receiver:
    """``url`` is what ``OTEL_EXPORTER_OTLP_ENDPOINT`` names. ``status``: of its answers."""

    url: str = ""
    status: int = 200
    spans: list[Received] = field(default_factory=list)
    requests: int = 0
    arrived: asyncio.Condition = field(default_factory=asyncio.Condition)

    async def take(self, request: web.Request) -> web.Response:
        self.requests += 1
        body = await request.read()
        if self.status != 200:
            return web.Response(status=self.status)
        if request.headers.get("Content-Encoding") == "gzip":
            body = gzip.decompress(body)
        told = ExportTraceServiceRequest()
        told.ParseFromString(body)
        for of_service in told.resource_spans:
            service = _attributes(of_service.resource.attributes).get("service.name", "")
            for scope in of_service.scope_spans:
                self.spans += [_received(service, span) for span in scope.spans]
        async with self.arrived:
            self.arrived.notify_all()
        return web.Response(content_type="application/x-protobuf")

    async def trace(self, run_id: str) -> list[Received]:
        """The spans of a run, once the run's own is among them, which is exported last."""
        wanted = run_id.replace("-", "")
        async with asyncio.timeout(120), self.arrived:
            await self.arrived.wait_for(
                lambda: any(span.trace_id == wanted and not span.parent_id for span in self.spans)
            )
        return [span for span in self.spans if span.trace_id == wanted]


@contextlib.asynccontextmanager
async def receiving_traces() -> AsyncIterator[Receiver]:
    """On a free port of loopback."""
    receiver = Receiver()
    app = web.Application()
    app.router.add_post("/v1/traces", receiver.take)
    async with TestServer(app) as server:
        receiver.url = str(server.make_url("/")).rstrip("/")
        yield receiver


def _received(service: str, span: Any) -> Received:
    return Received(
        service=service,
        trace_id=span.trace_id.hex(),
        span_id=span.span_id.hex(),
        parent_id=span.parent_span_id.hex(),
        name=span.name,
        kind=KINDS[span.kind],
        start=span.start_time_unix_nano,
        end=span.end_time_unix_nano,
        error=span.status.message if span.status.code == 2 else None,
        attributes=_attributes(span.attributes),
        events=[(event.name, _attributes(event.attributes)) for event in span.events],
        links=[(link.trace_id.hex(), link.span_id.hex()) for link in span.links],
    )


def _attributes(pairs: Any) -> dict[str, Any]:
    return {pair.key: getattr(pair.value, pair.value.WhichOneof("value")) for pair in pairs}
