"""StepWindow: the events of the step in progress, for ``expect`` to look at."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence

from aitp_playground.events.model import RunEvent
from aitp_playground.store.port import StoredEvent

#: A step that records more, in number or in bytes of JSON, is checked against the last of them.
MOST_EVENTS = 10_000
MOST_BYTES = 16 * 1024 * 1024


class StepWindow:
    """Begins anew with each ``step.started``. The last event is kept whatever its size."""

    def __init__(self) -> None:
        self._events: deque[tuple[RunEvent, int]] = deque()
        self._bytes = 0
        #: Whether events of this step were let go.
        self.cut = False

    def extend(self, events: Sequence[RunEvent], stored: Sequence[StoredEvent]) -> None:
        """Add what was appended to the log, each with its encoded form."""
        for event, entry in zip(events, stored, strict=True):
            if event.type == "step.started":
                self._events.clear()
                self._bytes, self.cut = 0, False
            self._events.append((event, len(entry.body)))
            self._bytes += len(entry.body)
        while len(self._events) > MOST_EVENTS or (self._bytes > MOST_BYTES and len(self._events) > 1):
            self._bytes -= self._events.popleft()[1]
            self.cut = True

    @property
    def events(self) -> tuple[RunEvent, ...]:
        """Oldest first."""
        return tuple([event for event, _ in self._events])
