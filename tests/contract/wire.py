"""The suite's own client: raw answers, no redirects followed, no body taken for JSON before a test says so."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

import aiohttp
from multidict import CIMultiDictProxy
from yarl import URL

POSTGRES_TIME = re.compile(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d(\.\d{0,5}[1-9])?\+00")
ISO_TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z")
UUID = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[1-5][0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}")

#: Loaded machines are slow; a Control Plane that takes this long is not slow but stuck.
PATIENCE = aiohttp.ClientTimeout(total=50)


async def eventually(holds: Callable[[], Awaitable[bool]], seconds: float = 30) -> None:
    """Ask until it holds: for what a Control Plane does in its own time. Raises ``TimeoutError``."""
    async with asyncio.timeout(seconds):
        while not await holds():  # noqa: ASYNC110 - what is waited for happens in another process
            await asyncio.sleep(0.02)


@dataclass(frozen=True)
class Answer:
    """One HTTP answer, read to its end."""

    status: int
    headers: CIMultiDictProxy[str]
    body: bytes

    def json(self, status: int = 200) -> Any:
        """The body of an answer that has this status."""
        assert self.status == status, (self.status, self.body[:500])
        return json.loads(self.body)

    def refusal(self) -> tuple[int, str | None]:
        """Status and error code; None for an empty body, ``html`` for a page."""
        if not self.body:
            return self.status, None
        if self.headers.get("Content-Type", "").startswith("text/html"):
            return self.status, "html"
        return self.status, json.loads(self.body)["code"]


class ControlPlane:
    """A Control Plane by URL and key. ``own``: the suite started it, so a test may break it for good."""

    def __init__(self, http: aiohttp.ClientSession, url: str, key: str, *, own: bool) -> None:
        self._http = http
        self.url = url.rstrip("/")
        self.key = key
        self.own = own

    async def ask(
        self,
        method: str,
        path: str,
        *,
        json_body: Any = ...,
        data: Any = None,
        key: str | None = "",
        headers: dict[str, str] | None = None,
        **query: Any,
    ) -> Answer:
        """Ask once. ``key``: another bearer token, or None for no such header; ``path`` is sent as it is written."""
        sent = {"Content-Type": "application/json"} if json_body is not ... else {}
        if key is not None:
            sent["Authorization"] = f"Bearer {key or self.key}"
        if json_body is not ...:
            data = json.dumps(json_body).encode()
        target = URL(self.url + path, encoded=True)
        if query:
            target = target.extend_query({name: str(value) for name, value in query.items()})
        while True:
            answer = await self._once(method, target, data, {**sent, **(headers or {})})
            if answer.status != 429 or self.own:
                return answer
            await asyncio.sleep(min(65, int(answer.headers.get("Retry-After", "1"))))

    async def _once(self, method: str, target: URL, data: Any, headers: dict[str, str]) -> Answer:
        async with self._http.request(
            method, target, data=data, headers=headers, allow_redirects=False, timeout=PATIENCE
        ) as response:
            return Answer(response.status, response.headers, await response.read())

    async def get(self, path: str, **options: Any) -> Answer:
        return await self.ask("GET", path, **options)

    async def post(self, path: str, json_body: Any = ..., **options: Any) -> Answer:
        return await self.ask("POST", path, json_body=json_body, **options)

    async def patch(self, path: str, json_body: Any = ..., **options: Any) -> Answer:
        return await self.ask("PATCH", path, json_body=json_body, **options)

    async def delete(self, path: str, **options: Any) -> Answer:
        return await self.ask("DELETE", path, **options)

    def stream(self, **query: str) -> Any:
        """The event stream, as a context manager of the raw response; its headers come with the first byte."""
        return self._http.get(
            URL(self.url + "/api/events/stream").extend_query(query),
            headers={"Authorization": f"Bearer {self.key}"},
            timeout=aiohttp.ClientTimeout(total=None, sock_read=40),
        )

    async def ingest(self, *events: dict[str, Any]) -> None:
        """Ingest all these events, in one batch."""
        assert (await self.post("/api/events", {"events": events})).json() == {"ingested": len(events)}

    async def history(self, **query: Any) -> list[dict[str, Any]]:
        """The history under these filters, as it is answered: newest first."""
        found = (await self.get("/api/events/history", **query)).json()
        assert found["count"] == len(found["events"])
        events: list[dict[str, Any]] = found["events"]
        return events
