"""A server that will be killed: tells on stdout what its clients are shown, one JSON document a line.

``python -m serving STATE_DIR RUNS``: the first four runs last until the server is killed, the others not at all.
"""

from __future__ import annotations

import asyncio
import json
import sys
from pathlib import Path
from typing import Any

from aitp_playground.runs import recovery
from aitp_playground.service import Playground, playground

from .watching import ACT, submit, unruly_settings, until

AT_ONCE = 4


def tell(**what: Any) -> None:
    print(json.dumps(what), flush=True)


async def show(running: Playground, run_id: str) -> None:
    async for batch in running.directory.stream(run_id):
        for entry in batch:
            tell(run=run_id, seq=entry.seq, body=entry.body.decode())


async def main(state: Path, count: int) -> None:
    # A server that has time to heed the cancel gives its place to the next run, which is then killed in the middle.
    recovery.INTENT_POLL = 3600.0
    async with playground(unruly_settings(state, max_concurrent_runs=AT_ONCE)) as running:
        runs = []
        for number in range(count):
            long = number < AT_ONCE
            runs.append(await submit(running, ACT, inputs={"act": "sleep", "seconds": 3600 if long else 0}))
        async with asyncio.TaskGroup() as group:
            for run_id in runs:
                group.create_task(show(running, run_id))
            for run_id in runs[:AT_ONCE]:
                await until(running, run_id, "step.started")
            # What a cancel leaves on disk when the crash comes before it is carried out.
            for run_id in (runs[0], runs[-1]):
                await running.services.store.request_cancel(run_id)
            tell(runs=runs, pids=[row.pid for row in running.directory.agents()])


if __name__ == "__main__":
    asyncio.run(main(Path(sys.argv[1]), int(sys.argv[2])))
