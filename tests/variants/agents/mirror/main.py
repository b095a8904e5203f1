"""A worker that tells what it sees of itself: its process, its language model, and what it serves to anybody."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import Any

import aiohttp

from base import agent
from base.process.bootstrap import Bootstrap
from base.protocol.identity import Identity
from base.worker import Worker, WorkerContext

worker = Worker()
told: list[Bootstrap] = []


class Overheard(Identity):
    """The agent's identity; where it serves is within reach of its capabilities."""

    def __init__(self, bootstrap: Bootstrap) -> None:
        super().__init__(bootstrap)
        told.append(bootstrap)


agent.__dict__["Identity"] = Overheard


async def served(path: str) -> Any:
    async with aiohttp.ClientSession() as http, http.get(told[0].base_url + path) as answer:
        return json.loads(await answer.read()) if answer.status == 200 else answer.status


@worker.capability("mirror.look")
async def look(task: dict[str, Any], context: WorkerContext) -> dict[str, Any]:
    """What is to be seen of this agent."""
    return {
        "task": task,
        "cwd": str(Path.cwd()),
        "env": dict(os.environ),
        "python": sys.executable,
        "file": sys.modules["__main__"].__file__,
        "llm": context.llm is not None,
        "manifest": (await served("/.well-known/aitp-manifest"))["manifest"],
        "did": await served("/.well-known/did.json"),
    }


@worker.capability("mirror.other")
async def other(task: dict[str, Any]) -> dict[str, Any]:
    """Something else to grant."""
    return task


if __name__ == "__main__":
    worker.run()
