"""Ending a task: its own cancellation is its end, the caller's is not swallowed."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from base.http.tracing import Tracer
from base.process.bootstrap import ControlPlaneConfig, RevocationConfig, TelemetryConfig
from base.process.tasks import SharedTasks, end_task
from base.protocol.revocation_refresh import Refresher
from base.telemetry import Telemetry


async def stubborn(began: asyncio.Event, let_go: asyncio.Event) -> None:
    """Takes its time to end."""
    began.set()
    try:
        await asyncio.Event().wait()
    finally:
        await let_go.wait()


def telemetry(task: asyncio.Task[None]) -> Any:
    made = Telemetry(TelemetryConfig("http://127.0.0.1:1/", "t"), lambda: None, Tracer("", str))  # type: ignore[arg-type,return-value]
    made._task = task
    return made


def refresher(task: asyncio.Task[None]) -> Any:
    nothing: Any = None
    config = RevocationConfig("fail_open", 1, 1)
    made = Refresher(config, ControlPlaneConfig("http://127.0.0.1:1", None), nothing, nothing, nothing, nothing)
    made._task = task
    return made


@pytest.mark.parametrize("owner", [telemetry, refresher])
async def test_cancelling_the_one_who_closes_is_not_lost(owner: Any) -> None:
    began, let_go = asyncio.Event(), asyncio.Event()
    task = asyncio.create_task(stubborn(began, let_go))
    await began.wait()
    closing = asyncio.create_task(owner(task).close())
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    closing.cancel()
    with pytest.raises(asyncio.CancelledError):
        await closing
    let_go.set()
    await asyncio.wait((task,))


async def test_a_task_that_ends_is_waited_for_and_what_it_failed_of_is_raised() -> None:
    began, let_go = asyncio.Event(), asyncio.Event()
    let_go.set()
    task = asyncio.create_task(stubborn(began, let_go))
    await began.wait()
    await end_task(task)
    assert task.cancelled()

    async def broken() -> None:
        raise ValueError("broken")

    failed = asyncio.create_task(broken())
    await asyncio.wait((failed,))
    with pytest.raises(ValueError, match="broken"):
        await end_task(failed)


async def test_shared_tasks_end_whatever_they_come_to() -> None:
    shared: SharedTasks[None] = SharedTasks("shared")
    began = asyncio.Event()

    async def failing() -> None:
        began.set()
        try:
            await asyncio.Event().wait()
        finally:
            raise ValueError

    waiting = asyncio.Event()
    tasks = [shared.join("a", failing), shared.join("b", failing)]

    async def endless() -> None:
        waiting.set()
        await asyncio.Event().wait()

    tasks.append(shared.join("c", endless))
    assert shared.join("c", endless) is tasks[2]
    await asyncio.wait_for(asyncio.gather(began.wait(), waiting.wait()), 60)
    await shared.close()
    assert all(task.done() for task in tasks)
    assert tasks[2].cancelled()
