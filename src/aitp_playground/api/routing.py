"""What the middlewares need to know about the route that a request matched."""

from __future__ import annotations

from aiohttp import web

UNMATCHED = "unmatched"


def template(request: web.Request) -> str:
    """The route with its placeholders (``/runs/{run_id}``), a bounded set; ``unmatched`` when nothing matched."""
    resource = request.match_info.route.resource
    return UNMATCHED if resource is None else resource.canonical
