"""The child tasks of an actor, and what becomes of their failures."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any, Final, TypeVar

from .errors import ActorError, ActorStopped

T = TypeVar("T")

# Loop rounds in which somebody may still come for a failed child's exception: awaiting it takes one, ``wait_for`` and
# ``wait`` take two or three.
_ROUNDS: Final = 4


class ChildTasks:
    """Owns the tasks an actor starts. A failure that nobody retrieves goes to ``fail``."""

    def __init__(self, owner: str, fail: Callable[[BaseException], None]) -> None:
        self._owner = owner
        self._fail = fail
        self._children: set[asyncio.Task[Any]] = set()
        self._closed = False

    def spawn(self, coro: Coroutine[Any, Any, T], *, name: str) -> asyncio.Task[T]:
        """Start a child named ``<actor>/<name>``.

        If it fails, whoever awaits it (or is owed its result as a deferred reply) gets the exception; if nobody does,
        the actor fails as if a told message had. Raises ActorStopped during tear-down.
        """
        if self._closed:
            coro.close()
            raise ActorStopped(self._owner, message="the actor is ending and starts no more tasks")
        task = asyncio.create_task(coro, name=f"{self._owner}/{name}")
        self._children.add(task)
        task.add_done_callback(self._done)
        return task

    async def close(self, timeout: float) -> None:
        """Cancel all children and wait for them, at most ``timeout`` seconds; one that lingers is reported."""
        self._closed = True
        running = {task for task in self._children if not task.done()}
        for task in running:
            task.cancel()
        if running:
            _, running = await asyncio.wait(running, timeout=timeout)
        for task in running:
            self._fail(ActorError(self._owner, f"child task {task.get_name()} ignores its cancellation"))
        for task in [task for task in self._children if task.done()]:
            self._settle(task)

    def _done(self, task: asyncio.Task[Any], rounds: int = _ROUNDS) -> None:
        if _unseen(task) and rounds > 0:
            asyncio.get_running_loop().call_soon(self._done, task, rounds - 1)
        else:
            self._settle(task)

    def _settle(self, task: asyncio.Task[Any]) -> None:
        if task not in self._children:
            return
        self._children.remove(task)
        if not _unseen(task):
            return
        error = task.exception()
        # A child whose last word finds the mailbox closed is no news.
        late = self._closed and isinstance(error, ActorStopped) and error.actor == self._owner
        if error is not None and not late:
            self._fail(error)

    def __len__(self) -> int:
        return len(self._children)


def _unseen(task: asyncio.Task[Any]) -> bool:
    """asyncio's own mark of an exception that nobody retrieved yet, and the only one that covers every way to await."""
    return task._log_traceback
