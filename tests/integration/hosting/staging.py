"""What the launcher tests share: specs of scripted workers, and ways to see a process end without sleeping."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import socket
from pathlib import Path
from typing import Any

import pytest

from aitp_playground.hosting.contract import LaunchSpec
from aitp_playground.resources import agents_dir

WORKERS = Path(__file__).parent / "workers"
_CLOSED = "only root sees into a worker"


def listening() -> socket.socket:
    return socket.create_server(("127.0.0.1", 0))


def scripted(listener: socket.socket, act: str, spec: dict[str, Any] | None = None, **script: Any) -> LaunchSpec:
    """A launch of ``workers/scripted.py``; ``spec`` overrides fields of the LaunchSpec."""
    fields: dict[str, Any] = {
        "run_id": "run",
        "agent_id": "scripted",
        "entrypoint_type": "python_file",
        "entrypoint": "scripted.py",
        "cwd": WORKERS,
        "path": (WORKERS, agents_dir()),
        "bootstrap": json.dumps({"act": act, **script}).encode(),
        "listener": listener,
    }
    return LaunchSpec(**fields | (spec or {}))


async def ended(pid: int) -> None:
    """Wait until a process is over (it may be a zombie of somebody else's); ten seconds at most."""
    try:
        descriptor = os.pidfd_open(pid)
    except ProcessLookupError:
        return
    over = asyncio.Event()
    loop = asyncio.get_running_loop()
    loop.add_reader(descriptor, over.set)
    try:
        await asyncio.wait_for(over.wait(), 300)
    finally:
        loop.remove_reader(descriptor)
        os.close(descriptor)


def exists(pid: int) -> bool:
    """Whether the process is there, if only as a zombie."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


def children_of(pid: int) -> set[int]:
    return set(map(int, Path(f"/proc/{pid}/task/{pid}/children").read_text().split()))


def open_descriptors() -> int:
    return len(descriptor_targets(os.getpid()))


def descriptor_targets(pid: int) -> list[str]:
    """What the descriptors of a process lead to."""
    targets = []
    try:
        entries = list(Path(f"/proc/{pid}/fd").iterdir())
    except PermissionError:
        pytest.skip(_CLOSED)
    for entry in entries:
        with contextlib.suppress(FileNotFoundError):  # the one that lists them
            targets.append(str(entry.readlink()))
    return targets


def name_of(pid: int) -> str:
    return Path(f"/proc/{pid}/comm").read_text().strip()


def threads_of(pid: int) -> int:
    return len(list(Path(f"/proc/{pid}/task").iterdir()))


def initial_environment(pid: int) -> bytes:
    try:
        return Path(f"/proc/{pid}/environ").read_bytes()
    except PermissionError:
        pytest.skip(_CLOSED)
