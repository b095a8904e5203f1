"""A real server for benchmarks: ``aitp-playground serve`` in a process of its own, below a directory of its own."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import re
import signal
import subprocess
import sys
import tempfile
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp

_URL = re.compile(rb"http://[0-9.]+:\d+")


@dataclass(frozen=True, slots=True)
class Server:
    """A listening server and a client for it."""

    url: str
    pid: int
    http: aiohttp.ClientSession
    directory: Path

    async def submit(self, ref: str, **body: Any) -> str:
        """``POST /runs``; the run's id."""
        async with self.http.post(f"{self.url}/runs", json={"scenario_ref": ref, **body}) as response:
            answer = await response.json()
            if response.status != 202:
                raise RuntimeError(f"POST /runs answered {response.status}: {answer}")
            return str(answer["run_id"])

    async def follow(self, run_id: str) -> str:
        """Read the stream; the type of the terminal event, as soon as it has arrived."""
        async with self.http.get(f"{self.url}/runs/{run_id}/events") as response:
            async for line in response.content:
                if line.startswith(b"data: ") and b'"type":"run.' in line:
                    kind = str(json.loads(line[6:])["type"])
                    if kind in {"run.complete", "run.failed", "run.cancelled"}:
                        return kind
        raise RuntimeError(f"the stream of {run_id} ended without a terminal event")

    async def get(self, path: str) -> Any:
        """A JSON answer."""
        async with self.http.get(f"{self.url}{path}") as response:
            return await response.json()


@contextlib.asynccontextmanager
async def server(
    *, python: str = sys.executable, arguments: Sequence[str] = (), **settings: str
) -> AsyncIterator[Server]:
    """Start, wait until it listens, stop it with SIGTERM. ``python``: that of the version to serve;
    ``arguments`` of its command."""
    with tempfile.TemporaryDirectory(prefix="playground-bench-") as name:
        directory = Path(name)
        (directory / "tmp").mkdir()
        env = {
            "PATH": os.environ["PATH"],
            "HOME": name,
            "TMPDIR": str(directory / "tmp"),
            "STATE_DIR": str(directory / "state"),
            "LOG_FORMAT": "json",
            **{key.upper(): value for key, value in settings.items()},
        }
        with (directory / "log").open("wb") as log:
            process = subprocess.Popen(  # noqa: ASYNC220 - nothing else runs yet
                [python, "-m", "aitp_playground", "serve", "--port", "0", *arguments],
                env=env,
                cwd=name,
                stdout=subprocess.PIPE,
                stderr=log,
            )
        try:
            url = await asyncio.to_thread(_listening, process)
            connector = aiohttp.TCPConnector(limit=0)
            async with aiohttp.ClientSession(connector=connector, timeout=aiohttp.ClientTimeout(total=600)) as http:
                yield Server(url, process.pid, http, directory)
        finally:
            process.send_signal(signal.SIGTERM)
            await asyncio.to_thread(process.wait, 60)
            if process.stdout is not None:
                process.stdout.close()


def _listening(process: subprocess.Popen[bytes]) -> str:
    assert process.stdout is not None
    for line in process.stdout:
        found = _URL.search(line)
        if found:
            return found.group().decode()
    raise RuntimeError("the server ended before it listened")
