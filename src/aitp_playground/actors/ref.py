"""The address of an actor: all that others ever hold of it."""

from __future__ import annotations

import asyncio
from typing import Any, Generic, Protocol, TypeVar

from .errors import ActorError, AskTimeout, MailboxFull
from .lanes import Lane
from .mailbox import Envelope, Mailbox

# Contravariant: who takes any of a union's messages can be used where only some of them are sent.
M_contra = TypeVar("M_contra", contravariant=True)


class Addressed(Protocol):
    """What an address needs to know of the actor behind it, apart from its mailbox."""

    @property
    def task(self) -> asyncio.Task[None]:
        """Ends when the actor does."""

    def report(self, error: BaseException) -> None:
        """Hand a failure that no asker sees to the supervisor."""

    async def halt(self, reason: BaseException | None, timeout: float) -> None:
        """See :meth:`ActorRef.stop`."""


class ActorRef(Generic[M_contra]):
    """Sends messages to one actor, on its event loop. Stays the same when the actor is restarted."""

    __slots__ = ("__weakref__", "_cell", "_mailbox", "name")

    def __init__(self, cell: Addressed, mailbox: Mailbox[M_contra]) -> None:
        self.name = mailbox.name
        self._cell = cell
        self._mailbox = mailbox

    @property
    def alive(self) -> bool:
        """Whether messages are accepted at this moment. To send, just send: the mailbox decides."""
        return not self._mailbox.closed

    def tell(self, message: M_contra) -> None:
        """Leave a message. A failure to handle it is the actor's own affair.

        Raises ActorStopped when the mailbox is closed, MailboxFull when the message's lane has no room.
        """
        self._mailbox.put(Envelope(message, None))

    async def ask(self, message: M_contra, *, timeout: float) -> Any:
        """Leave a message and wait for its answer, ``timeout`` seconds in all.

        A data message waits its turn for room in a full lane. Cancelling the ask, or its running out of time, takes
        back a message that still waits for room; one that was accepted may still be handled, its answer dropped.

        Raises:
            MailboxFull: no room in the data lane within ``timeout``, or the control lane is full; nothing was accepted.
            AskTimeout: accepted, but not answered in time.
            ActorStopped: closed before, or ended before answering.
            Exception: whatever the handler raised.
        """
        loop = asyncio.get_running_loop()
        reply: asyncio.Future[Any] = loop.create_future()
        envelope = Envelope(message, reply)
        self._mailbox.put(envelope, in_line=True)
        timer = loop.call_later(timeout, self._expire, envelope, timeout)
        try:
            return await reply
        except asyncio.CancelledError:
            self._mailbox.withdraw(envelope)
            self._report_unread(reply)
            raise
        finally:
            timer.cancel()

    async def stop(self, reason: BaseException | None = None, *, timeout: float) -> None:
        """Close the mailbox, let the actor handle what it had accepted, and wait for the end of its tear-down.

        After ``timeout`` seconds the actor is cancelled: asks still in the mailbox are then answered with ActorStopped
        (from ``reason``), and told messages left over are reported. Called by the actor itself, it does not wait.
        Raises ActorError when the actor resists even its cancellation.
        """
        await self._cell.halt(reason, timeout)

    async def join(self) -> None:
        """Wait until the actor has ended, however it ends. Raises ActorError when called by the actor itself."""
        if self._cell.task is asyncio.current_task():
            raise ActorError(self.name, "an actor cannot wait for its own end")
        await asyncio.wait((self._cell.task,))

    def _expire(self, envelope: Envelope[M_contra], timeout: float) -> None:
        waited_in_line = self._mailbox.withdraw(envelope)
        envelope.refuse(MailboxFull(self.name, Lane.DATA) if waited_in_line else AskTimeout(self.name, timeout))

    def _report_unread(self, reply: asyncio.Future[Any]) -> None:
        """An answer and the asker's cancellation can meet in one loop round; a failure among them is still reported."""
        if not reply.cancelled() and reply.done():
            error = reply.exception()
            if error is not None and not isinstance(error, ActorError):
                self._cell.report(error)

    def __repr__(self) -> str:
        return f"<ActorRef {self.name}{'' if self.alive else ' stopped'}>"
