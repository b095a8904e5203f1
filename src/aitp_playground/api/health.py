"""Is it alive, would it take work, what can its SDK do."""

from __future__ import annotations

import asyncio
from typing import Annotated, Literal, NotRequired

from aiohttp import web
from pydantic import Field
from typing_extensions import TypedDict

from aitp_playground import sdk
from aitp_playground.api.answers import answer
from aitp_playground.api.backend import BACKEND
from aitp_playground.api.contract.operations import STORE, Answer, Tag, operation
from aitp_playground.cp_client.client import CpClient
from aitp_playground.cp_client.reasons import Reason
from aitp_playground.errors import Overloaded, StoreUnavailable

TAG = Tag("Service", "The service itself: whether it is well, and what it can do.")
PING_SECONDS = 5.0


class Health(TypedDict):
    """The process serves."""

    status: Literal["ok"]


class ControlPlaneState(TypedDict):
    """How it stands with the Control Plane, as far as calls have shown. Without one, `cp_enabled` alone is there."""

    cp_enabled: bool
    breaker: NotRequired[Annotated[Literal["closed", "open"], Field(description="Whether calls are tried.")]]
    cp_error: NotRequired[Annotated[Reason, Field(description="The latest trouble that is not over.")]]


class Readiness(TypedDict):
    """Work is taken."""

    status: Literal["ready"]
    control_plane: ControlPlaneState


class Capabilities(TypedDict):
    """What the protocol SDK can do, by feature."""

    sdk_available: bool
    version: str | None
    features: dict[str, bool]


@operation("getHealth", "Check that the process serves", Answer("It does.", Health))
async def healthz(_request: web.Request) -> web.Response:
    """The process serves; nothing else is asked."""
    return answer({"status": "ok"})


@operation("getReadiness", "Check that work would be taken", Answer("It would.", Readiness), raises=STORE)
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
    return answer({"status": "ready", "control_plane": control_plane_state(cp)})


def control_plane_state(cp: CpClient) -> ControlPlaneState:
    """How it stands with it; nothing is asked."""
    if not cp.enabled:
        return {"cp_enabled": False}
    state: ControlPlaneState = {"cp_enabled": True, "breaker": "open" if cp.state == "open" else "closed"}
    if cp.trouble:
        state["cp_error"] = cp.trouble
    return state


@operation("getCapabilities", "Get what the protocol SDK can do", Answer("What it can do.", Capabilities))
async def capabilities(_request: web.Request) -> web.Response:
    """What the installed SDK exposes, found by looking, by feature."""
    # Importing the SDK reads files, so it happens off the loop.
    return answer(await asyncio.to_thread(sdk.probe))


ROUTES = [web.get("/healthz", healthz), web.get("/readyz", readyz), web.get("/capabilities", capabilities)]
