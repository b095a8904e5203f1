"""What the middlewares need to know about the route that a request matched."""

from __future__ import annotations

from aiohttp import web

UNMATCHED = "unmatched"


def template(request: web.Request) -> str:
    """The route with its placeholders (``/runs/{run_id}``), a bounded set; ``unmatched`` when nothing matched."""
    resource = request.match_info.route.resource
    return UNMATCHED if resource is None else resource.canonical


async def template_of_path(request: web.Request) -> str:
    """The same, also for a path that is there and has no such method."""
    if isinstance(request.match_info.http_exception, web.HTTPMethodNotAllowed):
        for resource in request.app.router.resources():
            _, methods = await resource.resolve(request)
            if methods:
                return resource.canonical
    return template(request)
