"""Several waits at once, failing as one would expect a single wait to fail."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Iterable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

T = TypeVar("T")


async def together(work: Iterable[Coroutine[Any, Any, Any]]) -> None:
    """Run all of it concurrently; the first failure cancels the rest and is raised bare, not in a group."""
    try:
        async with asyncio.TaskGroup() as group:
            for item in work:
                group.create_task(item)
    except BaseExceptionGroup as failures:
        raise first_leaf(failures) from None


#: Apart from the default executor, whose threads file work needs.
_APART = ThreadPoolExecutor(4, thread_name_prefix="apart")


async def apart(work: Callable[[], T]) -> T:
    """Do what may take long, or wait for a process, in one of a few threads of its own."""
    return await asyncio.get_running_loop().run_in_executor(_APART, work)


async def outlast(task: asyncio.Future[Any]) -> None:
    """Wait for the end of ``task``, however it ends. A cancellation that comes meanwhile is kept and raised then."""
    cancelled: asyncio.CancelledError | None = None
    while not task.done():
        try:
            await asyncio.wait({task})
        except asyncio.CancelledError as error:
            cancelled = error
    if cancelled is not None:
        raise cancelled


def being_cancelled() -> bool:
    """Whether the current task is on its way out and should not begin to wait for anything that can be left out."""
    task = asyncio.current_task()
    return task is not None and task.cancelling() > 0


def ignore_failure(future: asyncio.Future[Any]) -> None:
    """Nobody waits for this one: a failure is the store's to report, and no surprise when the loop closes."""
    future.add_done_callback(lambda done: done.cancelled() or done.exception())


def first_leaf(group: BaseExceptionGroup[Any]) -> BaseException:
    """The first exception that is no group."""
    found: BaseException = group
    while isinstance(found, BaseExceptionGroup):
        found = found.exceptions[0]
    return found


def when_done(commit: asyncio.Future[None], value: T, *, failed: T | None = None) -> asyncio.Future[T]:
    """``value`` once ``commit`` is through; ``failed``, if given, instead of its failure."""
    answer: asyncio.Future[T] = commit.get_loop().create_future()

    def settle(done: asyncio.Future[None]) -> None:
        if answer.done():
            return
        failure = None if done.cancelled() else done.exception()
        if failure is None:
            answer.set_result(value)
        elif failed is not None:
            answer.set_result(failed)
        else:
            answer.set_exception(failure)

    commit.add_done_callback(settle)
    return answer
