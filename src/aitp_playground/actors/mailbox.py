"""A mailbox with two bounded lanes.

Order: first in, first out within a lane, so also for each sender within a lane. Between lanes, control goes first;
after ``CONTROL_RUN`` control messages in a row one waiting data message is let through, so that a flood of control
slows data down but cannot starve it. A full data lane never delays a control message.

Acceptance is decided here and nowhere else: a message is either refused with an exception, or it is in a lane and
leaves it only towards the handler or, at the end, towards a refusal of its asker.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict, deque
from dataclasses import dataclass
from typing import Any, Final, Generic, TypeVar

from .errors import ActorStopped, MailboxFull
from .lanes import Lane

M = TypeVar("M")

CONTROL_CAPACITY: Final = 10_000
CONTROL_RUN: Final = 64


@dataclass(frozen=True, slots=True, eq=False)
class Envelope(Generic[M]):
    """A message on its way, compared by identity; ``reply`` is where an asker waits, None for a tell."""

    message: M
    reply: asyncio.Future[Any] | None

    def refuse(self, error: BaseException) -> bool:
        """Fail the asker, if there is one still waiting; say whether the message had been asked at all."""
        if self.reply is not None and not self.reply.done():
            self.reply.set_exception(error)
        return self.reply is not None


class Mailbox(Generic[M]):
    """The queue of one actor. One reader, any number of writers, all on one event loop."""

    def __init__(self, name: str, *, data_capacity: int, control_capacity: int = CONTROL_CAPACITY) -> None:
        if data_capacity < 1 or control_capacity < 1:
            raise ValueError("a lane needs room for at least one message")
        self.name = name
        self.closed = False
        self.reason: BaseException | None = None
        self._control: deque[Envelope[M]] = deque()
        self._data: deque[Envelope[M]] = deque()
        # Askers in line for room in the data lane. Freeing a place moves the first of them in, so while anybody is in
        # line the lane is full and nobody can jump the queue.
        self._line: OrderedDict[Envelope[M], None] = OrderedDict()
        self._control_capacity = control_capacity
        self._data_capacity = data_capacity
        self._control_run = 0
        self._reader: asyncio.Future[None] | None = None

    def put(self, envelope: Envelope[M], *, in_line: bool = False) -> None:
        """Accept the message into its lane; ``in_line`` waits for room in the data lane instead of raising.

        Raises ActorStopped when closed, MailboxFull when the lane has no room.
        """
        if self.closed:
            raise self.stopped()
        # Asked of the class, so that a message with a field of that name keeps its field.
        if getattr(type(envelope.message), "lane", None) is Lane.DATA:
            if len(self._data) < self._data_capacity:
                self._data.append(envelope)
            elif in_line:
                self._line[envelope] = None
            else:
                raise MailboxFull(self.name, Lane.DATA)
        elif len(self._control) < self._control_capacity:
            self._control.append(envelope)
        else:
            raise MailboxFull(self.name, Lane.CONTROL)
        if self._reader is not None:
            self.wake()

    def withdraw(self, envelope: Envelope[M]) -> bool:
        """Leave the line; False when the message is no longer (or never was) in it."""
        if envelope not in self._line:
            return False
        del self._line[envelope]
        return True

    def pop(self) -> Envelope[M] | None:
        """The next message by the order above, None when both lanes are empty."""
        if self._control and (self._control_run < CONTROL_RUN or not self._data):
            self._control_run += 1
            return self._control.popleft()
        self._control_run = 0
        if not self._data:
            return None
        envelope = self._data.popleft()
        if self._line:
            self._data.append(self._line.popitem(last=False)[0])
        return envelope

    async def arrival(self) -> None:
        """Wait until :meth:`wake`: something arrived, the mailbox closed, or the reader has other business."""
        self._reader = asyncio.get_running_loop().create_future()
        try:
            await self._reader
        finally:
            self._reader = None

    def wake(self) -> None:
        """Rouse the reader, if it waits."""
        if self._reader is not None and not self._reader.done():
            self._reader.set_result(None)

    def close(self, reason: BaseException | None) -> None:
        """Refuse everything from now on, the line included; accepted messages stay. The first reason given is kept."""
        self.closed = True
        self.reason = self.reason or reason
        while self._line:
            self._line.popitem(last=False)[0].refuse(self.stopped())
        self.wake()

    def drain(self) -> int:
        """Empty a closed mailbox nobody will read again: refuse its askers, return the number of told messages."""
        told = 0
        while (envelope := self.pop()) is not None:
            told += not envelope.refuse(self.stopped())
        return told

    def stopped(self) -> ActorStopped:
        """A fresh refusal, since an exception shared between askers would collect all their tracebacks."""
        return ActorStopped(self.name, self.reason)

    def __len__(self) -> int:
        return len(self._control) + len(self._data)
