"""Who owns the actors."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any, TypeVar

import structlog

from .actor import Actor
from .cell import Cell, Policy, Restart, halt_all
from .errors import ActorStopped
from .mailbox import Mailbox
from .ref import ActorRef

M = TypeVar("M")

_log = structlog.get_logger(__name__)


def log_failure(name: str, error: BaseException) -> None:
    """The default ``on_failure``: one error line with the actor's name and the traceback."""
    _log.error("actor.failed", actor=name, exc_info=error)


class Supervisor:
    """Spawns actors, decides about their restarts, hears of their failures, and stops them all in the end.

    Args:
        on_failure: called with the actor's name and every failure that no asker gets: a told message's, a child task's,
            a hook's, a late answer's, and told messages left behind. Synchronous; must not block.
        max_restarts, restart_window: an actor that fails more often than this within so many seconds stays down.
        teardown_timeout: seconds for an instance's children to end, and again for its ``on_stop``.
    """

    def __init__(
        self,
        *,
        on_failure: Callable[[str, BaseException], None] = log_failure,
        max_restarts: int = 5,
        restart_window: float = 60.0,
        teardown_timeout: float = 10.0,
    ) -> None:
        self._on_failure = on_failure
        self._policy = partial(
            Policy, max_restarts=max_restarts, restart_window=restart_window, teardown_timeout=teardown_timeout
        )
        self._teardown_timeout = teardown_timeout
        self._cells: set[Cell[Any]] = set()
        self._closed = False

    def spawn(
        self,
        factory: Callable[[], Actor[M]],
        *,
        name: str,
        restart: Restart = Restart.NEVER,
        data_capacity: int = 1024,
    ) -> ActorRef[M]:
        """Start an actor and give its ref at once; messages wait until its ``on_start`` is through.

        ``factory`` runs in the actor's task, once per instance. Its failure is treated like that of ``on_start``. With
        ``Restart.ON_FAILURE`` a failed instance is torn down and a fresh one goes on with the same ref and mailbox; the
        message that failed is not tried again. Raises ActorStopped when the supervisor is closed.
        """
        if self._closed:
            raise ActorStopped(name, message="its supervisor is closed")
        mailbox: Mailbox[M] = Mailbox(name, data_capacity=data_capacity)
        cell = Cell(factory, mailbox, self._policy(restart), self._report)
        self._cells.add(cell)
        cell.task.add_done_callback(lambda _: self._cells.discard(cell))
        return cell.ref

    async def close(self, timeout: float) -> None:
        """Stop all actors together, as :meth:`ActorRef.stop` does each; ``timeout`` seconds for all of them.

        Their mailboxes close at the same moment. Actors that others still need to finish belong to another supervisor,
        closed later. Raises ActorError when some resist their cancellation.
        """
        self._closed = True
        await halt_all(tuple(self._cells), None, timeout, self._teardown_timeout)

    def _report(self, name: str, error: BaseException) -> None:
        try:
            self._on_failure(name, error)
        except Exception:  # noqa: BLE001 - a broken hook must not take the actor with it, nor hide what it was told
            _log.exception("actor.failure_hook_failed", actor=name, failure=repr(error))

    def __len__(self) -> int:
        """How many actors have not ended yet."""
        return len(self._cells)
