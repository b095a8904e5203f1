"""The HTTP API: thin handlers that parse, ask a service, and answer. One file per resource."""

from __future__ import annotations

from aiohttp import web

from aitp_playground.api import (
    agents,
    cp,
    diff,
    documentation,
    events,
    health,
    id_tokens,
    metrics,
    query,
    runs,
    scenarios,
    status,
    stream,
    telemetry,
    trust,
    webhooks,
)
from aitp_playground.api.access import access
from aitp_playground.api.answers import refusal_text
from aitp_playground.api.backend import BACKEND, Backend
from aitp_playground.api.bodies import MIB, hold_continue
from aitp_playground.api.contract.document import Route, document
from aitp_playground.api.diff import TURNS, Turns
from aitp_playground.api.documentation import CONTRACT, Contract, text_of
from aitp_playground.api.errors import error_shape
from aitp_playground.api.headers import secure
from aitp_playground.api.stream import STREAM_OPTIONS, STREAMS, OpenStreams, StreamOptions
from aitp_playground.api.streaming import STALL

__all__ = ["BACKEND", "STALL", "STREAM_OPTIONS", "Backend", "StreamOptions", "application", "openapi", "refusal_text"]

RESOURCES = (
    scenarios,
    runs,
    diff,
    trust,
    stream,
    events,
    agents,
    health,
    status,
    metrics,
    documentation,
    cp,
    webhooks,
    telemetry,
    id_tokens,
)


def application(backend: Backend, *, streams: StreamOptions | None = None) -> web.Application:
    """The HTTP side of the playground. Open streams end on shutdown, before whatever the backend is closed by."""
    # The limit is for handlers that read a body by aiohttp's own means; ours state theirs.
    app = web.Application(client_max_size=MIB)
    app[BACKEND] = backend
    app[STREAM_OPTIONS] = streams or StreamOptions()
    app[STREAMS] = OpenStreams(app[STREAM_OPTIONS])
    app[TURNS] = Turns()
    app.middlewares.extend([metrics.stopwatch, error_shape, access(backend.settings)])
    app.on_response_prepare.extend([secure, metrics.count])
    app.on_shutdown.append(app[STREAMS].close)
    app[CONTRACT] = Contract(_described())
    for resource in RESOURCES:
        app.add_routes([_strict(route) for route in resource.ROUTES])
    metrics.declare_routes(app)
    return app


def openapi() -> str:
    """The OpenAPI document of the service, as ``GET /openapi.json`` answers it."""
    return text_of(document(_described()))


def _described() -> list[Route]:
    return [
        Route(route.method, route.path, route.handler, resource.TAG)
        for resource in RESOURCES
        for route in resource.ROUTES
    ]


def _strict(route: web.RouteDef) -> web.RouteDef:
    """The same route, which refuses parameters it does not know, and asks for a body only when somebody wants it."""
    options = {**route.kwargs, "expect_handler": hold_continue}
    return web.RouteDef(route.method, route.path, query.strict(route.handler), options)
