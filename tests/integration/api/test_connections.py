"""What strangers do to the connections of a real server, and that others do not notice."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import json
import os
import resource
import socket
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from aiohttp import ClientSession

from aitp_playground import service
from aitp_playground.control_plane.options import Options
from aitp_playground.control_plane.server import control_plane
from tests.support.playground import VARIANTS, playground_at

PATIENCE = 300.0
SILENT = 1100
HEALTH = b"GET /healthz HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"
#: What the connection refuses itself, and a part of what it says.
REFUSED = [
    (b"GET /healthz HTTP/1.1\r\nHost: localhost\r\nA header secret\r\n\r\n", "HTTP"),
    (b"G@T /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n", "method"),
    (b"GET /" + b"secret" * 4000 + b" HTTP/1.1\r\nHost: localhost\r\n\r\n", "too long"),
    (b"POST /runs HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nx", "HTTP"),
    (b"\x16\x03\x01\x02\x00\x01secret\r\n\r\n", ""),
]


@contextlib.contextmanager
def open_files(at_least: int) -> Iterator[None]:
    """Room for this process's own end of the connections."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, min(at_least, hard)), hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


@contextlib.contextmanager
def started(directory: Path, *command: str) -> Iterator[tuple[subprocess.Popen[str], int]]:
    """A server that may have 1,024 open files and no more, and its port."""
    env = {"PATH": os.environ["PATH"], "HOME": str(directory), "STATE_DIR": str(directory / "state")}
    limited = f"ulimit -n 1024; exec {sys.executable} -m aitp_playground {' '.join(command)} --port 0"
    server = subprocess.Popen(
        ["/bin/sh", "-c", limited], env=env, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    try:
        assert server.stdout is not None
        line = server.stdout.readline()
        assert " listens on http://" in line, line
        yield server, urlsplit(line.split()[-1]).port or 0
    finally:
        server.terminate()
        server.communicate(timeout=PATIENCE)


async def exchanged(port: int, sent: bytes) -> bytes:
    """All that is answered until the server closes."""
    async with asyncio.timeout(PATIENCE):
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        try:
            writer.write(sent)
            return await reader.read()
        finally:
            writer.close()
            with contextlib.suppress(ConnectionError):
                await writer.wait_closed()


@pytest.mark.parametrize(
    ("command", "asked"),
    [(("serve",), HEALTH), (("control-plane",), HEALTH.replace(b"/healthz", b"/api/health"))],
    ids=["service", "control-plane"],
)
async def test_a_silent_crowd_keeps_nobody_out(tmp_path: Path, command: tuple[str, ...], asked: bytes) -> None:
    with open_files(4096), started(tmp_path, *command) as (server, port), contextlib.ExitStack() as crowd:
        for _ in range(SILENT):
            crowd.enter_context(contextlib.closing(socket.create_connection(("127.0.0.1", port), timeout=PATIENCE)))
        for _ in range(3):
            assert (await exchanged(port, asked)).startswith(b"HTTP/1.1 200 ")
        descriptors = len(os.listdir(f"/proc/{server.pid}/fd"))  # noqa: PTH208 - numbers, not paths
        assert descriptors <= 1024 * 0.8 + 32


@pytest.fixture
async def running(tmp_path: Path) -> AsyncIterator[Any]:
    async with playground_at(tmp_path, scenarios_dir=str(VARIANTS / "scenarios")) as playground:
        yield playground


@pytest.fixture
async def hasty(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Any]:
    """A playground whose limits are short enough to wait for."""
    limits = dataclasses.replace(service.LIMITS, head_secs=2.0, idle_secs=4.0)
    monkeypatch.setattr(service, "LIMITS", limits)
    roots = str(VARIANTS / "scenarios")
    async with playground_at(tmp_path, scenarios_dir=roots) as playground:
        yield playground


async def test_a_head_that_comes_byte_by_byte_is_told_so_in_the_one_shape(hasty: Any) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", urlsplit(hasty.url).port)
    ended = asyncio.create_task(reader.read())
    writer.write(b"GET /")
    while not ended.done():
        writer.write(b"x")
        await asyncio.sleep(0.02)
    head, _, body = (await ended).partition(b"\r\n\r\n")
    writer.close()
    assert head.startswith(b"HTTP/1.1 408 ")
    assert b"server:" not in head.lower()
    assert json.loads(body)["error"]["code"] == "request_timeout"


@pytest.mark.parametrize(("sent", "said"), REFUSED)
async def test_what_http_itself_refuses_has_the_one_shape(running: Any, sent: bytes, said: str) -> None:
    head, _, body = (await exchanged(urlsplit(running.url).port or 0, sent)).partition(b"\r\n\r\n")
    error = json.loads(body)["error"]
    assert (head.split()[1], error["code"]) == (b"400", "invalid_request")
    assert said.lower() in error["message"].lower()
    assert b"server:" not in head.lower()
    assert b"secret" not in body


@pytest.mark.parametrize(("sent", "said"), REFUSED)
async def test_the_control_plane_refuses_in_its_own_shape(sent: bytes, said: str) -> None:
    async with control_plane(Options()) as cp:
        head, _, body = (await exchanged(urlsplit(cp.url).port or 0, sent)).partition(b"\r\n\r\n")
    refused = json.loads(body)
    assert (head.split()[1], refused["code"]) == (b"400", "INVALID_REQUEST")
    assert said.lower() in refused["error"].lower()
    assert b"server:" not in head.lower()


async def test_a_stream_outlives_what_an_idle_connection_and_a_head_may_take(hasty: Any) -> None:
    async with ClientSession(hasty.url) as http:
        made = {"scenario_ref": "lifecycle/act@1.0.0", "inputs": {"act": "sleep", "seconds": 6}}
        async with http.post("/runs", json=made) as response:
            assert response.status == 202, await response.text()
            run_id = (await response.json())["run_id"]
        async with asyncio.timeout(PATIENCE), http.get(f"/runs/{run_id}/events") as stream:
            told = (await stream.read()).decode()
    assert told.endswith('data: {"type":"stream.end"}\n\n')
