"""How the service is, in numbers, for people who watch it: what ``GET /metrics`` tells machines."""

from __future__ import annotations

import math
import time
from typing import Annotated, NotRequired

from aiohttp import web
from pydantic import Field
from typing_extensions import TypedDict

from aitp_playground import __version__
from aitp_playground.api.answers import answer
from aitp_playground.api.backend import BACKEND
from aitp_playground.api.contract.operations import Answer, operation
from aitp_playground.api.documents import Seconds
from aitp_playground.api.health import TAG as SERVICE
from aitp_playground.api.health import ControlPlaneState, control_plane_state
from aitp_playground.api.stream import STREAM_OPTIONS, STREAMS
from aitp_playground.observability.fed import Fed

TAG = SERVICE

Number = Annotated[float | None, Field(description="Null when it cannot be told.")]


class StoreState(TypedDict):
    """The run history. `writable` is false after a commit that failed, until one succeeds."""

    writable: bool
    queued_events: Number
    last_commit_seconds: Number


class RunsState(TypedDict):
    """What goes on, and what waits for a place."""

    running: int
    running_limit: int
    pending: int
    pending_limit: int
    agents: Annotated[int, Field(description="Agent processes that are ready.")]
    draining: Annotated[str | None, Field(description="Why no more are taken; null when they are.")]


class StreamsState(TypedDict):
    """Open event streams."""

    open: int
    limit: int


class Reporting(TypedDict):
    """What the Control Plane does not have yet."""

    runs_waiting: int
    lag_seconds: Number


class Status(TypedDict):
    """The service at this moment."""

    version: str
    now: Seconds
    keys: Annotated[bool, Field(description="Whether callers need a key.")]
    store: StoreState
    runs: RunsState
    streams: StreamsState
    control_plane: ControlPlaneState
    reporting: NotRequired[Reporting]
    loop_lag_seconds: Number


@operation("getStatus", "Get how the service is", Answer("How it is.", Status))
async def show_status(request: web.Request) -> web.Response:
    """Nothing is waited for: it is what is known."""
    backend = request.app[BACKEND]

    def read(name: Fed) -> float | None:
        value = backend.metrics.fed(name)
        return value if math.isfinite(value) else None

    def count(name: Fed) -> int:
        return int(read(name) or 0)

    status: Status = {
        "version": __version__,
        "now": time.time(),
        "keys": bool(backend.settings.api_keys),
        "store": {
            "writable": bool(read("store_writable")),
            "queued_events": read("store_queued_events"),
            "last_commit_seconds": read("store_last_commit_seconds"),
        },
        "runs": {
            "running": count("runs_running"),
            "running_limit": count("runs_running_limit"),
            "pending": count("runs_pending"),
            "pending_limit": count("runs_pending_limit"),
            "agents": count("agents_live"),
            "draining": backend.directory.draining,
        },
        "streams": {"open": request.app[STREAMS].count, "limit": request.app[STREAM_OPTIONS].limit},
        "control_plane": control_plane_state(backend.cp),
        "loop_lag_seconds": read("loop_lag_seconds"),
    }
    if backend.cp.enabled:
        status["reporting"] = {
            "runs_waiting": count("cp_ingest_runs_waiting"),
            "lag_seconds": read("cp_ingest_lag_seconds"),
        }
    return answer(status)


ROUTES = [web.get("/status", show_status)]
