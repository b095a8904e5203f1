"""A real server on a free port over a run directory in memory."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web
from aiohttp.test_utils import TestClient, TestServer
from pydantic import SecretStr
from pytest_aiohttp import AiohttpClient

from aitp_playground.api import Backend, StreamOptions, application
from aitp_playground.config import Settings
from aitp_playground.cp_client import CpClient
from aitp_playground.net import client_session
from aitp_playground.observability.metrics import Metrics
from aitp_playground.runs.chronicle import Chronicle
from aitp_playground.scenarios.catalog import Catalog
from aitp_playground.store.sqlite import SqliteRunStore

from .memory import MemoryDirectory

Client = TestClient[web.Request, None]
Connect = Callable[..., Awaitable[Client]]

#: Heart beats too slow to be met by chance; leaving readers noticed quickly.
CALM = StreamOptions(heartbeat=60, poll=0.01)


def make_settings(**overrides: Any) -> Settings:
    keys = tuple(SecretStr(key) for key in overrides.pop("keys", ()))
    return Settings(_env_file=None, **{"host": "127.0.0.1", "playground_api_keys": keys, **overrides})


class PlainServer(TestServer):
    """Serves as in production: a handler whose client has left is not cancelled for it, but has to notice."""

    async def _make_runner(self, **kwargs: Any) -> web.AppRunner:
        return web.AppRunner(self.app, **{**kwargs, "handler_cancellation": False, "auto_decompress": False})


@pytest.fixture
async def directory() -> MemoryDirectory:
    return MemoryDirectory()


@pytest.fixture
def metrics() -> Metrics:
    return Metrics()


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[SqliteRunStore]:
    """Where the stream of everything comes from."""
    opened = SqliteRunStore(":memory:", state_dir=tmp_path)
    await opened.open()
    yield opened
    await opened.close()


@pytest.fixture
async def connect(
    aiohttp_client: AiohttpClient, directory: MemoryDirectory, metrics: Metrics, store: SqliteRunStore
) -> AsyncIterator[Connect]:
    """Start an application with these settings; ``routes`` and ``on_cleanup`` are added to it."""

    async def start(
        *,
        streams: StreamOptions = CALM,
        routes: tuple[web.RouteDef, ...] = (),
        on_cleanup: Any = None,
        **overrides: Any,
    ) -> Client:
        settings = make_settings(**overrides)
        cp = CpClient(settings, await closing.enter_async_context(client_session()))
        closing.push_async_callback(cp.close)
        backend = Backend(
            settings=settings,
            catalog=Catalog([], {}),
            directory=directory,
            metrics=metrics,
            cp=cp,
            chronicle=Chronicle(store),
        )
        app = application(backend, streams=streams)
        app.add_routes(routes)
        if on_cleanup is not None:
            app.on_cleanup.append(on_cleanup)
        return await aiohttp_client(PlainServer(app))

    async with AsyncExitStack() as closing:
        yield start


@pytest.fixture
async def client(connect: Connect) -> Client:
    return await connect()


async def eventually(true: Callable[[], object]) -> None:
    """Wait, bounded, for something that another task is about to make true."""
    async with asyncio.timeout(300):
        while not true():  # noqa: ASYNC110 - what is waited for has no event of its own
            await asyncio.sleep(0.005)


async def raw(client: Client, request: bytes) -> bytes:
    """What the server answers to exactly these bytes, read until it closes."""
    reader, writer = await asyncio.open_connection("127.0.0.1", client.port)
    try:
        writer.write(request)
        await writer.drain()
        async with asyncio.timeout(300):
            return await reader.read()
    finally:
        writer.close()
        await writer.wait_closed()


async def raw_head(client: Client, request: bytes) -> bytes:
    """The head of the answer alone, read while the connection stays open."""
    reader, writer = await asyncio.open_connection("127.0.0.1", client.port)
    try:
        writer.write(request)
        await writer.drain()
        async with asyncio.timeout(300):
            return await reader.readuntil(b"\r\n\r\n")
    finally:
        writer.close()
        await writer.wait_closed()
