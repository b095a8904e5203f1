"""Is it alive, would it take work, what can its SDK do."""

from __future__ import annotations

import asyncio

from aiohttp import web

from aitp_playground import sdk
from aitp_playground.api.answers import answer
from aitp_playground.api.backend import BACKEND
from aitp_playground.errors import Overloaded, StoreUnavailable

PING_SECONDS = 5.0


async def healthz(_request: web.Request) -> web.Response:
    """The process serves; nothing else is asked."""
    return answer({"status": "ok"})


async def readyz(request: web.Request) -> web.Response:
    """503 with the reason while draining or without a store. The Control Plane is told about and not asked.

    ``control_plane``: ``cp_enabled``; with one its circuit ``breaker`` (``closed``, ``open``); and as ``cp_error`` the
    class of its latest trouble that is not over.
    """
    directory, cp = request.app[BACKEND].directory, request.app[BACKEND].cp
    if reason := directory.draining:
        raise Overloaded(f"not ready: {reason}", retry_after=5)
    try:
        async with asyncio.timeout(PING_SECONDS):
            await directory.ping()
    except TimeoutError:
        raise StoreUnavailable("not ready: the store does not answer", retry_after=5) from None
    state = {"breaker": cp.state, **({"cp_error": cp.trouble} if cp.trouble else {})} if cp.enabled else {}
    return answer({"status": "ready", "control_plane": {"cp_enabled": cp.enabled, **state}})


async def capabilities(_request: web.Request) -> web.Response:
    """Importing the SDK reads files, so it happens off the loop."""
    return answer(await asyncio.to_thread(sdk.probe))


ROUTES = [web.get("/healthz", healthz), web.get("/readyz", readyz), web.get("/capabilities", capabilities)]
