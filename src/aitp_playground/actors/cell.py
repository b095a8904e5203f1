"""What stands behind a ref: the mailbox, the task, and the instances that come and go."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Collection
from dataclasses import dataclass
from enum import Enum
from typing import Any, Generic, TypeVar

from .actor import Actor
from .errors import ActorError, ActorStopped
from .incarnation import Incarnation
from .mailbox import Mailbox
from .ref import ActorRef

M = TypeVar("M")


class Restart(Enum):
    """What follows when an instance fails outside an ask."""

    NEVER = "never"
    ON_FAILURE = "on_failure"


@dataclass(frozen=True, slots=True)
class Policy:
    """How often a failing actor may come back, and how long each part of a tear-down may take. Seconds."""

    restart: Restart
    max_restarts: int
    restart_window: float
    teardown_timeout: float


class Cell(Generic[M]):
    """One actor under supervision, from its spawning to its end."""

    def __init__(
        self,
        factory: Callable[[], Actor[M]],
        mailbox: Mailbox[M],
        policy: Policy,
        on_failure: Callable[[str, BaseException], None],
    ) -> None:
        self.mailbox = mailbox
        self.policy = policy
        self.ref: ActorRef[M] = ActorRef(self, mailbox)
        self._factory = factory
        self._on_failure = on_failure
        self._restarts: deque[float] = deque(maxlen=policy.max_restarts)
        self.task = asyncio.create_task(self._run(), name=mailbox.name)
        self.task.add_done_callback(self._ended)

    def report(self, error: BaseException) -> None:
        """Hand a failure that no asker sees to the supervisor."""
        self._on_failure(self.mailbox.name, error)

    async def halt(self, reason: BaseException | None, timeout: float) -> None:
        """See :meth:`ActorRef.stop`."""
        await halt_all([self], reason, timeout, self.policy.teardown_timeout)

    async def _run(self) -> None:
        while await self._live():
            pass

    async def _live(self) -> bool:
        """One instance, from its making to its tear-down. True when another one is to follow."""
        incarnation = Incarnation(self.mailbox, self.report)
        try:
            actor = self._factory()
            actor.ref = self.ref
            await incarnation.start(actor)
            await incarnation.serve()
        except GeneratorExit:
            raise  # the loop is gone: nothing can be awaited any more
        except Exception as error:  # noqa: BLE001 - reported; the policy says what follows
            self.report(error)
            again = incarnation.started and self._may_restart()
            await self._tear_down(incarnation, error, again=again)
            return again and not (self.mailbox.closed and not self.mailbox)
        except BaseException as error:
            await self._tear_down(incarnation, error)
            raise
        await self._tear_down(incarnation, self.mailbox.reason)
        return False

    async def _tear_down(
        self, incarnation: Incarnation[M], reason: BaseException | None, *, again: bool = False
    ) -> None:
        if not again:
            self._shut(reason)
        await incarnation.end(reason, self.policy.teardown_timeout)

    def _may_restart(self) -> bool:
        if self.policy.restart is Restart.NEVER or self.policy.max_restarts < 1:
            return False
        now = asyncio.get_running_loop().time()
        recent = self._restarts
        if len(recent) == self.policy.max_restarts and now - recent[0] < self.policy.restart_window:
            return False
        recent.append(now)
        return True

    def _shut(self, reason: BaseException | None) -> None:
        """Refuse what comes, answer who waits, and say what was left unhandled."""
        self.mailbox.close(reason)
        told = self.mailbox.drain()
        if told:
            self.report(ActorStopped(self.mailbox.name, reason, f"{told} told messages were never handled"))

    def _ended(self, task: asyncio.Task[None]) -> None:
        error = None if task.cancelled() else task.exception()
        # Also for a task that was cancelled before its first step, or whose tear-down was cut short.
        self._shut(error)
        if error is not None:
            self.report(error)


async def halt_all(cells: Collection[Cell[Any]], reason: BaseException | None, timeout: float, grace: float) -> None:
    """Close all mailboxes, wait ``timeout`` seconds for the actors' ends, cancel the rest and wait ``grace`` for them.

    Raises ActorError naming those that still run (their tasks stay with their cells and end when they end).
    """
    for cell in cells:
        cell.mailbox.close(reason)
    running = {cell.task for cell in cells} - {asyncio.current_task()}
    running = {task for task in running if not task.done()}
    for patience in (timeout, grace):
        if running:
            _, running = await asyncio.wait(running, timeout=patience)
        for task in running:
            task.cancel()
    if running:
        names = ", ".join(sorted(task.get_name() for task in running))
        raise ActorError(names, "still running after its cancellation")
