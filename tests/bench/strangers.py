"""Strangers who greet one agent, each with a key of its own: ``python -m tests.bench.strangers URL HELLOS AT_ONCE``.

Says ``ready`` once the hellos are made, and what became of them at the end.
"""

from __future__ import annotations

import asyncio
import json
import sys
from collections import Counter

import aiohttp
import aitp


async def main(url: str, hellos: int, at_once: int) -> None:
    """Send them all, so many at a time, each as soon as there is an answer to one before it."""
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)) as http:
        async with http.get(f"{url}/.well-known/aitp-manifest") as response:
            manifest = await response.text()
        aid = _aid(manifest)
        messages = [_hello(manifest, aid) for _ in range(hellos)]
        print("ready", flush=True)
        answers: Counter[int] = Counter()

        async def send() -> None:
            while messages:
                headers = {"Content-Type": "application/json"}
                async with http.post(f"{url}/aitp/handshake/hello", data=messages.pop(), headers=headers) as response:
                    await response.read()
                    answers[response.status] += 1

        async with asyncio.TaskGroup() as group:
            for _ in range(at_once):
                group.create_task(send())
    print(", ".join(f"{count} answered {status}" for status, count in sorted(answers.items())))


def _aid(manifest: str) -> str:
    """The AID in a manifest."""
    aid: str = json.loads(manifest)["manifest"]["aid"]
    return aid


def _hello(manifest: str, aid: str) -> bytes:
    agent = aitp.AitpAgent.generate()
    agent.build_manifest("stranger", "http://localhost:1/aitp/handshake/", ["s.one"])
    return agent.new_session(pinned_keys=[aid]).build_hello(manifest, ["demo.echo"]).encode()


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], int(sys.argv[2]), int(sys.argv[3])))
