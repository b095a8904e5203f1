"""An agent's admin answer is read as strictly as anybody's input."""

from __future__ import annotations

import pytest
from aiohttp import web
from pytest_aiohttp.plugin import AiohttpServer

from aitp_playground.errors import AgentCallError
from aitp_playground.net import client_session
from aitp_playground.runs.conducting.launched_agent import LaunchedAgent


async def answered(aiohttp_server: AiohttpServer, body: bytes) -> dict[str, object]:
    async def answer(_: web.Request) -> web.Response:
        return web.Response(body=body, content_type="application/json")

    app = web.Application()
    app.router.add_post("/admin/invoke", answer)
    server = await aiohttp_server(app)
    assert server.port is not None
    async with client_session() as http:
        return await LaunchedAgent("a", server.port, "token", http).post("invoke", {})


@pytest.mark.parametrize(
    "body",
    [
        b'{"n": NaN}',
        b'{"n": 1' + b"0" * 40 + b"}",
        b'{"a": 1, "a": 2}',
        b'{"t": "\\ud800"}',
        b'{"d": ' + b"[" * 300 + b"]" * 300 + b"}",
        b"\xff",
        b"",
    ],
)
async def test_what_can_be_read_in_two_ways_fails_the_call_and_says_why(
    aiohttp_server: AiohttpServer, body: bytes
) -> None:
    with pytest.raises(AgentCallError, match=r"agent a gave no usable JSON: .+ at invoke") as failed:
        await answered(aiohttp_server, body)
    assert failed.value.refusal == "agent_unreachable"


async def test_what_is_exact_is_taken_as_it_is(aiohttp_server: AiohttpServer) -> None:
    assert await answered(aiohttp_server, b'{"result": {"n": 18446744073709551615}}') == {
        "result": {"n": 18446744073709551615}
    }


async def test_a_call_never_goes_to_whoever_had_the_port_before() -> None:
    """An agent that is ending lets its port go before its connections: those must not carry what is for the next."""

    async def serve(name: str, port: int) -> tuple[web.AppRunner, web.TCPSite, int]:
        async def answer(request: web.Request) -> web.Response:
            return web.json_response({"name": name, "host": request.headers["Host"]})

        app = web.Application()
        app.router.add_post("/admin/invoke", answer)
        runner = web.AppRunner(app, access_log=None)
        await runner.setup()
        site = web.TCPSite(runner, "127.0.0.1", port, reuse_address=True)
        await site.start()
        return runner, site, runner.addresses[0][1]

    async with client_session() as http:
        before, listening, port = await serve("before", 0)
        assert (await LaunchedAgent("a", port, "one", http).post("invoke", {}))["name"] == "before"
        server = listening._server
        assert server is not None
        server.close()
        after, _, _ = await serve("after", port)
        told = await LaunchedAgent("a", port, "two", http).post("invoke", {})
        assert told == {"name": "after", "host": f"localhost:{port}"}
        for runner in (before, after):
            await runner.cleanup()
