"""Cross-origin requests (Fetch standard): web consoles served from loopback, or from a name that was
let in, may call the API; no other page may.

``Idempotency-Key`` is not among the headers that a page may send; a Control Plane leaves it out too.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from aiohttp import hdrs, web
from aiohttp.typedefs import Handler, Middleware

from aitp_playground.authorities import origin_host

_PREFLIGHT = {
    hdrs.ACCESS_CONTROL_ALLOW_METHODS: "GET, POST, PATCH, DELETE, OPTIONS",
    hdrs.ACCESS_CONTROL_ALLOW_HEADERS: "Authorization, Content-Type, X-Request-Id, X-Aitp-Namespace",
    hdrs.ACCESS_CONTROL_MAX_AGE: "600",
}


def preflight(hosts: frozenset[str]) -> Middleware:
    """Answer a browser's question before the request it wants to make, which carries no key yet."""

    @web.middleware
    async def answer(request: web.Request, handler: Handler) -> web.StreamResponse:
        asked = request.method == hdrs.METH_OPTIONS and hdrs.ACCESS_CONTROL_REQUEST_METHOD in request.headers
        if asked and _allowed(request, hosts) is not None:
            return web.Response(status=204, headers=_PREFLIGHT)
        return await handler(request)

    return answer


def allowing(hosts: frozenset[str]) -> Callable[[web.Request, web.StreamResponse], Awaitable[None]]:
    """Just before the headers go out: whether a page may read the answer."""

    async def allow(request: web.Request, response: web.StreamResponse) -> None:
        if (origin := _allowed(request, hosts)) is not None:
            response.headers[hdrs.ACCESS_CONTROL_ALLOW_ORIGIN] = origin
            response.headers[hdrs.ACCESS_CONTROL_EXPOSE_HEADERS] = "X-Request-Id, Retry-After"
            response.headers.add(hdrs.VARY, hdrs.ORIGIN)

    return allow


def _allowed(request: web.Request, hosts: frozenset[str]) -> str | None:
    """The origin of the page that asks, if it may; the well-known documents are outside all of this."""
    origin = request.headers.get(hdrs.ORIGIN)
    if origin is None or request.path.startswith("/.well-known/"):
        return None
    return origin if origin_host(origin) in hosts else None
