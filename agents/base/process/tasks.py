"""Ending a task that one owns."""

from __future__ import annotations

import asyncio
from typing import Any


async def end_task(task: asyncio.Task[Any]) -> None:
    """Cancel it and wait for its end. What it ended with is raised, its own cancellation is not; the caller's is."""
    task.cancel()
    await asyncio.wait((task,))  # which, unlike awaiting the task, tells whose cancellation it was
    if not task.cancelled():
        task.result()
