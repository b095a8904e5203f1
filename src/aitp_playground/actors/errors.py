"""What the kernel raises.

::

    ActorError          actor
    ├── ActorStopped    the actor takes no more messages; ``__cause__`` is why it ended, if there is a why
    ├── MailboxFull     the lane has no room; try again later                              lane
    └── AskTimeout      no answer in time; the message may still be handled                timeout
"""

from __future__ import annotations

from .lanes import Lane


class ActorError(Exception):
    """Root of the tree. ``actor`` is the name the actor was spawned under."""

    def __init__(self, actor: str, message: str) -> None:
        super().__init__(f"{actor}: {message}")
        self.actor = actor


class ActorStopped(ActorError):
    """The actor, or the instance of it that owed the answer, is over."""

    def __init__(self, actor: str, reason: BaseException | None = None, message: str = "the actor has stopped") -> None:
        super().__init__(actor, message)
        self.__cause__ = reason


class MailboxFull(ActorError):
    """The message was not accepted, because its lane is at capacity."""

    def __init__(self, actor: str, lane: Lane) -> None:
        super().__init__(actor, f"the {lane.value} lane is full")
        self.lane = lane


class AskTimeout(ActorError):
    """The message was accepted and no answer came within ``timeout`` seconds."""

    def __init__(self, actor: str, timeout: float) -> None:
        super().__init__(actor, f"no answer within {timeout:g} s")
        self.timeout = timeout
