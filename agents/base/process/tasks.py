"""Tasks that somebody owns: ended by their owner, or shared by all who wait for the same."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any, Generic, TypeVar

_T = TypeVar("_T")


async def end_task(task: asyncio.Task[Any]) -> None:
    """Cancel it and wait for its end. What it ended with is raised, its own cancellation is not; the caller's is."""
    task.cancel()
    await asyncio.wait((task,))  # which, unlike awaiting the task, tells whose cancellation it was
    if not task.cancelled():
        task.result()


class SharedTasks(Generic[_T]):
    """At most one task for each key. Whoever asks while it goes on gets that one; the tasks are this object's."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._tasks: dict[str, asyncio.Task[_T]] = {}

    def join(self, key: str, begin: Callable[[], Coroutine[Any, Any, _T]]) -> asyncio.Task[_T]:
        """The task that goes on for ``key``, or a new one."""
        task = self._tasks.get(key)
        if task is None:
            task = asyncio.create_task(begin(), name=self._name)
            self._tasks[key] = task
            task.add_done_callback(lambda _: self._tasks.pop(key))
        return task

    async def close(self) -> None:
        """End them all; what they come to is for nobody any more."""
        tasks = list(self._tasks.values())
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def outcome(task: asyncio.Task[_T]) -> _T:
    """What a shared task came to. A waiter that is cancelled does not take it along."""
    await asyncio.wait((task,))
    return task.result()
