"""The client of ``run --server`` loses no event to a broken stream and hands its key to nobody else."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
from aiohttp import ClientSession, web
from pytest_aiohttp.plugin import AiohttpServer

from aitp_playground.cli.running import api_client
from aitp_playground.cli.running.api_client import ApiClient
from aitp_playground.errors import InvalidRequest, PlaygroundError


@pytest.fixture
async def http() -> AsyncIterator[ClientSession]:
    async with ClientSession() as session:
        yield session


@pytest.fixture(autouse=True)
def no_pause(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(api_client, "_PAUSE", 0.0)


def frame(seq: int) -> bytes:
    return b'id: %d\ndata: {"seq":%d,"id":"e","type":"step.started","ts":1.0,"run_id":"r"}\n\n' % (seq, seq)


def app(handler: object, path: str = "/runs/r/events") -> web.Application:
    made = web.Application()
    made.router.add_get(path, handler)  # type: ignore[arg-type]  # each test writes its own
    return made


async def test_a_broken_stream_is_taken_up_where_it_was(aiohttp_server: AiohttpServer, http: ClientSession) -> None:
    asked: list[str] = []

    async def stream(request: web.Request) -> web.StreamResponse:
        asked.append(request.query["after"])
        response = web.StreamResponse()
        await response.prepare(request)
        await response.write(b":\n\n" + frame(len(asked)))
        if len(asked) < 3:
            assert request.transport is not None
            request.transport.abort()
        else:
            await response.write(b'data: {"type":"stream.end"}\n\n')
        return response

    server = await aiohttp_server(app(stream))
    events = [stored async for stored in ApiClient(http, str(server.make_url("")), None).events("r")]
    assert [stored.seq for stored in events] == [1, 2, 3]
    assert asked == ["0", "1", "2"]


async def test_a_stream_that_gets_nowhere_is_given_up(aiohttp_server: AiohttpServer, http: ClientSession) -> None:
    asked = 0

    async def stream(request: web.Request) -> web.StreamResponse:
        nonlocal asked
        asked += 1
        return web.Response(text="")

    server = await aiohttp_server(app(stream))
    with pytest.raises(PlaygroundError, match="too early"):
        _ = [stored async for stored in ApiClient(http, str(server.make_url("")), None).events("r")]
    assert asked == 5


async def test_a_redirect_is_not_followed_with_the_key(aiohttp_server: AiohttpServer, http: ClientSession) -> None:
    reached = False

    async def elsewhere(request: web.Request) -> web.Response:
        nonlocal reached
        reached = True
        return web.json_response({"scenarios": []})

    async def away(request: web.Request) -> web.Response:
        raise web.HTTPFound("/elsewhere")

    made = app(away, "/scenarios")
    made.router.add_get("/elsewhere", elsewhere)
    server = await aiohttp_server(made)
    with pytest.raises(PlaygroundError, match="status 302"):
        await ApiClient(http, str(server.make_url("")), "key").refs()
    assert not reached


@pytest.mark.parametrize(("status", "kind"), [(422, InvalidRequest), (401, InvalidRequest), (503, PlaygroundError)])
async def test_a_refusal_carries_the_servers_own_words(
    aiohttp_server: AiohttpServer, http: ClientSession, status: int, kind: type[PlaygroundError]
) -> None:
    async def refuse(request: web.Request) -> web.Response:
        return web.json_response({"error": {"code": "some_code", "message": "in these words"}}, status=status)

    server = await aiohttp_server(app(refuse, "/scenarios"))
    with pytest.raises(PlaygroundError, match="in these words") as refused:
        await ApiClient(http, str(server.make_url("")), None).refs()
    assert type(refused.value) is kind


async def test_what_is_no_playground_is_told_apart(aiohttp_server: AiohttpServer, http: ClientSession) -> None:
    async def page(request: web.Request) -> web.Response:
        return web.Response(text="<html>", content_type="text/html")

    server = await aiohttp_server(app(page, "/scenarios"))
    with pytest.raises(PlaygroundError, match="is no playground"):
        await ApiClient(http, str(server.make_url("")), None).refs()
