"""A worker that behaves badly when told to: at its start by ``UNRULY`` of its environment, later by its input."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
import time
from typing import Any

from base import agent
from base.telemetry import Telemetry
from base.worker import Worker

worker = Worker()
told: list[Telemetry] = []


class Overheard(Telemetry):
    """The agent's telemetry, within reach of its capabilities."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        told.append(self)


agent.__dict__["Telemetry"] = Overheard


@worker.capability("test.echo")
async def echo(task: dict[str, Any]) -> dict[str, Any]:
    """The input."""
    return task


@worker.capability("test.act")
async def act(task: dict[str, Any]) -> dict[str, Any]:
    """Do what ``task["act"]`` says."""
    await ACTS[task.get("act", "echo")](task)
    return task


async def nothing(task: dict[str, Any]) -> None:
    """Behave."""


async def sleep(task: dict[str, Any]) -> None:
    await asyncio.sleep(task.get("seconds", 0))


async def block(task: dict[str, Any]) -> None:
    time.sleep(task.get("seconds", 0))  # noqa: ASYNC251 - a blocked loop is the point


async def die(task: dict[str, Any]) -> None:
    sys.stderr.write("the corpus is on fire\n")
    sys.stderr.flush()
    os._exit(3)


async def fail(task: dict[str, Any]) -> None:
    raise ValueError("no such article")


async def defy(task: dict[str, Any]) -> None:
    asyncio.get_running_loop().remove_signal_handler(signal.SIGTERM)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    await asyncio.Event().wait()


async def flood(task: dict[str, Any]) -> None:
    """Emit ``count`` events as fast as the buffer takes them."""
    left = task["count"]
    while left:
        before = told[0].emitter_seq
        for _ in range(min(left, 500)):
            told[0].emit("capability.invoked", capability="test.act", payload={"filler": "x" * 20})
        left -= min(left, told[0].emitter_seq - before)
        await asyncio.sleep(0)
    await told[0].flush(20)


ACTS = {
    "echo": nothing,
    "sleep": sleep,
    "block": block,
    "die": die,
    "raise": fail,
    "defy": defy,
    "flood": flood,
}


def start() -> None:
    """Start as ``UNRULY`` says."""
    match os.environ.get("UNRULY"):
        case "exit":
            sys.stderr.write("no licence for this corpus\n")
            sys.exit(4)
        case "silent":
            signal.pause()
        case "garbage":
            os.write(1, os.urandom(200_000))
            os.write(2, b"\x00\xff{'" * 20_000)
            signal.pause()
        case "malformed":
            print("AITP_AGENT_READY nonsense", flush=True)
            signal.pause()
        case "foreign":
            print("AITP_AGENT_READY aid=aid:pubkey:AAAA port=1", flush=True)
            signal.pause()
        case _:
            worker.run()


if __name__ == "__main__":
    start()
