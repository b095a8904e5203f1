"""A webhook receiver on loopback that keeps what came, byte for byte, and answers as told."""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Self

from aiohttp import web
from multidict import CIMultiDictProxy


@dataclass(frozen=True)
class Delivery:
    """One request, as it came."""

    method: str
    headers: CIMultiDictProxy[str]
    raw: bytes

    @property
    def body(self) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(self.raw)
        return found

    @property
    def event(self) -> dict[str, Any]:
        """The event that was delivered."""
        found: dict[str, Any] = self.body["payload"]
        return found

    @property
    def id(self) -> str:
        return self.headers["X-Aitp-Delivery"]

    def signed_with(self, secret: str) -> bool:
        """Whether the signature is the one over these very bytes."""
        want = "sha256=" + hmac.new(secret.encode(), self.raw, hashlib.sha256).hexdigest()
        return hmac.compare_digest(self.headers["X-Aitp-Signature"], want)


class Receiver:
    """``async with Receiver() as receiver``: its ``url`` takes deliveries until the block ends."""

    def __init__(self) -> None:
        self._came: list[Delivery] = []
        self._more = asyncio.Condition()
        #: The answers of the next requests; then 200.
        self.answers: list[Callable[[], web.StreamResponse]] = []
        #: Clear it and requests stay unanswered until it is set.
        self.answering = asyncio.Event()
        self.answering.set()

    async def __aenter__(self) -> Self:
        app = web.Application()
        app.router.add_route("*", "/{rest:.*}", self._take)
        self._runner = web.AppRunner(app, shutdown_timeout=1)
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", 0)
        await site.start()
        self.url = f"http://127.0.0.1:{self._runner.addresses[0][1]}/hook"
        return self

    async def __aexit__(self, *_: object) -> None:
        self.answering.set()
        await self._runner.cleanup()

    async def _take(self, request: web.Request) -> web.StreamResponse:
        raw = await request.read()
        async with self._more:
            self._came.append(Delivery(request.method, request.headers, raw))
            self._more.notify_all()
        answer = self.answers.pop(0)() if self.answers else web.Response()
        await self.answering.wait()
        return answer

    async def wait(
        self, many: int = 1, which: Callable[[Delivery], bool] = lambda _: True, seconds: float = 30
    ) -> list[Delivery]:
        """The first ``many`` deliveries that are meant. Raises ``TimeoutError``."""
        async with asyncio.timeout(seconds), self._more:
            while len(meant := [delivery for delivery in self._came if which(delivery)]) < many:
                await self._more.wait()
            return meant

    def came(self) -> list[Delivery]:
        """What has come so far."""
        return list(self._came)


def of_run(run_id: str) -> Callable[[Delivery], bool]:
    """Deliveries of this run's events: a hook gets everybody's."""
    return lambda delivery: bool(delivery.raw) and delivery.event.get("runId") == run_id
