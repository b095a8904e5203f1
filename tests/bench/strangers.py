"""Those who have proven nothing, many at once, to one agent.

``python -m tests.bench.strangers KIND URL COUNT AT_ONCE``.

``hellos`` are of strangers, each with a key of its own; ``forgeries`` bear the AID on standard input without its
signature; ``challenges`` are asked for a token that the agent never issued. Says ``ready`` once they are made, and what
became of them at the end.
"""

from __future__ import annotations

import asyncio
import base64
import json
import sys
import time
import uuid
from collections import Counter

import aiohttp
import aitp

HELLO = "/aitp/handshake/hello"


#: What is posted where, with which headers besides.
Message = tuple[str, bytes, dict[str, str]]


async def main(kind: str, url: str, count: int, at_once: int) -> None:
    """Send them all, so many at a time, each as soon as there is an answer to one before it."""
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)) as http:
        async with http.get(f"{url}/.well-known/aitp-manifest") as response:
            manifest = await response.text()
        aid = _aid(manifest)
        if kind == "challenges":
            messages: list[Message] = [("/aitp/pop/challenge", b"{}", {"X-AITP-TCT": _token(aid)})] * count
        else:
            victim = sys.stdin.readline().strip() if kind == "forgeries" else None
            messages = [(HELLO, _hello(manifest, aid, victim), {}) for _ in range(count)]
        print("ready", flush=True)
        answers: Counter[int] = Counter()

        async def send() -> None:
            while messages:
                path, body, headers = messages.pop()
                headers = {"Content-Type": "application/json", **headers}
                async with http.post(url + path, data=body, headers=headers) as response:
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


def _token(aid: str) -> str:
    """A TCT as ``aid`` might have issued it, which it did not: it is signed by nobody."""
    holder, now = aitp.AitpAgent.generate().aid, int(time.time())
    claims = {
        "ver": "aitp/0.3",
        "iss": aid,
        "sub": holder,
        "aud": holder,
        "iat": now,
        "exp": now + 3600,
        "jti": str(uuid.uuid4()),
        "grants": ["demo.echo"],
        "cnf": {"jkt": aitp.compute_aid_jkt(holder)},
    }
    parts = json.dumps({"alg": "EdDSA", "typ": "aitp-tct+jwt"}).encode(), json.dumps(claims).encode(), bytes(64)
    return ".".join(base64.urlsafe_b64encode(part).rstrip(b"=").decode() for part in parts)


def _hello(manifest: str, aid: str, victim: str | None) -> bytes:
    agent = aitp.AitpAgent.generate()
    agent.build_manifest("stranger", "http://localhost:1/aitp/handshake/", ["s.one"])
    hello = agent.new_session(pinned_keys=[aid]).build_hello(manifest, ["demo.echo"])
    if victim is not None:
        hello = json.dumps(json.loads(hello) | {"sender": {"agent_id": victim}})
    return hello.encode()


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], sys.argv[2], int(sys.argv[3]), int(sys.argv[4])))
