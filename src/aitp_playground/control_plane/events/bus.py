"""Stored events on their way to streams and webhooks."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import Any

import structlog

#: An event as streams and webhooks show it: camelCase, ISO times, absent fields left out.
Frame = dict[str, Any]
Listener = Callable[[Frame], None]

#: What a stream that connects is shown first, whoever the events belong to.
BACKLOG = 100

log = structlog.get_logger(__name__)


class EventBus:
    """Hands each event to every listener, in the order of publication and at once; a listener only queues it."""

    def __init__(self) -> None:
        self.backlog: deque[Frame] = deque(maxlen=BACKLOG)
        self._listeners: list[Listener] = []

    @property
    def listeners(self) -> int:
        """How many are told of events now."""
        return len(self._listeners)

    def publish(self, event: Frame) -> None:
        """After the event is on disk. A listener that raises is logged and costs the others nothing."""
        self.backlog.append(event)
        for listener in tuple(self._listeners):
            try:
                listener(event)
            except Exception:
                log.exception("control_plane.listener_failed", event_type=event.get("type"))

    def subscribe(self, listener: Listener) -> Callable[[], None]:
        """Returns what ends the subscription."""
        self._listeners.append(listener)
        return lambda: self._listeners.remove(listener)
