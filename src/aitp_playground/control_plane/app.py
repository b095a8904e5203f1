"""The application: every resource's routes, behind request ids, switches, error answers and keys."""

from __future__ import annotations

from aiohttp import web
from aiohttp.typedefs import Handler

from aitp_playground.control_plane.console import audit, dashboard, health
from aitp_playground.control_plane.events import routes, stream
from aitp_playground.control_plane.middlewares.answering import erring, identified, slashless, stamp, unmatched
from aitp_playground.control_plane.middlewares.cors import allowing, preflight
from aitp_playground.control_plane.middlewares.hosts import addressed_to
from aitp_playground.control_plane.middlewares.idempotency import once
from aitp_playground.control_plane.middlewares.rate_limits import RateLimits
from aitp_playground.control_plane.misbehaviour import middleware
from aitp_playground.control_plane.projections import projecting
from aitp_playground.control_plane.registry import agents, enrolment
from aitp_playground.control_plane.routing import Route
from aitp_playground.control_plane.service import Background, ControlPlane
from aitp_playground.control_plane.trust import anchors, pinned_keys, revocations
from aitp_playground.control_plane.webhooks import deliveries, subscriptions

RESOURCES = (
    audit,
    dashboard,
    enrolment,
    routes,
    health,
    middleware,
    pinned_keys,
    projecting,
    agents,
    revocations,
    stream,
    anchors,
    subscriptions,
)

ROUTES: tuple[Route, ...] = tuple(route for resource in RESOURCES for route in resource.ROUTES)
BACKGROUND: tuple[Background, ...] = (*agents.BACKGROUND, *deliveries.BACKGROUND)


def build_app(cp: ControlPlane) -> web.Application:
    """The routes of every resource.

    A request passes the look at its host, its id, the switches, the error answers, its key, its handler.
    """
    app = web.Application(
        middlewares=[
            addressed_to(cp.hosts),
            slashless,
            identified(cp),
            preflight(cp.hosts),
            middleware.misbehaving(cp),
            erring,
            unmatched(cp),
        ]
    )
    app.on_response_prepare.extend([stamp, allowing(cp.hosts)])

    async def close_streams(_app: web.Application) -> None:
        cp.closing.set()

    app.on_shutdown.append(close_streams)
    limits = RateLimits(lambda: cp.clock()) if cp.options.rate_limits else None
    # Paths that are equal must follow each other to become one resource, which then knows its other methods: 405.
    for route in sorted(ROUTES, key=lambda route: route.path):
        handler = _guarded(cp, route, limits)
        if route.method == "GET":
            app.router.add_get(route.path, handler, allow_head=True)
        else:
            app.router.add_route(route.method, route.path, handler)
    return app


def _guarded(cp: ControlPlane, route: Route, limits: RateLimits | None) -> Handler:
    async def answered(request: web.Request) -> web.StreamResponse:
        return await route.handler(request, cp)

    async def handle(request: web.Request) -> web.StreamResponse:
        if route.auth == "key":
            cp.keys.check(request)
        if limits is not None:
            limits.check(request)
        if route.idempotent:
            return await once(request, cp, f"{route.method} {route.path}", answered)
        return await answered(request)

    return handle
