"""A small Control Plane: a registry that takes manifests and a revocation list it signs, or whatever a test wants."""

from __future__ import annotations

import asyncio
import json
import secrets
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

import aitp
from aiohttp import web

from tests.integration.agents.harness import WAIT, SdkPeer

Respond = Callable[[web.Request], Awaitable[web.StreamResponse]]


@dataclass(frozen=True)
class Received:
    """One request, as it came."""

    path: str
    body: bytes
    headers: dict[str, str]


class ControlPlane:
    """``answers[path]`` replaces what that path does; ``revoked`` is what the list says; ``lists`` pre-empts it."""

    def __init__(self) -> None:
        self.peer = SdkPeer("cp")
        self.revoked: list[str] = []
        self.lists: list[str] = []
        self.received: list[Received] = []
        self.answers: dict[str, Respond] = {}
        self.url = ""
        self.tokens: set[str] = set()
        self._asked = asyncio.Condition()
        self._runner: web.AppRunner | None = None

    @property
    def aid(self) -> str:
        return self.peer.aid

    @property
    def section(self) -> dict[str, str]:
        """The bootstrap document's ``cp``."""
        return {"url": self.url, "aid": self.aid}

    async def start(self) -> None:
        app = web.Application()
        app.router.add_route("*", "/{path:.*}", self._answer)
        # A hung handler must not hold up the end of the test.
        self._runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", 0).start()
        self.url = f"http://localhost:{self._runner.addresses[0][1]}"

    async def close(self) -> None:
        assert self._runner
        await self._runner.cleanup()

    def asked(self, path: str) -> list[Received]:
        return [request for request in self.received if request.path == path]

    async def wait_asked(self, path: str, count: int = 1) -> None:
        async with asyncio.timeout(WAIT), self._asked:
            await self._asked.wait_for(lambda: len(self.asked(path)) >= count)

    async def _answer(self, request: web.Request) -> web.StreamResponse:
        async with self._asked:
            self.received.append(Received(request.path, await request.read(), dict(request.headers)))
            self._asked.notify_all()
        usual: dict[str, Respond] = {
            aitp.REVOCATION_LIST_PATH: self._list,
            "/api/registry/enroll": self._enroll,
            "/api/registry/agents": self._register,
        }
        respond = self.answers.get(request.path) or usual.get(request.path)
        if respond is None:
            return web.Response(status=404, text="<html></html>", content_type="text/html")
        return await respond(request)

    async def _list(self, _request: web.Request) -> web.StreamResponse:
        text = self.lists.pop(0) if self.lists else self.peer.revocation_list(*self.revoked)
        return web.Response(text=text, content_type="application/json")

    async def _enroll(self, request: web.Request) -> web.StreamResponse:
        raw = await request.text()
        aitp.verify_manifest_json(raw)
        token = secrets.token_urlsafe(24)
        self.tokens.add(token)
        return web.json_response({"token": token, "expiresIn": 300, "aid": json.loads(raw)["manifest"]["aid"]})

    async def _register(self, request: web.Request) -> web.StreamResponse:
        token = request.headers["Authorization"].removeprefix("Bearer ")
        if token not in self.tokens:
            return web.json_response({"error": "no", "code": "TOKEN_INVALID"}, status=401)
        self.tokens.remove(token)
        manifest = json.loads(await request.text())["manifest"]
        body = {"aid": manifest["aid"], "displayName": "x", "registeredAt": "2026-11-22T15:46:27.146Z"}
        return web.json_response(body, status=201)
