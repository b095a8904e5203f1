"""The bounds of a server's connections, tried over real sockets and with a clock that only the test moves.

Service and agents have a module each, since neither may import the other: every test here is one of both.
"""

from __future__ import annotations

import asyncio
import json
import os
import resource
import socket
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, closing, contextmanager, suppress
from dataclasses import dataclass, field
from types import ModuleType
from typing import Any

import pytest
from aiohttp import web

from aitp_playground import bounded_server as of_the_service
from base.http import bounded_server as of_agents

NEVER = 3600.0
#: Set for each test by ``module``.
TRIED: ModuleType
GET = b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n"


@pytest.fixture(autouse=True, params=[of_agents, of_the_service], ids=["agents", "service"])
def module(request: pytest.FixtureRequest) -> Iterator[ModuleType]:
    """The one of the two that is tried."""
    global TRIED
    TRIED = request.param
    yield TRIED
    del TRIED


class Clock:
    """The loop's clock. It stands, but for the test's ``skip``; so limits pass when the test says, however slow the
    machine. Nothing here has a time-out of its own: pytest's counts real seconds."""

    def __init__(self) -> None:
        self.now = 1000.0

    def skip(self, seconds: float) -> None:
        self.now += seconds


@contextmanager
def standing_clock() -> Iterator[Clock]:
    loop, clock = asyncio.get_running_loop(), Clock()
    loop.time = lambda: clock.now  # type: ignore[method-assign]
    try:
        yield clock
    finally:
        del loop.time


@dataclass
class Site:
    """A running server; ``/held`` answers once ``release`` is set. ``received``: bytes by the client's port."""

    server: Any
    port: int
    clock: Clock
    received: Counter[int]
    release: asyncio.Event = field(default_factory=asyncio.Event)
    held: asyncio.Semaphore = field(default_factory=lambda: asyncio.Semaphore(0))

    clients: list[Client] = field(default_factory=list)

    async def connect(self) -> Client:
        self.clients.append(Client(*await asyncio.open_connection("127.0.0.1", self.port), self.received))
        return self.clients[-1]

    async def answered(self, client: Client) -> bytes:
        """The body of an answer that may take some tries at accepting."""
        asked = asyncio.create_task(client.answer())
        await self.passes_until(asked.done)
        return (await asked)[2]

    async def passes_until(self, true: Callable[[], bool]) -> None:
        """Let time pass, second by second, until something has come of it."""
        while not true():
            self.clock.skip(1)
            await turns()


@dataclass
class Client:
    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter
    received: Counter[int]
    sent: int = 0

    async def say(self, data: bytes) -> None:
        self.sent += len(data)
        self.writer.write(data)
        await self.writer.drain()

    async def tell(self, data: bytes) -> None:
        """Say it, and wait until the server has taken it."""
        await self.say(data)
        port = self.writer.get_extra_info("sockname")[1]
        await eventually(lambda: self.received[port] == self.sent)

    async def answer(self) -> tuple[int, dict[str, str], bytes]:
        head = (await self.reader.readuntil(b"\r\n\r\n")).decode().split("\r\n")
        headers = dict(line.lower().split(": ", 1) for line in head[1:] if line)
        return int(head[0].split()[1]), headers, await self.reader.readexactly(int(headers["content-length"]))

    async def rest(self) -> bytes:
        """What comes until the end."""
        try:
            return await self.reader.read()
        except ConnectionResetError:
            return b""

    async def over(self) -> None:
        assert await self.rest() == b""

    async def close(self) -> None:
        self.writer.close()
        with suppress(ConnectionError):
            await self.writer.wait_closed()


def refusal(status: int, code: str, message: str) -> str:
    return json.dumps({"said": [status, code, message]})


@contextmanager
def counting(received: Counter[int]) -> Iterator[None]:
    """Have the server count the bytes that it takes."""
    original = TRIED.Connection

    class Counted(original):  # type: ignore[misc, valid-type]
        __slots__ = ()

        def data_received(self, data: bytes) -> None:
            super().data_received(data)
            if self.transport is not None:
                received[self.transport.get_extra_info("peername")[1]] += len(data)

    TRIED.Connection = Counted  # type: ignore[attr-defined]
    try:
        yield
    finally:
        TRIED.Connection = original  # type: ignore[attr-defined]


@asynccontextmanager
async def site(**limits: Any) -> AsyncIterator[Site]:
    received: Counter[int] = Counter()
    with counting(received), standing_clock() as clock:
        async with serving(clock, received, limits) as served:
            yield served


@asynccontextmanager
async def serving(clock: Clock, received: Counter[int], limits: dict[str, Any]) -> AsyncIterator[Site]:
    defaults = {"head_secs": NEVER, "idle_secs": NEVER, "stalled_secs": None}
    app = web.Application()
    runner = web.AppRunner(app, access_log=None, handle_signals=False, shutdown_timeout=0.1)
    listener = socket.create_server(("127.0.0.1", 0))
    served: list[Site] = []

    async def hello(_request: web.Request) -> web.Response:
        return web.Response(text="hello")

    async def held(_request: web.Request) -> web.Response:
        served[0].held.release()
        await served[0].release.wait()
        return web.Response(text="held")

    async def big(_request: web.Request) -> web.Response:
        return web.Response(body=bytes(32 << 20))

    async def body(request: web.Request) -> web.Response:
        return web.Response(body=await request.read())

    async def broken(_request: web.Request) -> web.Response:
        raise ValueError("a secret of the application")

    app.router.add_get("/", hello)
    app.router.add_get("/held", held)
    app.router.add_get("/big", big)
    app.router.add_get("/broken", broken)
    app.router.add_post("/body", body)
    await runner.setup()
    assert runner.server is not None
    server = TRIED.BoundedServer(runner.server, refusal, TRIED.Limits(**{**defaults, **limits}))
    served.append(Site(server, listener.getsockname()[1], clock, received))
    server.listen(listener)
    try:
        yield served[0]
    finally:
        served[0].release.set()
        for client in served[0].clients:
            await client.close()
        server.stop()
        await runner.cleanup()
    assert not server.open


async def eventually(true: Callable[[], bool]) -> None:
    """Wait for something that sets no event, while the clock stands."""
    while not true():  # noqa: ASYNC110
        await asyncio.sleep(0)


async def turns() -> None:
    """Let the loop do what is due, and what follows from it."""
    for _ in range(20):
        await asyncio.sleep(0)


# -- heads ---------------------------------------------------------------------------------------------------------


async def test_silent_connection_is_closed_without_a_word() -> None:
    async with site(head_secs=10) as served:
        client = await served.connect()
        await eventually(lambda: len(served.server.open) == 1)
        served.clock.skip(9)
        await turns()
        assert len(served.server.open) == 1
        served.clock.skip(2)
        await client.over()


async def test_head_that_comes_byte_by_byte_is_cut_off_at_the_limit_not_at_each_byte() -> None:
    async with site(head_secs=10) as served:
        client = await served.connect()
        await client.tell(b"GET /")
        ended = asyncio.create_task(client.rest())
        for _ in range(9):
            served.clock.skip(1)
            await client.tell(b"x")
        assert not ended.done()
        served.clock.skip(2)  # more than the head may take, and far less than that since its last byte
        assert (await ended).startswith(b"HTTP/1.1 408 ")


@pytest.mark.parametrize("half", [b"G", b"GET / HTTP/1.1\r\n", GET[:-2], b"POST / HTTP/1.1\r\nContent-Length: 5\r\nA"])
async def test_half_a_head_is_told_that_it_took_too_long(half: bytes) -> None:
    async with site(head_secs=10) as served:
        client = await served.connect()
        await client.tell(half)
        served.clock.skip(11)
        status, headers, body = await client.answer()
        assert (status, headers["connection"]) == (408, "close")
        assert "server" not in headers
        assert json.loads(body)["said"][:2] == [408, "request_timeout"]
        await client.over()


async def test_half_a_head_on_a_used_connection_has_the_limit_of_a_head_not_of_idleness() -> None:
    async with site(head_secs=10) as served:
        client = await served.connect()
        await client.say(GET)
        assert (await client.answer())[0] == 200
        await client.tell(GET[:10])
        served.clock.skip(11)
        assert (await client.answer())[0] == 408


@pytest.mark.parametrize("whole", [GET, GET + GET, b"POST /body HTTP/1.1\r\nHost: h\r\nContent-Length: 0\r\n\r\n"])
async def test_half_a_head_in_one_packet_with_requests_is_cut_off_after_their_answers(whole: bytes) -> None:
    async with site(head_secs=10) as served:
        client = await served.connect()
        await client.say(whole + GET[:10])
        for _ in range(whole.count(b"HTTP/1.1")):
            assert (await client.answer())[0] == 200
        await eventually(lambda: bool(served.server.idle))
        served.clock.skip(11)
        assert (await client.answer())[0] == 408


async def test_idle_connection_stays_beyond_the_time_of_a_head_however_its_request_was_cut() -> None:
    body = b"POST /body HTTP/1.1\r\nHost: h\r\nContent-Length: 3\r\n\r\nabc"
    cuts = ([GET], [GET[:-1], GET[-1:]], [GET[:-3], GET[-3:]], [body], [body[:-2], body[-2:]])
    async with site(head_secs=10) as served:
        clients = [await served.connect() for _ in cuts]
        for _ in range(2):  # the second time on a connection that has been idle for longer than a head may take
            for client, pieces in zip(clients, cuts, strict=True):
                for piece in pieces:
                    await client.tell(piece)  # so that they are packets of their own
                assert (await client.answer())[0] == 200
            await eventually(lambda: len(served.server.idle) == len(cuts))
            served.clock.skip(11)
            await turns()


async def test_half_a_head_sent_while_a_request_is_under_way_is_cut_off_after_its_answer() -> None:
    async with site(head_secs=10) as served:
        client = await served.connect()
        await client.say(b"GET /held HTTP/1.1\r\nHost: localhost\r\n\r\n")
        await served.held.acquire()
        await client.tell(GET[:10])
        served.clock.skip(11)  # longer than a head may take: the request under way is none of the head's business
        await turns()
        served.release.set()
        assert (await client.answer())[2] == b"held"
        await eventually(lambda: bool(served.server.idle))
        served.clock.skip(11)
        assert (await client.answer())[0] == 408


async def test_whole_head_in_pieces_within_the_limit_is_served_and_the_connection_stays() -> None:
    async with site(head_secs=10) as served:
        client = await served.connect()
        for _ in range(3):
            for byte in GET:
                served.clock.skip(9 / len(GET))
                await client.tell(bytes([byte]))
            assert (await client.answer())[2] == b"hello"


async def test_a_body_is_not_a_head() -> None:
    async with site(head_secs=10) as served:
        client = await served.connect()
        await client.tell(b"POST /body HTTP/1.1\r\nHost: localhost\r\nContent-Length: 4\r\n\r\nab")
        served.clock.skip(11)
        await turns()
        await client.say(b"cd")
        assert (await client.answer())[2] == b"abcd"
        await eventually(lambda: bool(served.server.idle))
        served.clock.skip(11)
        await turns()
        await client.say(GET)
        assert (await client.answer())[2] == b"hello"


async def test_idle_connection_is_closed_after_its_time() -> None:
    async with site(idle_secs=10) as served:
        client = await served.connect()
        await client.say(GET)
        assert (await client.answer())[0] == 200
        await eventually(lambda: bool(served.server.idle))
        served.clock.skip(9)
        await turns()
        assert len(served.server.open) == 1
        await served.passes_until(lambda: not served.server.open)
        await client.over()


async def test_client_that_leaves_its_answer_unread_is_cut_off_and_one_that_reads_is_not() -> None:
    async with site(stalled_secs=10) as served:
        deaf, good = await served.connect(), await served.connect()
        deaf.writer.transport.pause_reading()  # type: ignore[attr-defined]
        await deaf.say(b"GET /big HTTP/1.1\r\nHost: localhost\r\n\r\n")
        await good.say(b"GET /big HTTP/1.1\r\nHost: localhost\r\n\r\n")
        assert len((await good.answer())[2]) == 32 << 20
        await served.passes_until(lambda: len(served.server.open) == 1)
        await good.say(GET)
        assert (await good.answer())[2] == b"hello"
        deaf.writer.transport.abort()


# -- what is not HTTP ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("sent", "status", "said"),
    [
        (b"GET / HTTP/1.1\r\nHost: localhost\r\nA header secret\r\n\r\n", 400, "HTTP"),
        (b"GET / HTTP/1.1\r\nHost: localhost\r\nBad\x00Name: secret\r\n\r\n", 400, "HTTP"),
        (b"G@T secret HTTP/1.1\r\nHost: localhost\r\n\r\n", 400, "method"),
        (b"GET /" + b"secret" * 4000 + b" HTTP/1.1\r\nHost: localhost\r\n\r\n", 400, "too long"),
        (b"GET / HTTP/1.1\r\nHost: localhost\r\nA: " + b"secret" * 4000 + b"\r\n\r\n", 400, "too long"),
        (b"POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nx", 400, "HTTP"),
        (b"POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n", 400, "HTTP"),
        (b"POST / HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: secret\r\n\r\nx", 400, "HTTP"),
        (b"GET / HTTP/9.9\r\nHost: localhost\r\n\r\n", 400, "HTTP"),
        (b"GET /secret HTTP/1.1\r\nHost: localhost\r\nExpect: secret\r\n\r\n", 417, ""),
        (b"\x16\x03\x01\x02\x00\x01secret\r\n\r\n", 400, ""),
        (b"PATCH / HTTP/1.1\r\nHost: localhost\r\n\r\n", 405, ""),
    ],
)
async def test_what_is_refused_without_the_application_is_json_that_quotes_nothing(
    sent: bytes, status: int, said: str
) -> None:
    async with site() as served:
        client = await served.connect()
        await client.say(sent)
        found, headers, body = await client.answer()
        assert (found, headers["content-type"]) == (status, "application/json; charset=utf-8")
        assert "server" not in headers
        assert json.loads(body)["said"][0] == status
        assert said.lower() in json.loads(body)["said"][2].lower()
        assert b"secret" not in body
        await client.over()
        other = await served.connect()
        await other.say(GET)
        assert (await other.answer())[2] == b"hello"


async def test_error_of_the_application_is_json_without_its_text(caplog: pytest.LogCaptureFixture) -> None:
    async with site() as served:
        client = await served.connect()
        await client.say(b"GET /broken HTTP/1.1\r\nHost: localhost\r\n\r\n")
        status, headers, body = await client.answer()
        assert (status, "server" in headers) == (500, False)
        assert b"secret" not in body
    assert "a request failed" in caplog.text


async def test_many_refusals_make_one_line_of_log(caplog: pytest.LogCaptureFixture) -> None:
    async with site() as served:
        for _ in range(20):
            client = await served.connect()
            await client.say(b"nonsense\r\n\r\n")
            assert (await client.answer())[0] == 400
    assert len(caplog.records) == 1


# -- how many ------------------------------------------------------------------------------------------------------


async def test_beyond_the_limit_the_longest_idle_connection_goes() -> None:
    async with site(connections=3) as served:
        clients = []
        for _ in range(3):
            client = await served.connect()
            await client.say(GET)
            assert (await client.answer())[0] == 200
            clients.append(client)
        await clients[0].say(GET)  # the first is used again, so the second is the longest idle
        assert (await clients[0].answer())[0] == 200
        newcomer = await served.connect()
        await newcomer.say(GET)
        assert await served.answered(newcomer) == b"hello"
        await clients[1].over()
        for client in (clients[0], clients[2]):
            await client.say(GET)
            assert (await client.answer())[2] == b"hello"


async def test_silent_crowd_does_not_keep_anybody_out() -> None:
    async with site(connections=10) as served:
        for _ in range(60):
            await served.connect()
        client = await served.connect()
        await client.say(GET)
        assert await served.answered(client) == b"hello"
        assert len(served.server.open) <= 10


async def test_with_all_connections_at_work_newcomers_wait_and_none_is_cut_off() -> None:
    async with site(connections=2) as served:
        workers = [await served.connect() for _ in range(2)]
        for client in workers:
            await client.say(b"GET /held HTTP/1.1\r\nHost: localhost\r\n\r\n")
            await served.held.acquire()
        newcomer = await served.connect()  # in the kernel's backlog
        await newcomer.say(GET)
        asked = asyncio.create_task(newcomer.answer())
        for _ in range(3):  # new tries
            served.clock.skip(1)
            await turns()
        assert not asked.done()
        assert len(served.server.open) == 2
        served.release.set()
        for client in workers:
            assert (await client.answer())[2] == b"held"
        await served.passes_until(asked.done)
        assert (await asked)[2] == b"hello"


@contextmanager
def descriptors_limited(to: int) -> Iterator[None]:
    """A soft limit so low that it is soon reached."""
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (to, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, before)


def in_use() -> int:
    return len(os.listdir("/proc/self/fd"))  # noqa: PTH208 - numbers, not paths


@contextmanager
def connected(port: int, number: int) -> Iterator[list[socket.socket]]:
    """Clients of which this process holds one descriptor each."""
    sockets = []
    try:
        for _ in range(number):
            sockets.append(socket.create_connection(("127.0.0.1", port)))  # noqa: PERF401 - each has an owner at once
        yield sockets
    finally:
        for sock in sockets:
            sock.close()


async def test_a_share_of_the_descriptors_is_never_taken_by_connections() -> None:
    async with site() as served:
        limit = (in_use() + 60) * 5 // 4
        with descriptors_limited(limit), connected(served.port, 50):
            client = await served.connect()
            await client.say(GET)
            assert await served.answered(client) == b"hello"
            assert in_use() <= limit * 0.8 + 5  # a few may have had numbers beyond a gap
            assert len(served.server.open) < 51


async def test_without_a_descriptor_left_nothing_spins_and_it_goes_on_afterwards(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async with site() as served:
        accepting = 0
        accept = served.server._accept

        def counted(listener: socket.socket) -> None:
            nonlocal accepting
            accepting += 1
            accept(listener)

        served.server._accept = counted
        loop = asyncio.get_running_loop()
        with closing(socket.socket()) as client:
            client.setblocking(False)
            for listener in served.server._listeners:
                loop.remove_reader(listener)
                loop.add_reader(listener, counted, listener)
            with descriptors_limited(in_use() - 1):
                await loop.sock_connect(client, ("127.0.0.1", served.port))
                await loop.sock_sendall(client, GET)
                for tries in range(1, 5):
                    await eventually(lambda: accepting >= tries)  # noqa: B023 - awaited in this turn
                    await turns()
                    assert accepting == tries, "it does not wait between its tries"
                    served.clock.skip(1)
                assert len(caplog.records) == 1
            served.clock.skip(1)
            assert (await loop.sock_recv(client, 4096)).startswith(b"HTTP/1.1 200")


async def test_stopping_closes_the_listener_and_leaves_open_requests_their_time() -> None:
    async with site() as served:
        client = await served.connect()
        await client.say(b"GET /held HTTP/1.1\r\nHost: localhost\r\n\r\n")
        await served.held.acquire()
        served.server.stop()
        with pytest.raises(ConnectionRefusedError):
            await served.connect()
        served.release.set()
        assert (await client.answer())[2] == b"held"
