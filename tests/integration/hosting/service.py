"""A service to be killed: launches agents, prints what it started, and waits for its end."""

import asyncio
import json
import sys

from aitp_playground.hosting.launcher import AgentLauncher
from aitp_playground.resources import agents_dir
from tests.integration.hosting.staging import listening, scripted


async def main(kind: str, count: int) -> None:
    launcher = AgentLauncher(python=sys.executable, agents_dir=agents_dir(), pool_size=2, fork=kind == "fork")
    await launcher.start()
    pids = []
    for _ in range(count):
        with listening() as listener:
            process = await launcher.launch(scripted(listener, act="ignore_term"))
        await process.ready()
        pids.append(process.pid)
    server = launcher.fork_server_pid
    print(json.dumps({"agents": pids, "server": server}), flush=True)
    await asyncio.Event().wait()


asyncio.run(main(sys.argv[1], int(sys.argv[2])))
