"""Stored events as Server-Sent Events (WHATWG HTML, section 9.2), without ids: nobody can resume."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass

import orjson
from aiohttp import hdrs, web

from aitp_playground.control_plane.events.bus import Frame
from aitp_playground.control_plane.routing import Route
from aitp_playground.control_plane.service import ControlPlane
from aitp_playground.control_plane.wire.errors import Refused
from aitp_playground.control_plane.wire.requests import query

HEARTBEAT_SECONDS = 15.0
#: How long one frame may wait for a reader.
STALL_SECONDS = 120.0
MAX_STREAMS = 500
#: Events that wait for one reader; who falls behind further is cut off and reads the history.
MAX_WAITING = 10_000

_HEADERS = {hdrs.CONTENT_TYPE: "text/event-stream", hdrs.CACHE_CONTROL: "no-cache, no-transform"}


@dataclass(frozen=True, slots=True)
class _Wanted:
    type: str | None
    run_id: str | None
    aid: str | None

    def __call__(self, event: Frame) -> bool:
        return (
            (self.type is None or event["type"] == self.type)
            and (self.run_id is None or event.get("runId") == self.run_id)
            and (self.aid is None or self.aid in (event.get("aidA"), event.get("aidB")))
        )


class _Reader:
    """One open stream. The headers leave with the first frame or heartbeat, as those of a Control Plane do."""

    def __init__(self, request: web.Request, cp: ControlPlane) -> None:
        self._request = request
        self._response = web.StreamResponse(headers=_HEADERS)
        self._heartbeat = HEARTBEAT_SECONDS * cp.options.time_scale
        self._waiting: asyncio.Queue[Frame | None] = asyncio.Queue()
        self._wanted = _Wanted(query(request, "type"), query(request, "runId", "run_id"), query(request, "aid"))

    def offer(self, event: Frame) -> None:
        if self._wanted(event) and (waiting := self._waiting.qsize()) <= MAX_WAITING:
            self._waiting.put_nowait(event if waiting < MAX_WAITING else None)

    def end(self) -> None:
        self._waiting.put_nowait(None)

    async def run(self) -> web.StreamResponse:
        try:
            while (frame := await self._next()) is not None:
                if not self._response.prepared:
                    await self._response.prepare(self._request)
                async with asyncio.timeout(STALL_SECONDS):
                    await self._response.write(frame)
        except (ConnectionError, TimeoutError):
            if self._request.transport is not None:
                # The end of a response is not written either to a reader that does not read.
                self._request.transport.abort()
        return self._response

    async def _next(self) -> bytes | None:
        try:
            async with asyncio.timeout(self._heartbeat):
                event = await self._waiting.get()
        except TimeoutError:
            return b": heartbeat\n\n"
        return None if event is None else b"data: %b\n\n" % orjson.dumps(event)


async def stream(request: web.Request, cp: ControlPlane) -> web.StreamResponse:
    """``GET /api/events/stream``: what matches among the last 100 events of everyone, then what is stored from now on.

    Raises 503 ``SSE_CAPACITY`` when too many streams are open.
    """
    if request.method == hdrs.METH_HEAD:
        return web.Response(headers=_HEADERS)
    if cp.bus.listeners >= MAX_STREAMS:
        raise Refused(503, "too many open streams", "SSE_CAPACITY")
    reader = _Reader(request, cp)
    for event in cp.bus.backlog:
        reader.offer(event)
    unsubscribe = cp.bus.subscribe(reader.offer)
    closing = asyncio.create_task(_end_with(cp.closing, reader))
    try:
        return await reader.run()
    finally:
        unsubscribe()
        closing.cancel()
        await asyncio.gather(closing, return_exceptions=True)


async def _end_with(closing: asyncio.Event, reader: _Reader) -> None:
    await closing.wait()
    reader.end()


ROUTES = (Route("GET", "/api/events/stream", stream),)
