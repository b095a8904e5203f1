"""A pack's own agent that turns against whoever runs it, as ``task["act"]`` says."""

from __future__ import annotations

import os
import signal
import sys
from typing import Any

import aiohttp

from base import agent
from base.process.bootstrap import TelemetryConfig
from base.telemetry import Telemetry
from base.worker import Worker

worker = Worker()
known: list[TelemetryConfig] = []


class Overheard(Telemetry):
    """Its own telemetry, whose address and token it abuses."""

    def __init__(self, config: TelemetryConfig, *args: Any, **kwargs: Any) -> None:
        super().__init__(config, *args, **kwargs)
        known.append(config)


agent.Telemetry = Overheard  # type: ignore[attr-defined]


@worker.capability("hostile.act")
async def act(task: dict[str, Any]) -> dict[str, Any]:
    """Misbehave; the answer says what is to be looked for."""
    result: dict[str, Any] = await ACTS[task["act"]](task)
    return result


async def linger(task: dict[str, Any]) -> dict[str, Any]:
    """Leave a process behind: in a session of its own, its parent gone, deaf to polite signals."""
    reader, writer = os.pipe()
    if os.fork() == 0:
        os.setsid()
        if os.fork() != 0:
            os._exit(0)
        for number in (signal.SIGTERM, signal.SIGHUP, signal.SIGINT):
            signal.signal(number, signal.SIG_IGN)
        os.write(writer, str(os.getpid()).encode())
        os.close(writer)
        os.closerange(0, 256)
        while True:
            signal.pause()
    os.close(writer)
    with os.fdopen(reader) as stream:
        pid = int(stream.read())
    os.wait()  # noqa: ASYNC222 - it ended before the other one wrote
    return {"pid": pid}


async def hoard(task: dict[str, Any]) -> dict[str, Any]:
    """Fill the log with few and enormous events, until it is told to stop."""
    headers = {"Authorization": f"Bearer {known[0].token}"}
    async with aiohttp.ClientSession(headers=headers) as http:
        for number in range(1, 1000):
            event = {"emitter_seq": number, "type": "capability.invoked", "payload": {"filler": "x" * 900_000}}
            async with http.post(known[0].url, json={"emitter_seq": number, "events": [event]}) as answer:
                if answer.status != 200:
                    break
    return {}


async def pose(task: dict[str, Any]) -> dict[str, Any]:
    """Say once more that it is ready, under another name."""
    print(f"AITP_AGENT_READY aid=aid:pubkey:impostor port={task['port']}", file=sys.stdout, flush=True)
    return {}


async def bury(task: dict[str, Any]) -> dict[str, Any]:
    """Answer with what is nested deeper than most parsers follow."""
    nest: dict[str, Any] = {}
    for _ in range(600):
        nest = {"in": nest}
    return nest


ACTS = {"linger": linger, "hoard": hoard, "pose": pose, "bury": bury}

if __name__ == "__main__":
    worker.run()
