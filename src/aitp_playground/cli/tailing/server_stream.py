"""An event stream as a client reads it: taken up where it broke, without losing or doubling an event."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator, Mapping

import aiohttp

from aitp_playground.cli.running.api_client import Unreachable, refusal_of, what_failed
from aitp_playground.cli.terminal.lines import say
from aitp_playground.net import read_bounded

#: Seconds for which a server that is away is waited for.
PATIENCE = 60.0
_PAUSES = (0.05, 0.1, 0.2, 0.5, 1.0)
_CONNECT = 10.0
#: The server sends a heartbeat every 15 s when nothing happens.
_SILENCE = 60.0
#: An event holds an output of 1 MiB at most; aiohttp reads lines of twice its buffer.
_BUFFER = 4 << 20


class ServerStream:
    """The event stream at one address; ``last_id`` is the place that has been reached."""

    def __init__(
        self, http: aiohttp.ClientSession, url: str, api_key: str | None, parameters: Mapping[str, str]
    ) -> None:
        self._http = http
        self._url = url
        self._headers = {"Authorization": f"Bearer {api_key}"} if api_key else {}
        self._parameters = dict(parameters)
        self.last_id: str | None = None

    async def frames(self, *, patient: bool) -> AsyncGenerator[bytes | None]:
        """``data`` of each frame; None whenever everything is connected (again). Ends with the stream's own end.

        Raises InvalidRequest for what the server refuses, and PlaygroundError once it is away for ``PATIENCE`` seconds,
        or at once unless ``patient``. That it is away for longer than a restart takes, and when it is back, is said on
        standard error.
        """
        gone_since: float | None = None
        attempt, was_there = 0, False
        while True:
            try:
                async for data in self._once():
                    if attempt > len(_PAUSES):
                        say("it is there again", err=True)
                    gone_since, attempt, was_there, patient = None, 0, True, True
                    if data == b'{"type":"stream.end"}':
                        return
                    yield data
                failure: Exception = ConnectionResetError("it closed the stream")
            except (aiohttp.ClientError, TimeoutError, OSError) as broken:
                failure = broken
            now = time.monotonic()
            gone_since = gone_since or now
            if not patient or now - gone_since > PATIENCE:
                message = f"{self._url} cannot be reached: {what_failed(failure)}"
                raise Unreachable(message, was_there=was_there) from failure
            if attempt == len(_PAUSES):
                say(f"{self._url} is away: {what_failed(failure)}; trying again for {PATIENCE:.0f} s", err=True)
            await asyncio.sleep(_PAUSES[min(attempt, len(_PAUSES) - 1)])
            attempt += 1

    async def _once(self) -> AsyncGenerator[bytes | None]:
        headers = dict(self._headers)
        if self.last_id is not None:
            headers["Last-Event-ID"] = self.last_id
        async with self._http.get(
            self._url,
            params=self._parameters,
            headers=headers,
            allow_redirects=False,
            timeout=aiohttp.ClientTimeout(total=None, sock_connect=_CONNECT, sock_read=_SILENCE),
            read_bufsize=_BUFFER,
        ) as response:
            if response.status != 200:
                body = await read_bounded(response, _BUFFER)
                if response.status in (502, 503, 504):
                    raise aiohttp.ClientError(f"it answered {response.status}")
                raise refusal_of(self._url, response.status, body)
            yield None
            place, data = None, None
            async for line in response.content:
                if line.startswith(b"id:"):
                    place = line[3:].strip().decode("ascii", "replace")
                elif line.startswith(b"data:"):
                    data = line[5:].strip()
                elif line in (b"\n", b"\r\n"):
                    # A frame counts once it is whole: one that was cut off comes again.
                    self.last_id = place or self.last_id
                    if data is not None:
                        yield data
                    place, data = None, None
