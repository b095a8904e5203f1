"""The HTTP API of a running playground, as far as ``run --server`` needs it."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator, Mapping
from typing import Any
from urllib.parse import quote

import aiohttp
import orjson

from aitp_playground.errors import InvalidRequest, PlaygroundError, ScenarioNotFound, Unauthorized
from aitp_playground.events.codec import decode, decode_json
from aitp_playground.net import read_bounded
from aitp_playground.store.port import StoredEvent

#: A run may have 100,000 events; this is what a client takes in at once.
_MAX_BODY = 1 << 30
#: An event holds an output of 1 MiB at most; aiohttp reads lines of twice its buffer.
_STREAM_BUFFER = 4 << 20
_TIMEOUT = 30.0
#: The server sends a heartbeat every 15 s when nothing happens.
_SILENCE = 60.0
_ATTEMPTS = 5
_PAUSE = 1.0


class Unreachable(PlaygroundError):
    """The server is not there; ``was_there``: any more."""

    def __init__(self, message: str, *, was_there: bool = False) -> None:
        super().__init__(message)
        self.was_there = was_there


class ApiClient:
    """``base``: the server's URL. What the server refuses is raised as InvalidRequest or ScenarioNotFound, what it
    cannot do, or an unreachable one, as PlaygroundError."""

    def __init__(self, http: aiohttp.ClientSession, base: str, api_key: str | None) -> None:
        self._http = http
        self._base = base.rstrip("/")
        self._headers = {"Authorization": f"Bearer {api_key}"} if api_key else {}

    async def scenario(self, ref: str, template: str | None) -> dict[str, Any]:
        """The parsed scenario, with the template merged in."""
        path = f"/scenarios/{quote(ref, safe='/@')}"
        return await self._json("GET", path if template is None else f"{path}/templates/{quote(template, safe='')}")

    async def refs(self) -> list[str]:
        """Every scenario there is."""
        return [entry["ref"] for entry in (await self._json("GET", "/scenarios"))["scenarios"]]

    async def running(self) -> list[dict[str, Any]]:
        """The runs that go on, newest first, a hundred at most."""
        return (await self.runs(limit=100, status="running"))[0]

    async def runs(
        self, *, limit: int, before: str | None = None, status: str | None = None, scenario_ref: str | None = None
    ) -> tuple[list[dict[str, Any]], str | None]:
        """A page of runs, newest first, and the ``before`` of the next page."""
        said = {"limit": str(limit), "before": before, "status": status, "scenario_ref": scenario_ref}
        query = "&".join(f"{name}={quote(value, safe='')}" for name, value in said.items() if value is not None)
        page = await self._json("GET", f"/runs?{query}")
        return list(page["runs"]), page.get("next")

    async def narration(self, run_id: str) -> bytes:
        """The run as prose."""
        return await self._call("GET", f"/runs/{run_id}/narrate", None)

    async def events_after(self, run_id: str, after: int) -> list[dict[str, Any]]:
        """Stored events of a run, in order, at most a page of them."""
        page = decode_json(await self._call("GET", f"/runs/{run_id}?after={after}&limit=1000", None))
        return list(page["events"])

    async def submit(self, request: Mapping[str, Any]) -> str:
        """Start a run; its id."""
        run_id: str = (await self._json("POST", "/runs", request))["run_id"]
        return run_id

    async def cancel(self, run_id: str) -> dict[str, Any]:
        """End a run; ``{"run_id", "status", "cancelled", "reason"?}``."""
        return await self._json("POST", f"/runs/{run_id}/cancel")

    async def head(self, run_id: str) -> dict[str, Any]:
        """The run without its events."""
        return dict(decode_json(await self._call("GET", f"/runs/{run_id}?events=false", None)))

    async def document(self, run_id: str) -> bytes:
        """The whole run."""
        return await self._call("GET", f"/runs/{run_id}", None)

    async def events(self, run_id: str) -> AsyncIterator[StoredEvent]:
        """The events of a run until it is over. A stream that breaks is taken up where it was."""
        after, failures = 0, 0
        while True:
            try:
                async for data in self._frames(run_id, after):
                    if orjson.loads(data).get("type") == "stream.end":
                        return
                    event = decode(data)
                    after, failures = event.seq, 0
                    yield StoredEvent(event.seq, event.type, event.ts, data)
            except (aiohttp.ClientError, TimeoutError, ValueError) as failure:
                failures += 1
                if failures == _ATTEMPTS:
                    raise self._unreachable(failure) from failure
            else:
                failures += 1
                if failures == _ATTEMPTS:
                    raise PlaygroundError(f"{self._base} ends the event stream of run {run_id} too early")
            await asyncio.sleep(_PAUSE)

    async def _frames(self, run_id: str, after: int) -> AsyncIterator[bytes]:
        """The ``data`` of each frame (HTML standard, section 9.2; here one line each)."""
        async with self._http.get(
            f"{self._base}/runs/{run_id}/events?after={after}",
            headers=self._headers,
            allow_redirects=False,
            timeout=aiohttp.ClientTimeout(total=None, sock_connect=_TIMEOUT, sock_read=_SILENCE),
            read_bufsize=_STREAM_BUFFER,
        ) as response:
            if response.status != 200:
                raise refusal_of(self._base, response.status, await read_bounded(response, _STREAM_BUFFER))
            async for line in response.content:
                if line.startswith(b"data:"):
                    yield line[5:].strip()

    async def _json(self, method: str, path: str, body: Mapping[str, Any] | None = None) -> dict[str, Any]:
        answer = await self._call(method, path, body)
        try:
            document = orjson.loads(answer)
        except ValueError:
            document = None
        if not isinstance(document, dict):
            raise PlaygroundError(f"{self._base} is no playground: {path} is not answered with a JSON object")
        return document

    async def _call(self, method: str, path: str, body: Mapping[str, Any] | None) -> bytes:
        try:
            async with self._http.request(
                method,
                self._base + path,
                json=body,
                headers=self._headers,
                allow_redirects=False,
                timeout=aiohttp.ClientTimeout(total=_TIMEOUT),
            ) as response:
                answer = await read_bounded(response, _MAX_BODY)
        except (aiohttp.ClientError, TimeoutError, ValueError) as failure:
            raise self._unreachable(failure) from failure
        if response.status >= 300:
            raise refusal_of(self._base, response.status, answer)
        return answer

    def _unreachable(self, failure: Exception) -> Unreachable:
        return Unreachable(f"{self._base} cannot be reached: {what_failed(failure)}")


def what_failed(failure: Exception) -> str:
    """The system's own words for what it met; aiohttp wraps them in its own."""
    if isinstance(failure, OSError) and failure.errno is not None and failure.errno > 0:
        return os.strerror(failure.errno)
    return (isinstance(failure, OSError) and failure.strerror) or str(failure) or type(failure).__name__


def refusal_of(base: str, status: int, body: bytes) -> PlaygroundError:
    """What an answer that is no success says; one without the form of ours is of some other program, at ``base``."""
    try:
        fault = orjson.loads(body)["error"]
        code, message = str(fault["code"]), str(fault["message"])
    except (ValueError, TypeError, KeyError):
        code, message = "", f"{base} is no playground, or something stands before it: it answered with status {status}"
    if code == ScenarioNotFound.code:
        return ScenarioNotFound(message)
    if code == Unauthorized.code:
        message += "; this command takes the key from the variable AITP_PLAYGROUND_API_KEY"
    return InvalidRequest(message) if 400 <= status < 500 else PlaygroundError(message)
