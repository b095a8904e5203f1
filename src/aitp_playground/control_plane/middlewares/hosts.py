"""Host and Origin, against DNS rebinding: a page whose name was pointed at this machine is no client of it."""

from __future__ import annotations

from collections.abc import Iterable

from aiohttp import hdrs, web
from aiohttp.typedefs import Handler, Middleware

from aitp_playground.authorities import canonical, host_of, origin_host
from aitp_playground.control_plane.wire.answers import refusal
from aitp_playground.control_plane.wire.errors import Refused

LOOPBACK = ("localhost", "127.0.0.1", "::1")


def known_hosts(configured: Iterable[str]) -> frozenset[str]:
    """The names this service answers to: loopback's, and those that were configured."""
    return frozenset(canonical(name) for name in (*LOOPBACK, *configured))


def addressed_to(names: frozenset[str]) -> Middleware:
    """Refuse a request to another name (421, RFC 9110, section 15.5.20) and one from another name's page (403).

    Without a Host header (HTTP/1.0) a request is taken: no browser sends such a one.
    """

    @web.middleware
    async def look(request: web.Request, handler: Handler) -> web.StreamResponse:
        if not _addressed(request, names):
            why = "the Host header names another service; --allow-host lets a name in"
            return refusal(Refused(421, why, "HOST_NOT_ALLOWED"))
        if any(origin_host(origin) not in names for origin in request.headers.getall(hdrs.ORIGIN, [])):
            why = "pages of another origin may not ask; --allow-host lets a name in"
            return refusal(Refused(403, why, "ORIGIN_NOT_ALLOWED"))
        return await handler(request)

    return look


def _addressed(request: web.Request, names: frozenset[str]) -> bool:
    hosts = request.headers.getall(hdrs.HOST, [])
    if len(hosts) > 1 or (hosts and host_of(hosts[0]) not in names):
        return False
    try:
        # An absolute request target goes before the Host header (RFC 9112, section 3.2.2).
        target = request.url.raw_host if hosts else None
    except ValueError:
        return False
    return target is None or canonical(target) in names
