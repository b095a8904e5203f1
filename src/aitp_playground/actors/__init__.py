"""Actors on asyncio: a class with a mailbox and one task, reached only through its ref.

The rules of the model:

1. An actor handles one message at a time, in its own task; nobody else touches its attributes.
2. Others hold an :class:`ActorRef` and ``tell`` or ``ask``. Messages and answers are plain data.
3. The mailbox is bounded and decides alone what is accepted. What it accepts is handled, or its asker is answered, or
   (told messages of an actor that crashed) it is reported as left behind.
4. A failure goes to the asker if there is one, otherwise to the supervisor; none is unseen. No cancellation is
   swallowed.
5. Every task has an owner: the supervisor owns actors, an actor owns its children.
"""

from .actor import Actor
from .cell import Restart
from .errors import ActorError, ActorStopped, AskTimeout, MailboxFull
from .lanes import Lane
from .ref import ActorRef
from .supervisor import Supervisor
from .tasks import ChildTasks

__all__ = [
    "Actor",
    "ActorError",
    "ActorRef",
    "ActorStopped",
    "AskTimeout",
    "ChildTasks",
    "Lane",
    "MailboxFull",
    "Restart",
    "Supervisor",
]
