"""Sixty runs later the service is where it was."""

from __future__ import annotations

import asyncio
import gc
from pathlib import Path
from typing import Any

from tests.support.playground import run

from .watching import ACT, DUO, NOTHING, at_rest, eventually, launches, leftovers, living, unruly_playground

ROUNDS = 5
REQUESTS: list[tuple[str, dict[str, Any]]] = [
    (ACT, {}),
    (ACT, {"inputs": {"act": "raise"}}),
    (ACT, {"inputs": {"act": "die"}}),
    (ACT, {"template": "exit"}),
    (DUO, {}),
    (DUO, {"fault_injection": {"peer_offline": ["callee"]}, "template": "lazy"}),
]


def state(directory: Path) -> tuple[int, int, int]:
    """Open descriptors, tasks, files of the state directory.

    Not counted are the store's own descriptors there: its few readers open when they are first needed.
    """
    gc.collect()
    targets = [target(descriptor) for descriptor in Path("/proc/self/fd").iterdir()]
    strangers = [name for name in targets if not name.startswith(str(directory))]
    return len(strangers), len(asyncio.all_tasks()), len(list(directory.rglob("*")))


def target(descriptor: Path) -> str:
    try:
        return str(descriptor.readlink())
    except FileNotFoundError:  # the one that listed them
        return ""


async def test_sixty_runs_leave_no_process_descriptor_task_file_or_row(tmp_path: Path) -> None:
    async with unruly_playground(tmp_path) as running:

        async def rounds(count: int) -> None:
            for _ in range(count):
                async with asyncio.TaskGroup() as group:
                    for ref, request in REQUESTS * 2:
                        group.create_task(run(running, ref, **request))
            await at_rest(running)
            running.services.http.connector._cleanup()  # type: ignore[union-attr]

        await rounds(1)
        before = state(tmp_path)
        with launches(running) as pids:
            await rounds(ROUNDS)
        assert len(pids) >= 12 * ROUNDS
        assert not living(pids)
        assert leftovers(running) == NOTHING
        crashed = {row.status for row in running.directory.agents()}
        assert crashed == {"crashed"}
        # The far ends of the last agents' connections are noticed a moment later.
        await eventually(lambda: all(now <= then for now, then in zip(state(tmp_path), before, strict=True)))
