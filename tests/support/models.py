"""A small server that speaks, or misspeaks, as a provider of language models does: OpenAI's dialect and Anthropic's."""

from __future__ import annotations

import asyncio
import contextlib
import gzip
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any

from aiohttp import web
from aiohttp.test_utils import TestServer

PROVIDERS = ("openai", "anthropic")
PATHS = {"openai": "/v1/chat/completions", "anthropic": "/v1/messages"}
#: How each says that an answer is whole, that it was cut at the limit, and that it refuses.
STOPPED = {"openai": "stop", "anthropic": "end_turn"}
LIMITED = {"openai": "length", "anthropic": "max_tokens"}

Answer = Callable[[web.Request], Awaitable[web.StreamResponse]]


@dataclass(frozen=True)
class Asked:
    """One request, as it came."""

    path: str
    headers: dict[str, str]
    body: dict[str, Any]

    @property
    def provider(self) -> str:
        return next(name for name, path in PATHS.items() if path == self.path)

    @property
    def system(self) -> str:
        text: str = self.body["system"] if self.provider == "anthropic" else self.body["messages"][0]["content"]
        return text

    @property
    def prompt(self) -> str:
        text: str = self.body["messages"][-1]["content"]
        return text


@dataclass
class Models:
    """Answers with the next of ``answers``, then with ``always``; keeps what it was asked."""

    always: Answer | None = None
    answers: list[Answer] = field(default_factory=list)
    asked: list[Asked] = field(default_factory=list)
    #: The connections by which it was asked.
    peers: set[Any] = field(default_factory=set)
    url: str = ""
    reached: asyncio.Event = field(default_factory=asyncio.Event)
    #: Lets what :func:`hangs` holds go.
    released: asyncio.Event = field(default_factory=asyncio.Event)

    async def handle(self, request: web.Request) -> web.StreamResponse:
        self.asked.append(Asked(request.path, dict(request.headers), await request.json()))
        assert request.transport is not None
        self.peers.add(request.transport.get_extra_info("peername"))
        self.reached.set()
        answer = self.answers.pop(0) if self.answers else self.always
        assert answer is not None, "asked more often than expected"
        return await answer(request)

    def hangs(self) -> Answer:
        """No answer until the end of the test."""

        async def answer(_request: web.Request) -> web.StreamResponse:
            await self.released.wait()
            return web.Response()

        return answer

    def endless(self, chunk: bytes, *, status: int = 200, **headers: str) -> Answer:
        """A body without end."""

        async def answer(request: web.Request) -> web.StreamResponse:
            response = web.StreamResponse(status=status, headers={"Content-Type": "application/json", **headers})
            await response.prepare(request)
            with contextlib.suppress(ConnectionError):
                while not self.released.is_set():
                    await response.write(chunk)
            return response

        return answer


@contextlib.asynccontextmanager
async def serving_models(always: Answer | None = None) -> AsyncIterator[Models]:
    """The server, on a free port of loopback. ``url`` ends with ``/v1``."""
    models = Models(always)
    app = web.Application()
    app.router.add_post("/{path:.*}", models.handle)
    async with TestServer(app) as server:
        models.url = str(server.make_url("/v1"))
        try:
            yield models
        finally:
            models.released.set()


def body_of(provider: str, text: Any, stop: str | None = None, **message: Any) -> dict[str, Any]:
    """A whole answer of the provider, as its documentation shows it."""
    if provider == "openai":
        choice = {"index": 0, "message": {"role": "assistant", "content": text, **message}}
        return {"id": "c-1", "object": "chat.completion", "choices": [choice | {"finish_reason": stop or "stop"}]}
    blocks = [{"type": "thinking", "thinking": "…", "signature": "s"}, {"type": "text", "text": text}]
    return {"id": "m-1", "type": "message", "role": "assistant", "content": blocks, "stop_reason": stop or "end_turn"}


def says(body: Any, status: int = 200, **headers: str) -> Answer:
    """A body (JSON, or text or bytes as they are) with a status and headers; ``retry_after`` is Retry-After."""
    raw = body if isinstance(body, bytes) else body.encode() if isinstance(body, str) else json.dumps(body).encode()
    named = {name.replace("_", "-"): value for name, value in headers.items()}

    async def answer(_request: web.Request) -> web.StreamResponse:
        return web.Response(body=raw, status=status, headers={"Content-Type": "application/json", **named})

    return answer


def speaks(text: str) -> Answer:
    """A good answer in the dialect in which it is asked."""

    async def answer(request: web.Request) -> web.StreamResponse:
        provider = next(name for name, path in PATHS.items() if path == request.path)
        return web.json_response(body_of(provider, text))

    return answer


def packed(body: Any) -> Answer:
    """The body in gzip, whatever was asked for."""
    return says(gzip.compress(json.dumps(body).encode()), content_encoding="gzip")


def after_interim_ones(number: int, body: Any) -> Answer:
    """A good answer, after so many of status 103 (RFC 8297)."""

    async def answer(request: web.Request) -> web.StreamResponse:
        assert request.transport is not None
        for _ in range(number // 1000):
            request.transport.write(b"HTTP/1.1 103 E\r\n\r\n" * 1000)
        return web.json_response(body)

    return answer


async def hangs_up(request: web.Request) -> web.StreamResponse:
    """The connection ends in the middle of the body."""
    response = web.StreamResponse(headers={"Content-Type": "application/json", "Content-Length": "1000"})
    await response.prepare(request)
    await response.write(b'{"choices": [')
    assert request.transport is not None
    request.transport.close()
    return response
