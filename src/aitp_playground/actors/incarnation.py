"""One instance of an actor, from set-up through serving to tear-down."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any, Final, Generic, TypeVar

from .actor import Actor
from .errors import ActorError, ActorStopped
from .mailbox import Envelope, Mailbox
from .replies import DeferredReplies
from .tasks import ChildTasks

M = TypeVar("M")

# Messages handled before the loop gets a turn, unless a handler gives it one by waiting.
BURST: Final = 32


class Incarnation(Generic[M]):
    """Runs inside the actor's task. ``report`` takes failures that change nothing about the instance's life."""

    def __init__(self, mailbox: Mailbox[M], report: Callable[[BaseException], None]) -> None:
        self._mailbox = mailbox
        self._name = mailbox.name
        self._report = report
        self._actor: Actor[M] | None = None
        self._fault: BaseException | None = None
        self._ending = False
        self.tasks = ChildTasks(self._name, self._fail)
        self._replies = DeferredReplies(self._name, fail=self._fail, report=report)

    @property
    def started(self) -> bool:
        """Whether ``on_start`` returned."""
        return self._actor is not None

    async def start(self, actor: Actor[M]) -> None:
        """Set up; raises what ``on_start`` raises."""
        actor.tasks = self.tasks
        await self._hook(actor.on_start())
        self._actor = actor

    async def serve(self) -> None:
        """Handle messages until the mailbox is closed and empty; raises what ends the instance otherwise."""
        assert self._actor is not None
        on_message, pop = self._actor.on_message, self._mailbox.pop
        burst = 0
        while True:
            if self._fault is not None:
                raise self._fault
            envelope = pop()
            if envelope is None:
                if self._mailbox.closed:
                    return
                _heed_cancellation()
                await self._mailbox.arrival()
                burst = 0
                continue
            await self._handle(on_message, envelope)
            burst += 1
            if burst == BURST:
                _heed_cancellation()
                await asyncio.sleep(0)
                burst = 0

    async def end(self, reason: BaseException | None, timeout: float) -> None:
        """Tear down: children, then ``on_stop``, at most ``timeout`` seconds each; then the askers still waiting."""
        self._ending = True
        self._replies.begin_closing()
        try:
            await self.tasks.close(timeout)
            if self._actor is not None:
                async with asyncio.timeout(timeout):
                    await self._hook(self._actor.on_stop(reason))
            # The futures that on_stop resolved answer their askers in the next loop round.
            await asyncio.sleep(0)
        except Exception as error:  # noqa: BLE001 - reported; the tear-down goes on
            self._report(error)
        finally:
            self._replies.refuse_all(reason)

    async def _handle(self, on_message: Callable[[M], Coroutine[Any, Any, Any]], envelope: Envelope[M]) -> None:
        reply = envelope.reply
        try:
            result = await on_message(envelope.message)
        except Exception as error:  # noqa: BLE001 - goes to the asker, or ends the instance
            self._failed(envelope, error)
        except asyncio.CancelledError as error:
            if _cancellations():
                envelope.refuse(ActorStopped(self._name, error))
                raise
            self._failed(envelope, self._strayed(error))
        except BaseException as error:
            envelope.refuse(ActorStopped(self._name, error))
            raise
        else:
            if isinstance(result, asyncio.Future):
                self._replies.attach(result, reply)
            elif reply is not None and not reply.done():
                reply.set_result(result)

    def _failed(self, envelope: Envelope[M], error: Exception) -> None:
        if envelope.reply is None:
            raise error
        if envelope.reply.done():
            self._report(error)
        else:
            envelope.reply.set_exception(error)

    def _fail(self, error: BaseException) -> None:
        """End the instance for a failure outside a handler: a child's, or a told message's deferred one."""
        if self._ending or self._fault is not None:
            self._report(error)
        else:
            self._fault = error
            self._mailbox.wake()

    async def _hook(self, hook: Coroutine[Any, Any, None]) -> None:
        before = _cancellations()
        try:
            await hook
        except asyncio.CancelledError as error:
            if _cancellations() > before:
                raise
            raise self._strayed(error) from error

    def _strayed(self, error: asyncio.CancelledError) -> ActorError:
        """Awaiting what somebody cancelled looks like being cancelled; the actor was not, so it is a failure."""
        failure = ActorError(self._name, "something the actor awaited was cancelled")
        failure.__cause__ = error
        return failure


def _cancellations() -> int:
    task = asyncio.current_task()
    assert task is not None
    return task.cancelling()


def _heed_cancellation() -> None:
    """End the actor if a handler kept a cancellation to itself: it was meant for the actor."""
    if _cancellations():
        raise asyncio.CancelledError
