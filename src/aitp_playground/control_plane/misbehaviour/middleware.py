"""What a switch does to a request on the wire, and the admin routes that set switches."""

from __future__ import annotations

import asyncio
from typing import Any, Final

import structlog
from aiohttp import web
from aiohttp.typedefs import Handler, Middleware

from aitp_playground.control_plane.misbehaviour.forgery import forged
from aitp_playground.control_plane.misbehaviour.switches import Switch, SwitchInvalid, parsed
from aitp_playground.control_plane.routing import WELL_KNOWN, Route
from aitp_playground.control_plane.service import ControlPlane
from aitp_playground.control_plane.wire.answers import answer, refusal
from aitp_playground.control_plane.wire.errors import Refused
from aitp_playground.control_plane.wire.requests import body, take_body

ADMIN: Final = "/dev/switches"
LISTS: Final = frozenset(f"{prefix}/aitp-revocation-list" for prefix in WELL_KNOWN)
PAGE: Final = (
    "<!DOCTYPE html><html><head><title>Gateway</title></head><body><h1>Not what you asked for</h1></body></html>"
)

#: What proxies write into their logs for a request whose connection they closed without a word.
NO_ANSWER: Final = 444

log = structlog.get_logger(__name__)


def switch_on(cp: ControlPlane) -> None:
    """Set the switches of the start-up options. Raises ``SwitchInvalid``."""
    for text in cp.options.switches:
        cp.switches.set(parsed(text))
    _sync(cp)


def misbehaving(cp: ControlPlane) -> Middleware:
    """The middleware that spends switches; the routes under ``/dev/`` are never met by one."""

    @web.middleware
    async def misbehave(request: web.Request, handler: Handler) -> web.StreamResponse:
        if request.path.startswith("/dev/"):
            return await handler(request)

        def taken(fault: str) -> Switch | None:
            return cp.switches.take(fault, request.method, request.path)

        if (switch := taken("delay")) is not None:
            try:
                await take_body(request)
            except Refused as refused:
                return refusal(refused)
            await asyncio.sleep(switch.seconds or 0)
        if taken("black_hole") is not None:
            await cp.switches.cleared(lambda: _gone(request))
            return _cut(request)
        if (switch := taken("status")) is not None:
            return _status(switch.status or 500)
        if (switch := taken("html")) is not None:
            return web.Response(text=PAGE, status=switch.status or 200, content_type="text/html")
        response = await _answered(cp, request, handler)
        if taken("drop") is not None:
            return _cut(request)
        if isinstance(response, web.Response) and taken("truncate") is not None:
            return await _truncated(request, response)
        return response

    return misbehave


async def _answered(cp: ControlPlane, request: web.Request, handler: Handler) -> web.StreamResponse:
    response = await handler(request)
    if request.path not in LISTS or not isinstance(response, web.Response) or response.status != 200:
        return response
    switch = cp.switches.take("forged_list")
    if switch is None:
        return response
    text = forged(switch.how or "tampered", str(response.text), cp.identity)
    return web.Response(text=text, headers={"Cache-Control": "no-store"}, content_type="application/json")


def _gone(request: web.Request) -> bool:
    return request.transport is None or request.transport.is_closing()


def _cut(request: web.Request) -> web.Response:
    """No byte of an answer: what is returned here finds the connection closed, and shows in the metrics alone."""
    if request.transport is not None:
        request.transport.abort()
    return web.Response(status=NO_ANSWER)


async def _truncated(request: web.Request, response: web.Response) -> web.StreamResponse:
    """The real status and headers, half of the body that they announce, then the end of the connection."""
    whole = response.body if isinstance(response.body, bytes) else b""
    half = web.StreamResponse(status=response.status, headers=response.headers)
    half.content_length = max(len(whole), 1)
    await half.prepare(request)
    await half.write(whole[: len(whole) // 2])
    if request.transport is not None:
        request.transport.close()
    return half


def _status(status: int) -> web.Response:
    """Refusals in the Control Plane's own form; its 500s are empty."""
    if status == 429:
        return answer({"error": "Too many requests", "code": "RATE_LIMITED"}, status, {"Retry-After": "1"})
    if status == 401:
        return answer({"error": "Unauthorized", "code": "INVALID_API_KEY"}, status)
    if 400 <= status < 500:
        return answer({"error": "switched on", "code": "SWITCHED"}, status)
    return web.Response(status=status)


# -- routes -----------------------------------------------------------------------------------------------------------


async def set_switch(request: web.Request, cp: ControlPlane) -> web.Response:
    """``POST /dev/switches``: 201 and the switch; 400 ``SWITCH_INVALID``."""
    wanted = await body(request)
    try:
        switch = cp.switches.set(wanted if isinstance(wanted, dict) else {})
    except SwitchInvalid as wrong:
        raise Refused(400, str(wrong), "SWITCH_INVALID") from None
    _sync(cp)
    log.info("control_plane.switch_on", **switch.shown())
    return answer(switch.shown(), 201)


async def list_switches(_: web.Request, cp: ControlPlane) -> web.Response:
    """``GET /dev/switches``: those that are on, with the calls they have left."""
    return answer(_shown(cp))


async def clear_switches(_: web.Request, cp: ControlPlane) -> web.Response:
    """``DELETE /dev/switches``: all off; requests in a black hole are let go, unanswered."""
    return _cleared(cp, None)


async def clear_switch(request: web.Request, cp: ControlPlane) -> web.Response:
    """``DELETE /dev/switches/{id}``: one off; ``{"cleared": 0}`` when it was off already."""
    return _cleared(cp, request.match_info["id"])


def _cleared(cp: ControlPlane, switch_id: str | None) -> web.Response:
    cleared = cp.switches.clear(switch_id)
    _sync(cp)
    log.info("control_plane.switches_off", cleared=cleared)
    return answer({"cleared": cleared})


def _shown(cp: ControlPlane) -> dict[str, Any]:
    return {"switches": [switch.shown() for switch in cp.switches]}


def _sync(cp: ControlPlane) -> None:
    cp.db.lost = cp.switches.on("database_lost")
    cp.db.hold_writes(cp.switches.on("inserts_blocked"))
    cp.keys.misconfigured = cp.switches.on("no_keys")


ROUTES: tuple[Route, ...] = (
    Route("GET", ADMIN, list_switches),
    Route("POST", ADMIN, set_switch),
    Route("DELETE", ADMIN, clear_switches),
    Route("DELETE", ADMIN + "/{id}", clear_switch),
)
