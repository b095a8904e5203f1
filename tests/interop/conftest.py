"""Real workers of ours on one side, the foreign agent on the other."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from typing import Any

import aiohttp
import pytest
import pytest_asyncio

from tests.integration.agents.conftest import http, make, pair, sink, start
from tests.integration.agents.harness import Answer, Start, TelemetrySink, WorkerProcess
from tests.interop.foreign.agent import ForeignAgent
from tests.interop.foreign.client import Client, Style
from tests.interop.foreign.keys import Key, Suite
from tests.interop.foreign.manifests import WELL_KNOWN
from tests.interop.foreign.server import Server

__all__ = ["http", "make", "pair", "sink", "start"]


@dataclass
class Meeting:
    """One of our workers and a foreign agent that it was told about."""

    ours: WorkerProcess
    foreign: ForeignAgent
    server: Server
    client: Client

    @property
    def style(self) -> Style:
        return self.server.style

    async def introduce(self, *others: Any) -> None:
        """Tell ours about the foreign agent as it now is, and about others."""
        await tell(self.ours, self.foreign, *others)

    async def shake(self, **given: Any) -> Answer:
        """Ours begins a handshake, as its admin route has it do."""
        return await self.ours.admin("initiate-handshake", {"peer": self.foreign.agent_id, **given})

    async def invoke(self, capability: str, **given: Any) -> Answer:
        """Ours calls the foreign agent."""
        asked = {"peer": self.foreign.agent_id, "capability": capability, "input": {}, **given}
        return await self.ours.admin("invoke", asked)


async def tell(ours: WorkerProcess, *others: Any) -> None:
    """Introduce others to one of ours, in place of whoever it knew; they have ``agent_id``, ``aid``, ``base_url``."""
    listed = [
        {"agent_id": other.agent_id, "aid": other.aid, "manifest_url": other.base_url + WELL_KNOWN} for other in others
    ]
    answer = await ours.admin("peers", {"peers": listed}, method="PUT")
    assert answer.status == 200, answer


@dataclass
class Room:
    """One worker of ours for a whole module; whoever comes is new to it."""

    ours: WorkerProcess
    http: aiohttp.ClientSession
    lasting: AsyncExitStack
    _made: int = 0

    async def client(self, style: Style = "rfc", suite: Suite = "ed25519") -> Client:
        """A foreign agent that was introduced, in place of the one before. It goes to ours and serves nothing."""
        foreign = self.stranger(suite)
        await tell(self.ours, foreign)
        return self.client_of(foreign, style)

    async def served_client(self, *, beside: Sequence[ForeignAgent] = (), **about: Any) -> Client:
        """The client of a :meth:`meeting` that lasts as long as the module."""
        return (await self.meet(beside=beside, **about)).client

    async def meet(self, style: Style = "rfc", **about: Any) -> Meeting:
        """A :meth:`meeting` that lasts as long as the module."""
        return await self.lasting.enter_async_context(self.meeting(style, **about))

    def client_of(self, foreign: ForeignAgent, style: Style = "rfc") -> Client:
        return Client(foreign, self.http, self.ours.base_url, self.ours.aid, style)

    def stranger(self, suite: Suite = "ed25519", *, key: Key | None = None, **about: Any) -> ForeignAgent:
        """A foreign agent that ours knows nothing of, under a name that nobody had before."""
        self._made += 1
        return ForeignAgent(f"foreign-{self._made}", key or Key(suite), trusted={self.ours.aid}, **about)

    @asynccontextmanager
    async def meeting(
        self, style: Style = "rfc", suite: Suite = "ed25519", *, beside: Sequence[ForeignAgent] = (), **about: Any
    ) -> AsyncIterator[Meeting]:
        """The same with one that serves, and that ours knows beside some others."""
        foreign = self.stranger(suite, **about)
        server = Server(foreign, style)
        await server.start()
        try:
            await tell(self.ours, foreign, *beside)
            yield Meeting(self.ours, foreign, server, self.client_of(foreign, style))
        finally:
            await server.close()


@asynccontextmanager
async def open_room(**changes: Any) -> AsyncIterator[Room]:
    """A room; ``changes`` are to its worker's bootstrap document."""
    sink = TelemetrySink()
    await sink.start()
    async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=60)) as http:
        ours = WorkerProcess(http, sink, "alice", **changes)
        try:
            await ours.start("patient.py")
            async with AsyncExitStack() as lasting:
                yield Room(ours, http, lasting)
        finally:
            await ours.close()
            await sink.close()


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def room() -> AsyncIterator[Room]:
    """For tests that send much to one worker, and each as somebody else."""
    async with open_room() as one:
        yield one


Meet = Callable[..., Awaitable[Meeting]]


@pytest.fixture
async def meet(start: Start, http: aiohttp.ClientSession) -> AsyncIterator[Meet]:
    """Start a worker and a foreign agent, introduced to each other."""
    servers: list[Server] = []

    async def build(
        foreign: ForeignAgent | None = None,
        style: Style = "rfc",
        *,
        known: bool = True,
        **changes: Any,
    ) -> Meeting:
        foreign = foreign or ForeignAgent()
        server = Server(foreign, style)
        servers.append(server)
        await server.start()
        worker = await start("alice", **changes)
        foreign.trusted.add(worker.aid)
        meeting = Meeting(worker, foreign, server, Client(foreign, http, worker.base_url, worker.aid, style))
        if known:
            await meeting.introduce()
        return meeting

    yield build
    await asyncio.gather(*(server.close() for server in servers))
