"""A run's events as Server-Sent Events (WHATWG HTML, section 9.2).

Each event is one frame, ``id`` its seq. A reader that names both ``Last-Event-ID`` and ``?after`` resumes after the
greater: a browser that reconnects repeats the URL it began with, and has read further since.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncGenerator, AsyncIterator, Generator, Sequence
from dataclasses import dataclass, field

import structlog
from aiohttp import hdrs, web

from aitp_playground.api import query
from aitp_playground.api.backend import BACKEND
from aitp_playground.api.contract.operations import EVENT_STREAM, EVENTS, OF_A_RUN, Answer, operation
from aitp_playground.api.documents import Event, StreamEnd
from aitp_playground.api.paths import RUN_ID, run_id_of
from aitp_playground.api.streaming import cut, joined, write
from aitp_playground.errors import Overloaded, RunNotFound
from aitp_playground.store.port import StoredEvent

log = structlog.get_logger(__name__)

TAG = EVENTS
END = b'data: {"type":"stream.end"}\n\n'
HEARTBEAT = b":\n\n"
HEADERS = {
    hdrs.CONTENT_TYPE: EVENT_STREAM,
    hdrs.CACHE_CONTROL: "no-cache",
    "X-Accel-Buffering": "no",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class StreamOptions:
    """``heartbeat``, ``stall`` (how long one piece may wait for a reader) and ``poll`` (how soon a silent leave is
    noticed) are seconds; ``limit`` is the number of open streams."""

    heartbeat: float = 15.0
    stall: float = 120.0
    poll: float = 1.0
    limit: int = 2000


@dataclass(slots=True)
class OpenStreams:
    """The streams of one application, so that they are bounded and end before their services do."""

    options: StreamOptions
    closing: bool = False
    _leases: set[asyncio.Timeout] = field(default_factory=set)

    @property
    def count(self) -> int:
        """How many are open."""
        return len(self._leases)

    @contextlib.asynccontextmanager
    async def admit(self) -> AsyncIterator[None]:
        """Room for one stream. Raises Overloaded without it; TimeoutError inside when the service shuts down."""
        if self.closing or self.count >= self.options.limit:
            raise Overloaded("no room for another event stream", retry_after=5)
        async with asyncio.timeout(None) as lease:
            self._leases.add(lease)
            try:
                yield
            finally:
                self._leases.discard(lease)

    async def close(self, _app: web.Application) -> None:
        """End every stream; runs as ``on_shutdown``, while the services still stand."""
        self.closing = True
        now = asyncio.get_running_loop().time()
        for lease in self._leases:
            lease.reschedule(now)


STREAM_OPTIONS = web.AppKey("stream_options", StreamOptions)
STREAMS = web.AppKey("streams", OpenStreams)


_AFTER = query.Whole("after", "Only events with a greater `seq`.", default=0, low=0, high=query.MAX_SEQ)
_LAST = query.Whole(
    "Last-Event-ID", "The same, as browsers say it; the greater counts.", low=0, high=query.MAX_SEQ, blank=True
)


@operation(
    "streamRunEvents",
    "Stream the events of a run",
    Answer("A frame for each event, `id` its `seq`.", content_type=EVENT_STREAM, frames=Event | StreamEnd),
    path=(RUN_ID,),
    headers=(_LAST,),
    raises=OF_A_RUN,
)
@query.takes(_AFTER)
async def stream_events(request: web.Request) -> web.StreamResponse:
    """Stored events, then live ones, then ``stream.end``."""
    directory, run_id, after = request.app[BACKEND].directory, run_id_of(request), _resume_after(request)
    await directory.row(run_id)
    if request.method == hdrs.METH_HEAD:
        return web.Response(headers=HEADERS)
    return await pumped(request, _frames(directory.stream(run_id, after=after)))


async def _frames(batches: AsyncGenerator[list[StoredEvent]]) -> AsyncGenerator[Generator[bytes]]:
    async with contextlib.aclosing(batches):
        async for batch in batches:
            yield pieces(batch)
        yield joined([END])


async def pumped(request: web.Request, frames: AsyncGenerator[Generator[bytes]]) -> web.StreamResponse:
    """An answer of these frames, each handed over as it comes, with heartbeats in between; ``frames`` is closed."""
    streams = request.app[STREAMS]
    response = web.StreamResponse(headers=HEADERS)
    try:
        async with streams.admit():
            with request.app[BACKEND].metrics.subscriber():
                await response.prepare(request)
                await _pump(request, response, frames, streams.options)
    except (TimeoutError, ConnectionError, RunNotFound):
        # Shutdown, a reader that stalls or has left, a run deleted under its readers.
        if request.transport is not None and request.transport.get_write_buffer_size() > 0:
            cut(request)
    except Exception:
        if not response.prepared:
            raise
        # The status line is gone; without stream.end the reader knows that there is more, and reconnects.
        log.exception("api.stream_cut", path=request.path)
    return response


def _resume_after(request: web.Request) -> int:
    header = request.headers.get("Last-Event-ID", "").strip()
    return max(_LAST.read(header) if header else 0, _AFTER.of(request) or 0)


async def _pump(
    request: web.Request,
    response: web.StreamResponse,
    frames: AsyncGenerator[Generator[bytes]],
    options: StreamOptions,
) -> None:
    loop = asyncio.get_running_loop()
    upcoming = asyncio.create_task(_following(frames))
    quiet_until = loop.time() + options.heartbeat
    try:
        while request.transport is not None:
            patience = min(options.poll, max(0.0, quiet_until - loop.time()))
            done, _ = await asyncio.wait({upcoming}, timeout=patience)
            if done:
                if (frame := upcoming.result()) is None:
                    return
                for piece in frame:
                    await write(response, piece, stall=options.stall)
                upcoming = asyncio.create_task(_following(frames))
            elif loop.time() >= quiet_until:
                await write(response, HEARTBEAT, stall=options.stall)
            else:
                continue
            quiet_until = loop.time() + options.heartbeat
    finally:
        upcoming.cancel()
        (left,) = await asyncio.gather(upcoming, return_exceptions=True)
        # A failed write's traceback keeps these frames until the collector comes: they must not keep any events.
        if isinstance(left, Generator):
            left.close()
        await frames.aclose()


async def _following(frames: AsyncGenerator[Generator[bytes]]) -> Generator[bytes] | None:
    """The next frames, None after the last. In a task of its own, a heartbeat does not interrupt it."""
    return await anext(frames, None)


def pieces(batch: Sequence[StoredEvent]) -> Generator[bytes]:
    """The frames of ``batch``: small ones joined, large ones cut, into pieces of a bounded size."""
    return joined(part for event in batch for part in (b"id: %d\ndata: " % event.seq, event.body, b"\n\n"))


ROUTES = [web.get("/runs/{run_id}/events", stream_events)]
