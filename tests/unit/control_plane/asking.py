"""Asking a Control Plane of this process, and moving its clock."""

from __future__ import annotations

import json
import os
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

import aiohttp
import aitp
from yarl import URL

from aitp_playground.control_plane.server import Running


@dataclass(frozen=True)
class Answer:
    """One answer, read to its end."""

    status: int
    headers: Any
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)


class Plane:
    """A running Control Plane; ``skip`` moves its clock on."""

    def __init__(self, running: Running) -> None:
        self.running = running
        self.service = running.service
        self.url = running.url

    async def ask(
        self, method: str, path: str, body: Any = None, *, raw: str | bytes | None = None, **headers: str
    ) -> Answer:
        """``path`` goes out as written; ``body`` as JSON, ``raw`` as it is; ``_`` in a header's name is a hyphen."""
        sent = {"Authorization": f"Bearer {self.running.key}"}
        sent |= {name.replace("_", "-"): value for name, value in headers.items()}
        data = raw if raw is not None else None if body is None else json.dumps(body)
        async with (
            aiohttp.ClientSession() as http,
            http.request(
                method, URL(self.url + path, encoded=True), data=data, headers=sent, allow_redirects=False
            ) as response,
        ):
            return Answer(response.status, response.headers, await response.read())

    def skip(self, seconds: float) -> None:
        """From here on the service's clock is ahead by ``seconds`` more."""
        before = self.service.clock
        self.service.clock = lambda: before() + seconds

    async def enroll(self, manifest: str) -> str:
        """The token for a manifest."""
        token: str = (await self.ask("POST", "/api/registry/enroll", raw=manifest)).json["token"]
        return token

    async def register(self, manifest: str, token: str, **headers: str) -> Answer:
        return await self.ask("POST", "/api/registry/agents", raw=manifest, Authorization=f"Bearer {token}", **headers)

    async def agent(self, aid: str) -> Any:
        """What the registry says of one agent."""
        return (await self.ask("GET", f"/api/registry/agents/{quote(aid, safe='')}")).json


def manifest(ttl: int = 7200, name: str = "demo") -> tuple[str, str]:
    """A new agent's AID and manifest."""
    keys = aitp.AitpAgent.from_seed(os.urandom(32))
    text = keys.build_manifest(name, "http://localhost:1/aitp/handshake/hello", ["demo.echo"], ttl_secs=ttl)
    return keys.aid, text
