"""Cross-origin requests (Fetch standard): web consoles served from loopback may call the API, no other page may.

``Idempotency-Key`` is not among the headers that a page may send; a Control Plane leaves it out too.
"""

from __future__ import annotations

from urllib.parse import urlsplit

from aiohttp import hdrs, web
from aiohttp.typedefs import Handler

_LOOPBACK = frozenset({"localhost", "127.0.0.1", "::1"})
_PREFLIGHT = {
    hdrs.ACCESS_CONTROL_ALLOW_METHODS: "GET, POST, PATCH, DELETE, OPTIONS",
    hdrs.ACCESS_CONTROL_ALLOW_HEADERS: "Authorization, Content-Type, X-Request-Id, X-Aitp-Namespace",
    hdrs.ACCESS_CONTROL_MAX_AGE: "600",
}


@web.middleware
async def preflight(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Answer a browser's question before the request it wants to make, which carries no key yet."""
    asked = request.method == hdrs.METH_OPTIONS and hdrs.ACCESS_CONTROL_REQUEST_METHOD in request.headers
    if asked and _allowed(request) is not None:
        return web.Response(status=204, headers=_PREFLIGHT)
    return await handler(request)


async def allow(request: web.Request, response: web.StreamResponse) -> None:
    """Just before the headers go out: whether a page may read the answer."""
    if (origin := _allowed(request)) is not None:
        response.headers[hdrs.ACCESS_CONTROL_ALLOW_ORIGIN] = origin
        response.headers[hdrs.ACCESS_CONTROL_EXPOSE_HEADERS] = "X-Request-Id, Retry-After"
        response.headers.add(hdrs.VARY, hdrs.ORIGIN)


def _allowed(request: web.Request) -> str | None:
    """The origin of the page that asks, if it may; the well-known documents are outside all of this."""
    origin = request.headers.get(hdrs.ORIGIN)
    if origin is None or request.path.startswith("/.well-known/"):
        return None
    try:
        parts = urlsplit(origin)
        good = parts.scheme in {"http", "https"} and parts.hostname in _LOOPBACK
    except ValueError:
        return None
    return origin if good else None
