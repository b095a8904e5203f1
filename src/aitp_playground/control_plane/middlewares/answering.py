"""The middlewares: canonical paths, request ids, what failures look like, addresses nobody serves."""

from __future__ import annotations

import sqlite3
import uuid

import structlog
from aiohttp import web
from aiohttp.typedefs import Handler, Middleware

from aitp_playground.control_plane.service import ControlPlane
from aitp_playground.control_plane.wire.answers import REQUEST_ID, refusal
from aitp_playground.control_plane.wire.errors import Broken, Refused

_MAX_REQUEST_ID = 255
_NOT_FOUND = "<!DOCTYPE html><html><head><title>404</title></head><body><h1>404</h1>Not found.</body></html>"

log = structlog.get_logger(__name__)


@web.middleware
async def slashless(request: web.Request, handler: Handler) -> web.StreamResponse:
    """308 from a path with a trailing slash to the one without, whatever the method; nobody's key is asked for."""
    path = request.rel_url.raw_path
    if len(path) > 1 and path.endswith("/"):
        # One slash at the front: two would send the client to another host.
        target = "/" + path.strip("/")
        query = request.rel_url.raw_query_string
        return web.Response(status=308, headers={"Location": f"{target}?{query}" if query else target})
    return await handler(request)


def identified(cp: ControlPlane) -> Middleware:
    """Give each request its id (its own, if it brings one) and count how it was answered."""

    @web.middleware
    async def identify(request: web.Request, handler: Handler) -> web.StreamResponse:
        if not request.path.startswith("/.well-known/"):
            brought = request.headers.get("X-Request-Id", "")
            usable = 0 < len(brought) <= _MAX_REQUEST_ID and brought.isprintable()
            request[REQUEST_ID] = brought if usable else f"cp-{uuid.uuid4()}"
        response = await handler(request)
        # A method that is nobody's comes with no resource: neither label is what a stranger wrote.
        resource = request.match_info.route.resource
        method, route = ("other", "unmatched") if resource is None else (request.method, resource.canonical)
        cp.counters.request(method, route, response.status)
        return response

    return identify


async def stamp(request: web.Request, response: web.StreamResponse) -> None:
    """Just before the headers go out, those of streams included: the request's id."""
    if (request_id := request.get(REQUEST_ID)) is not None:
        response.headers["X-Request-Id"] = request_id


@web.middleware
async def erring(request: web.Request, handler: Handler) -> web.StreamResponse:
    """What a refusal says as JSON; an empty 500 for all else, without so much as a content type."""
    try:
        return await handler(request)
    except Refused as refused:
        return refusal(refused)
    except web.HTTPException:
        raise
    except (Broken, sqlite3.Error, UnicodeEncodeError, OverflowError) as failure:
        log.warning("control_plane.broken", method=request.method, path=request.path, error=str(failure))
    except (ConnectionError, web.RequestPayloadError) as failure:
        log.info("control_plane.request_broke_off", method=request.method, path=request.path, error=str(failure))
    except Exception:
        log.exception("control_plane.failed", method=request.method, path=request.path)
    response = web.Response(status=500)
    response.headers.popall("Content-Type", None)
    return response


def unmatched(cp: ControlPlane) -> Middleware:
    """Addresses nobody serves: below ``/api`` the key comes first; then 405 with no body, or a 404 page."""

    @web.middleware
    async def look(request: web.Request, handler: Handler) -> web.StreamResponse:
        failure = request.match_info.http_exception
        if failure is None:
            return await handler(request)
        if request.path.startswith("/api/") and request.path not in _OPEN:
            cp.keys.check(request)
        if isinstance(failure, web.HTTPMethodNotAllowed):
            return web.Response(status=405, headers={"Allow": ", ".join(sorted(failure.allowed_methods))})
        return web.Response(status=404, text=_NOT_FOUND, content_type="text/html")

    return look


#: Known paths whose other methods nobody guards.
_OPEN = frozenset({"/api/health", "/api/readyz", "/api/metrics", "/api/registry/enroll"})
