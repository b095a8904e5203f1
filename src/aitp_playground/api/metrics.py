"""The metrics page, and how requests get onto it."""

from __future__ import annotations

import time

from aiohttp import hdrs, web
from aiohttp.typedefs import Handler

from aitp_playground.api.backend import BACKEND
from aitp_playground.api.contract.operations import Answer, Tag, operation
from aitp_playground.api.routing import template
from aitp_playground.observability.metrics import CONTENT_TYPE

TAG = Tag("Metrics", "For a Prometheus server.")
_BEGUN = web.RequestKey("begun", float)


@operation(
    "getMetrics",
    "Get the metrics",
    Answer("The text format of Prometheus.", str, content_type=CONTENT_TYPE),
)
async def show_metrics(request: web.Request) -> web.Response:
    """Prometheus text."""
    return web.Response(body=request.app[BACKEND].metrics.render(), headers={hdrs.CONTENT_TYPE: CONTENT_TYPE})


@web.middleware
async def stopwatch(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Outermost, so that refusals are timed as well."""
    request[_BEGUN] = time.perf_counter()
    return await handler(request)


async def count(request: web.Request, response: web.StreamResponse) -> None:
    """Runs when an answer's headers go out: a stream counts when it begins, and its length is no latency."""
    begun = request.get(_BEGUN)
    if begun is not None:
        seconds = time.perf_counter() - begun
        request.app[BACKEND].metrics.http_request(request.method, template(request), response.status, seconds)


def declare_routes(app: web.Application) -> None:
    """Let the whole schema be there before the first request."""
    routes = [(route.method, route.resource.canonical) for route in app.router.routes() if route.resource is not None]
    app[BACKEND].metrics.declare_routes(routes)


ROUTES = [web.get("/metrics", show_metrics)]
