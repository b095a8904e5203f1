"""StepWindow: the latest events of a run, for ``expect`` to look at."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Sequence

from aitp_playground.events.model import RunEvent
from aitp_playground.events.vocabulary import AGENT_TYPES
from aitp_playground.store.port import StoredEvent

#: Who records more, in number or in bytes of JSON, is checked against the last of them.
MOST_EVENTS = 10_000
MOST_BYTES = 16 * 1024 * 1024


class StepWindow:
    """Part of a run's actor. The last event is kept whatever its size."""

    def __init__(self) -> None:
        self._events: deque[tuple[RunEvent, int]] = deque()
        self._bytes = 0
        self._step_began = 0
        self._step_id: object = None
        self._last = 0
        self._waiting: list[tuple[int, asyncio.Future[None]]] = []

    def extend(self, events: Sequence[RunEvent], stored: Sequence[StoredEvent]) -> None:
        """Add what was appended to the log, each with its encoded form."""
        for event, entry in zip(events, stored, strict=True):
            if event.type == "step.started":
                self._step_began, self._step_id = event.seq, event.get("step_id")
            self._events.append((event, len(entry.body)))
            self._bytes += len(entry.body)
            self._last = event.seq
        while len(self._events) > MOST_EVENTS or (self._bytes > MOST_BYTES and len(self._events) > 1):
            self._bytes -= self._events.popleft()[1]
        for seq, future in self._waiting:
            if seq < self._last and not future.done():
                future.set_result(None)
        self._waiting = [waiting for waiting in self._waiting if not waiting[1].done()]

    def events(self, *, look_back: bool) -> tuple[RunEvent, ...]:
        """Those of the step in progress, or with ``look_back`` those of the whole run; oldest first.

        What an agent tells is the step's when it says so: others may call it meanwhile, and prove or break nothing.
        """
        if look_back:
            return tuple([event for event, _ in self._events])
        return tuple([event for event, _ in self._events if event.seq >= self._step_began and self._is_own(event)])

    def _is_own(self, event: RunEvent) -> bool:
        return event.get("step_id") == self._step_id or event.type not in AGENT_TYPES

    def beyond(self, seq: int) -> asyncio.Future[None] | None:
        """None when there is an event after ``seq``, else a future that resolves when one comes."""
        if self._last > seq:
            return None
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.append((seq, future))
        return future
