"""The address under which this machine reaches a server of its own."""

from __future__ import annotations

import socket

import pytest
from aiohttp import web
from yarl import URL

from aitp_playground.net import LocalResolver, client_session, url_of


@pytest.mark.parametrize(
    ("host", "url"),
    [
        ("127.0.0.1", "http://127.0.0.1:80"),
        ("0.0.0.0", "http://127.0.0.1:80"),
        ("", "http://127.0.0.1:80"),
        ("::", "http://[::1]:80"),
        ("0:0:0:0:0:0:0:0", "http://[::1]:80"),
        ("[::]", "http://[::1]:80"),
        ("::1", "http://[::1]:80"),
        ("[2001:db8::1]", "http://[2001:db8::1]:80"),
        ("fe80::1%eth0", "http://[fe80::1%25eth0]:80"),
        ("localhost", "http://localhost:80"),
        ("example.org", "http://example.org:80"),
    ],
)
def test_every_bind_address_has_a_url_that_can_be_asked(host: str, url: str) -> None:
    assert url_of(host, 80) == url
    assert URL(url).port == 80


@pytest.mark.parametrize("name", ["localhost", "LocalHost", "localhost.", "agent.localhost"])
async def test_localhost_is_this_machine_by_either_family(name: str) -> None:
    resolver = LocalResolver()
    found = [
        [entry["host"] for entry in await resolver.resolve(name, 80, family)]
        for family in (socket.AF_UNSPEC, socket.AF_INET, socket.AF_INET6)
    ]
    await resolver.close()
    assert found == [["127.0.0.1", "::1"], ["127.0.0.1"], ["::1"]]


@pytest.mark.parametrize("host", ["127.0.0.1", "::1"])
async def test_a_server_that_is_bound_to_one_loopback_address_is_reached_as_localhost(host: str) -> None:
    async def answer(_: web.Request) -> web.Response:
        return web.Response(text="here")

    app = web.Application()
    app.router.add_get("/", answer)
    runner = web.AppRunner(app)
    await runner.setup()
    try:
        try:
            await web.TCPSite(runner, host, 0).start()
        except OSError:
            pytest.skip(f"this machine cannot listen on {host}")
        url = f"http://localhost:{runner.addresses[0][1]}/"
        async with client_session() as http, http.get(url) as response:
            assert await response.text() == "here"
    finally:
        await runner.cleanup()
