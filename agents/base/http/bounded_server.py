"""An aiohttp application behind bounds: on the time of a request's head, on idleness, and on the number of connections.

aiohttp limits no head and no number, and asyncio's accept loop asks again and again when descriptors run out. Here the
listening socket is read by :class:`BoundedServer` itself, which makes a :class:`Connection` of what it accepts:

- A head is due from the accept on, and later from its first byte. One that is not whole in time is answered with 408;
  a connection that never said anything is closed without a word.
- At the limit (connections, or a share of the process's open files, whoever holds them) the longest idle connection is
  closed, and nothing is accepted until one has gone; clients meanwhile wait in the kernel's backlog.
- What is not HTTP is answered as JSON, without the name of the server software and without quoting what was sent.

It imports aiohttp and nothing of this project.
"""

from __future__ import annotations

import asyncio
import errno
import logging
import os
import resource
import socket
from collections.abc import Callable
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any

from aiohttp import EMPTY_PAYLOAD, http_exceptions, web

_log = logging.getLogger(__name__)
_AT_ONCE = 32  # connections accepted before others on the loop have their turn
_PAUSE = 0.25  # seconds until accepting is tried again when no connection has gone
_SILENCE = 60.0  # seconds between two log lines of a kind
_FAREWELL = 1.0  # seconds for a refused client to hang up: closing at once could reset its answer away
_SHORTAGE = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM})
#: What may be wrong with a head; not a word of it is quoted, for tokens travel in heads.
_FAULTS = (
    (http_exceptions.BadHttpMethod, "the method is not one of HTTP"),
    (http_exceptions.LineTooLong, "the address or a header field is too long: at most {1} bytes"),
    (http_exceptions.InvalidURLError, "the address is not one of HTTP"),
)
Refusal = Callable[[int, str, str], str]  # the JSON text of a refusal, from its status, a code and a sentence


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """Seconds for a head, between requests, and for a client to go on reading its answer (None: for ever); the most
    connections at once; the share of open files at which none is accepted any more."""

    head_secs: float = 10.0
    idle_secs: float = 75.0
    stalled_secs: float | None = 30.0
    connections: int = 1_000
    share: float = 0.8


class Connection(web.RequestHandler):
    """aiohttp's connection, with the clocks that it lacks."""

    __slots__ = ("_bounds", "_busy", "_clock", "_deaf", "_gone", "_next_began", "_payload", "_stalled", "_tail")

    def __init__(self, bounds: BoundedServer, server: web.Server, **options: Any) -> None:
        loop = asyncio.get_running_loop()
        super().__init__(server, loop=loop, keepalive_timeout=bounds.limits.idle_secs, access_log=None, **options)  # type: ignore[arg-type]
        self._bounds = bounds
        self._busy = self._deaf = self._next_began = False
        self._payload: Any = None
        self._tail = b""
        self._clock: asyncio.TimerHandle | None = None
        self._stalled: asyncio.TimerHandle | None = None
        self._gone: asyncio.Future[None] = loop.create_future()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Idle from now on, and the first head is due."""
        self._bounds.open.add(self)
        self._bounds.idle[self] = None
        super().connection_made(transport)
        self._await_head()

    def connection_lost(self, exc: BaseException | None) -> None:
        """Stop the clocks and make room for another."""
        _stop(self._clock)
        _stop(self._stalled)
        self._gone.set_result(None)
        self._bounds.left(self)
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """The first byte after a request is the next head's. (One in the packet that ends a body does not show.)"""
        if self._deaf:
            return
        if data:
            self._tail = (self._tail + data[-4:])[-4:]
            if self._payload is None or self._payload.is_eof():
                self._next_began = True
                self._await_head()
        super().data_received(data)

    def request_began(self, payload: Any) -> None:
        """A head is whole and its request is handled next; ``payload`` is where its body arrives."""
        self._payload, self._busy = payload, True
        self._next_began = payload is EMPTY_PAYLOAD and self._tail != b"\r\n\r\n"
        _stop(self._clock)
        self._clock = None
        self._bounds.idle.pop(self, None)

    async def finish_response(
        self, request: web.BaseRequest, resp: web.StreamResponse, start_time: float | None
    ) -> tuple[web.StreamResponse, bool]:
        """Send the answer; the connection is idle afterwards. aiohttp's own errors leave as JSON."""
        if isinstance(resp, web.HTTPException) and resp.status >= HTTPStatus.BAD_REQUEST:
            resp = Refused(resp.status, "invalid_request", resp.reason)
        if isinstance(resp, Refused):
            self._turn_away(resp)
            self.close()
            await asyncio.wait((self._gone,), timeout=_FAREWELL)
            return resp, True
        outcome = await super().finish_response(request, resp, start_time)
        self._busy = False
        if not self._gone.done():
            self._bounds.idle[self] = None
            if self._next_began:
                self._await_head()
        return outcome

    def handle_error(
        self, request: web.BaseRequest, status: int = 500, exc: BaseException | None = None, message: str | None = None
    ) -> web.StreamResponse:
        """The answer to what is not HTTP, or to an error that the application let through. Quotes neither."""
        del message
        if request.writer.output_size > 0:
            raise ConnectionError("the answer was under way")
        if status >= HTTPStatus.INTERNAL_SERVER_ERROR:
            self.log_exception("a request failed", exc_info=exc)
            return Refused(status, "internal_error", "the request could not be answered; the log says why")
        self._bounds.note("not HTTP", f"not HTTP: {type(exc).__name__}")
        said = (fault.format(*getattr(exc, "args", ())) for kind, fault in _FAULTS if isinstance(exc, kind))
        return Refused(status, "invalid_request", next(said, "the head of the request is not HTTP/1.1"))

    def pause_writing(self) -> None:
        """The client leaves its answer unread."""
        super().pause_writing()
        if (secs := self._bounds.limits.stalled_secs) is not None:
            self._stalled = self._loop.call_later(secs, self.drop)

    def resume_writing(self) -> None:
        """It reads again."""
        super().resume_writing()
        _stop(self._stalled)

    def drop(self) -> None:
        """Close at once, whatever is unsent."""
        if self.transport is not None:
            self.transport.abort()

    def _await_head(self) -> None:
        if self._clock is None and not self._busy:
            self._clock = self._loop.call_later(self._bounds.limits.head_secs, self._head_overdue)

    def _head_overdue(self) -> None:
        if self._tail:
            self._turn_away(Refused(408, "request_timeout", "the head of the request did not arrive in time"))
        self._clock = self._loop.call_later(_FAREWELL if self._tail else 0, self.force_close)

    def _turn_away(self, refused: Refused) -> None:
        """Written by hand: aiohttp would put its name and version into the head."""
        if self.transport is None:
            return
        body = self._bounds.refusal(refused.status, refused.code, refused.message).encode()
        head = f"HTTP/1.1 {refused.status} {refused.reason}\r\nContent-Type: application/json; charset=utf-8\r\n"
        self.transport.write(f"{head}Content-Length: {len(body)}\r\nConnection: close\r\n\r\n".encode() + body)
        self.transport.write_eof()
        self._deaf = True


class Refused(web.Response):
    """An answer that goes out by hand and ends the connection."""

    def __init__(self, status: int, code: str, message: str) -> None:
        super().__init__(status=status)
        self.code, self.message = code, message


class BoundedServer:
    """Accepts for an application. ``server`` is an ``AppRunner``'s, once it is set up; the runner gets no site.

    ``refusal`` writes what :class:`Connection` itself answers; ``options`` go to aiohttp's request handler.
    """

    def __init__(self, server: web.Server, refusal: Refusal, limits: Limits | None = None, **options: Any) -> None:
        self.limits = limits or Limits()
        self.refusal = refusal
        self.open: set[Connection] = set()
        self.idle: dict[Connection, None] = {}  # the longest idle one first
        self._attaching: set[asyncio.Task[None]] = set()
        self._listeners: list[socket.socket] = []
        self._loop = asyncio.get_running_loop()
        self._retry: asyncio.TimerHandle | None = None
        self._said: dict[str, float] = {}
        self._server, self._make_request, self._options = server, server.request_factory, options
        server.request_factory = self._request

    def listen(self, listener: socket.socket) -> None:
        """Accept from a listening socket, which is this object's from now on."""
        listener.setblocking(False)
        self._listeners.append(listener)
        self._loop.add_reader(listener, self._accept, listener)

    def stop(self) -> None:
        """Close the listening sockets. Open connections are the runner's to end (``cleanup``). Idempotent."""
        _stop(self._retry)
        self._retry = None
        while self._listeners:
            listener = self._listeners.pop()
            self._loop.remove_reader(listener)
            listener.close()
        for task in self._attaching:
            task.cancel()

    def left(self, connection: Connection) -> None:
        """A connection is over; its descriptor is free in the next turn of the loop."""
        self.open.discard(connection)
        self.idle.pop(connection, None)
        if self._retry is not None:
            self._loop.call_soon(self._resume)

    def note(self, kind: str, text: str) -> None:
        """Log a warning, at most one a minute of its kind: strangers cause these."""
        now = self._loop.time()
        if now >= self._said.get(kind, now):
            self._said[kind] = now + _SILENCE
            _log.warning("%s", text)

    def _request(self, message: Any, payload: Any, protocol: Any, writer: Any, task: Any) -> web.BaseRequest:
        protocol.request_began(payload)
        return self._make_request(message, payload, protocol, writer, task)

    def _accept(self, listener: socket.socket) -> None:
        if self._crowded(listener):  # and somebody is waiting: the loop calls for nothing less
            return self._make_room()
        for _ in range(_AT_ONCE):
            try:
                accepted, _address = listener.accept()
            except BlockingIOError:
                return None
            except OSError as failure:
                if failure.errno in _SHORTAGE:
                    return self._make_room()
                continue  # about that one connection: accept(2)
            task = self._loop.create_task(self._attach(accepted))
            self._attaching.add(task)
            task.add_done_callback(self._attaching.discard)
            if self._crowded(listener):
                break
        return None

    async def _attach(self, accepted: socket.socket) -> None:
        try:
            accepted.setblocking(False)
            await self._loop.connect_accepted_socket(lambda: Connection(self, self._server, **self._options), accepted)
        except OSError as failure:
            accepted.close()
            self.note("lost", f"a connection could not be served: {failure.strerror}")
        except BaseException:
            accepted.close()
            raise

    def _crowded(self, listener: socket.socket) -> bool:
        if len(self.open) + len(self._attaching) >= self.limits.connections:
            return True
        try:
            # The lowest free number: all below it are in use. Counting them would cost more with each.
            lowest = os.dup(listener.fileno())
        except OSError:
            return True
        os.close(lowest)
        most = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
        return most != resource.RLIM_INFINITY and lowest >= self.limits.share * most

    def _make_room(self) -> None:
        """Close the longest idle connection, and accept nothing until one has gone."""
        self.note("crowded", f"accepting pauses: {len(self.open)} connections are open, {len(self.idle)} of them idle")
        if (longest := next(iter(self.idle), None)) is not None:
            longest.drop()
        if self._retry is None:
            for listener in self._listeners:
                self._loop.remove_reader(listener)
            self._retry = self._loop.call_later(_PAUSE, self._resume)

    def _resume(self) -> None:
        _stop(self._retry)
        self._retry = None
        for listener in self._listeners:
            self._loop.add_reader(listener, self._accept, listener)


def _stop(clock: asyncio.TimerHandle | None) -> None:
    if clock is not None:
        clock.cancel()
