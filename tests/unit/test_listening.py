"""Sockets that listen before anything is made, and an application behind them."""

from __future__ import annotations

import asyncio
import errno
import resource
import socket
from collections.abc import Iterator

import pytest
from aiohttp import web

from aitp_playground import listening
from aitp_playground.bounded_server import Limits
from aitp_playground.listening import listen, raise_open_files, serving
from aitp_playground.net import client_session


def application() -> web.Application:
    async def answer(_: web.Request) -> web.Response:
        return web.Response(text="here")

    app = web.Application()
    app.router.add_get("/", answer)
    return app


def refusal(_status: int, _code: str, message: str) -> str:
    return message


@pytest.mark.parametrize("host", ["127.0.0.1", "0.0.0.0", "", "::", "::1", "localhost"])
async def test_a_server_bound_there_answers_at_its_url(host: str) -> None:
    try:
        address = await listen(host, 0)
    except OSError:
        pytest.skip(f"this machine cannot listen on {host}")
    served = serving(application(), address, refusal, Limits(), shutdown_timeout=0.1)
    async with served, client_session() as http, http.get(address.url) as response:
        assert await response.text() == "here"
    assert all(sock.fileno() == -1 for sock in address.sockets)


@pytest.mark.parametrize("host", ["", "localhost"])
async def test_every_address_of_a_host_has_the_same_port(host: str) -> None:
    address = await listen(host, 0)
    try:
        assert len({sock.getsockname()[1] for sock in address.sockets}) == 1
    finally:
        address.close()


async def test_who_connects_before_anything_is_served_waits_and_is_answered() -> None:
    address = await listen("127.0.0.1", 0)
    async with client_session() as http:
        asked = asyncio.create_task(http.get(address.url))
        early = await asyncio.open_connection(*address.sockets[0].getsockname())
        async with serving(application(), address, refusal, Limits(), shutdown_timeout=0.1):
            async with await asked as response:
                assert await response.text() == "here"
            early[1].close()


async def test_a_port_that_is_taken_is_refused_at_once_and_nothing_is_left_open() -> None:
    taken = await listen("127.0.0.1", 0)
    try:
        with pytest.raises(OSError, match="in use") as refused:
            await listen("127.0.0.1", taken.sockets[0].getsockname()[1])
        assert refused.value.errno == errno.EADDRINUSE
    finally:
        taken.close()


async def test_a_free_port_that_is_taken_for_the_other_family_is_chosen_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    tries = []

    def unlucky(places: list[object]) -> list[socket.socket]:
        tries.append(places)
        if len(tries) < 3:
            raise OSError(errno.EADDRINUSE, "Address already in use")
        return bound(places)  # type: ignore[arg-type]

    bound = listening._bound
    monkeypatch.setattr(listening, "_bound", unlucky)
    (await listen("127.0.0.1", 0)).close()
    assert len(tries) == 3


@pytest.fixture
def limits_kept() -> Iterator[tuple[int, int]]:
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    yield before
    resource.setrlimit(resource.RLIMIT_NOFILE, before)


def test_open_files_are_raised_to_what_the_system_allows(limits_kept: tuple[int, int]) -> None:
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(256, limits_kept[1]), limits_kept[1]))
    raise_open_files()
    assert resource.getrlimit(resource.RLIMIT_NOFILE) == (limits_kept[1], limits_kept[1])
