"""Answers that come later than the handler's return."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from functools import partial
from typing import Any

from .errors import ActorError, ActorStopped


class DeferredReplies:
    """Pairs the futures that handlers returned with the askers who wait for them.

    ``fail`` takes the failure of a future whose message was told; ``report`` one whose asker is gone.
    """

    def __init__(
        self, actor: str, *, fail: Callable[[BaseException], None], report: Callable[[BaseException], None]
    ) -> None:
        self._actor = actor
        self._fail = fail
        self._report = report
        self._owed: set[asyncio.Future[Any]] = set()
        self._closing = False

    def attach(self, deferred: asyncio.Future[Any], reply: asyncio.Future[Any] | None) -> None:
        """Answer ``reply`` when ``deferred`` resolves. An asker who leaves is forgotten at once."""
        if reply is None:
            deferred.add_done_callback(self._watch)
            return
        self._owed.add(reply)
        reply.add_done_callback(self._owed.discard)
        deferred.add_done_callback(partial(self._relay, reply))

    def begin_closing(self) -> None:
        """From now on a cancelled future is left to :meth:`refuse_all`: it was cancelled because the actor ends."""
        self._closing = True

    def refuse_all(self, reason: BaseException | None) -> None:
        """Answer whoever is still owed with ActorStopped. Their futures may resolve later, to no effect."""
        for reply in list(self._owed):
            if not reply.done():
                reply.set_exception(ActorStopped(self._actor, reason))
        self._owed.clear()

    def _relay(self, reply: asyncio.Future[Any], deferred: asyncio.Future[Any]) -> None:
        error = None if deferred.cancelled() else deferred.exception()
        if reply.done():
            if error is not None:
                self._report(error)
        elif error is not None:
            reply.set_exception(error)
        elif not deferred.cancelled():
            reply.set_result(deferred.result())
        elif not self._closing:
            reply.set_exception(ActorError(self._actor, "the work behind the answer was cancelled"))

    def _watch(self, deferred: asyncio.Future[Any]) -> None:
        error = None if deferred.cancelled() else deferred.exception()
        if error is not None:
            self._fail(error)

    def __len__(self) -> int:
        return len(self._owed)
