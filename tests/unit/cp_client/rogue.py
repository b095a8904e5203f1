"""A server that answers every request as a test wants, on a port of its own, and remembers what it was asked."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import orjson
from aiohttp import web
from yarl import URL

Behaviour = Callable[[web.BaseRequest], Awaitable[web.StreamResponse]]
HTML = b"<!DOCTYPE html><html><body>404: This page could not be found.</body></html>"


@dataclass(frozen=True, slots=True)
class Seen:
    """A request as it came in; ``raw_path`` is the target as sent, encoding and all."""

    method: str
    raw_path: str
    headers: Mapping[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return orjson.loads(self.body)

    @property
    def query(self) -> dict[str, str]:
        return dict(URL(self.raw_path, encoded=True).query)


@dataclass(slots=True)
class Rogue:
    """``behaviour`` answers everything that ``routes`` (by method and path) does not."""

    url: str
    behaviour: Behaviour
    routes: dict[tuple[str, str], Behaviour] = field(default_factory=dict)
    seen: list[Seen] = field(default_factory=list)
    arrived: asyncio.Event = field(default_factory=asyncio.Event)

    async def handle(self, request: web.BaseRequest) -> web.StreamResponse:
        body = await request.read()
        self.seen.append(Seen(request.method, request.raw_path, request.headers.copy(), body))
        self.arrived.set()
        chosen = self.routes.get((request.method, request.path), self.behaviour)
        return await chosen(request)

    def route(self, method: str, path: str, behaviour: Behaviour) -> None:
        self.routes[method, path] = behaviour

    @property
    def asked(self) -> list[str]:
        return [f"{one.method} {one.raw_path.partition('?')[0]}" for one in self.seen]


@contextlib.asynccontextmanager
async def rogue_server(behaviour: Behaviour) -> AsyncIterator[Rogue]:
    """Serve until the block ends; requests still open are cut off then."""
    rogue = Rogue("", behaviour)
    server = web.Server(rogue.handle, handler_cancellation=True)
    runner = web.ServerRunner(server, shutdown_timeout=0.1)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        rogue.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
        yield rogue
    finally:
        await runner.cleanup()


@contextlib.contextmanager
def refusing() -> Iterator[str]:
    """The URL of a port that is ours and that nobody listens on."""
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))
        yield f"http://127.0.0.1:{bound.getsockname()[1]}"


def says(body: Any = b"", status: int = 200, kind: str = "application/json", **headers: str) -> Behaviour:
    """The same answer always; anything but bytes is written as JSON."""
    raw = body if isinstance(body, bytes) else orjson.dumps(body)

    async def answer(_: web.BaseRequest) -> web.StreamResponse:
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        return web.Response(body=raw, status=status, content_type=kind, headers=named)

    return answer


def in_turn(*behaviours: Behaviour) -> Behaviour:
    """One after the other, the last for ever."""
    left = list(behaviours)

    async def answer(request: web.BaseRequest) -> web.StreamResponse:
        return await (left.pop(0) if len(left) > 1 else left[0])(request)

    return answer


async def black_hole(_: web.BaseRequest) -> web.StreamResponse:
    """Takes the request and is never heard of again."""
    await asyncio.Event().wait()
    raise AssertionError


async def slow_body(request: web.BaseRequest) -> web.StreamResponse:
    """Begins an answer and does not end it."""
    response = web.StreamResponse(headers={"Content-Type": "application/json"})
    await response.prepare(request)
    await response.write(b'{"items": [')
    await asyncio.Event().wait()
    return response


async def cut_off(request: web.BaseRequest) -> web.StreamResponse:
    """Promises more bytes than it sends before it hangs up."""
    response = web.StreamResponse(headers={"Content-Type": "application/json", "Content-Length": "4000"})
    await response.prepare(request)
    await response.write(b'{"items": [')
    assert request.transport is not None
    request.transport.close()
    return response


async def hangs_up(request: web.BaseRequest) -> web.StreamResponse:
    """Closes the connection in the place of an answer."""
    assert request.transport is not None
    request.transport.close()
    await asyncio.Event().wait()
    raise AssertionError


async def endless(request: web.BaseRequest) -> web.StreamResponse:
    """An answer that never stops coming; blanks, so that JSON around it would have been fine."""
    response = web.StreamResponse(headers={"Content-Type": "application/json"})
    await response.prepare(request)
    with contextlib.suppress(ConnectionError):
        while True:
            await response.write(b" " * 65536)
    return response
