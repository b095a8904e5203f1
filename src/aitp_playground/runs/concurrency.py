"""Several waits at once, failing as one would expect a single wait to fail."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Coroutine, Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, TypeVar

from aitp_playground.errors import Overloaded

T = TypeVar("T")


async def together(work: Iterable[Coroutine[Any, Any, Any]]) -> None:
    """Run all of it concurrently; the first failure cancels the rest and is raised bare, not in a group."""
    try:
        async with asyncio.TaskGroup() as group:
            for item in work:
                group.create_task(item)
    except BaseExceptionGroup as failures:
        raise first_leaf(failures) from None


class Threads:
    """A few threads for one kind of work, so that no other kind waits behind it. ``waiting``: how much of it may wait
    for one of them; unlimited when it is bounded already."""

    def __init__(self, name: str, count: int, *, waiting: int | None = None) -> None:
        self._pool = ThreadPoolExecutor(count, thread_name_prefix=name)
        self._most = None if waiting is None else count + waiting
        self._begun = 0
        self._counting = threading.Lock()

    async def do(self, work: Callable[[], T]) -> T:
        """What ``work`` returns. Raises Overloaded when too much of it waits."""
        if self._most is not None and self._begun >= self._most:
            raise Overloaded("too much of what takes long is asked for at once; ask again later", retry_after=5)
        with self._counting:
            self._begun += 1
        done = self._pool.submit(work)
        # Counted until it is over, also when nobody waits for it any more: only what has not begun can be cancelled.
        done.add_done_callback(self._end)
        return await asyncio.wrap_future(done)

    def _end(self, _done: Future[Any]) -> None:
        with self._counting:
            self._begun -= 1


#: For what came from outside and is large to read.
READING = Threads("reading", 2)


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
