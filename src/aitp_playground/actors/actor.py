"""What an actor is: its behaviour, apart from its address."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Generic, TypeVar

if TYPE_CHECKING:
    from .ref import ActorRef
    from .tasks import ChildTasks

M = TypeVar("M")


class Actor(Generic[M]):
    """State that one task owns and changes, one message at a time. ``M`` is the union of its messages.

    Subclass it and hand a factory to :meth:`Supervisor.spawn`. All hooks run in the actor's own task, one at a time.
    Work that waits belongs in ``self.tasks``, so that the mailbox keeps moving; a child reports back with
    ``self.ref.tell``. An actor that asks itself, or joins itself, would wait for its own return.
    """

    ref: ActorRef[M]
    """The actor's own address. Set before :meth:`on_start`; the same across restarts."""

    tasks: ChildTasks
    """Owner of this instance's child tasks. Set before :meth:`on_start`; fresh for every instance."""

    async def on_start(self) -> None:
        """Set up. Messages already wait in the mailbox meanwhile.

        If it raises, the actor stops for good (a restart would most likely meet the same wall), :meth:`on_stop` is not
        called, and every waiting ask is answered with ActorStopped from that exception. It closes what it opened.
        """

    async def on_message(self, message: M) -> Any:
        """Handle one message; what it returns answers an ask.

        A returned ``asyncio.Future`` (a task of ``self.tasks``, say) is a deferred reply: the actor goes on and the
        asker is answered when the future resolves, or with ActorStopped if this instance ends before. A told message's
        future that fails counts as the message's failure.

        If it raises and the message was asked, the asker gets the exception and the actor lives on. If the message was
        told, the exception is reported under the actor's name and the instance ends; the policy says what follows.
        """
        raise NotImplementedError

    async def on_stop(self, reason: BaseException | None) -> None:
        """Tear down: called once for every instance whose :meth:`on_start` returned, after its child tasks have ended.

        ``reason`` is the failure or cancellation that ended the instance, or what was given to ``stop`` (None: nothing
        is wrong). The supervisor bounds its time. Deferred replies it resolves are still delivered; ``self.tasks``
        takes no more children. If it raises, that is reported and the tear-down goes on.
        """
