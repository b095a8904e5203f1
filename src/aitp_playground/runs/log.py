"""EventLog: the one place where an event of a run gets its number, its encoding and its way to the disk."""

from __future__ import annotations

import asyncio
import time
import uuid
from collections.abc import Callable, Sequence
from typing import NamedTuple

from aitp_playground.events.codec import encode
from aitp_playground.events.model import EventDraft, RunEvent
from aitp_playground.runs.feed import Feed
from aitp_playground.runs.state import RunState
from aitp_playground.store.port import RunStore, StoredEvent

#: A run that records more events or bytes is ended: two hundred steps with the largest outputs fit.
MAX_EVENTS = 100_000
MAX_BYTES = 512 * 1024 * 1024
Observer = Callable[[RunEvent, StoredEvent], None]


def most() -> str:
    """What a run may record, in words."""
    return f"{MAX_EVENTS} events, or {MAX_BYTES} bytes of them"


class Appended(NamedTuple):
    """Events in the log, as they were encoded. ``commit`` resolves when all are on disk, or fails with what the store
    says."""

    events: list[RunEvent]
    commit: asyncio.Future[None]
    stored: list[StoredEvent]


class EventLog:
    """Owned by the run's actor, which is its only writer.

    ``append`` assigns ``seq``, encodes once and hands over to the store; readers (the feed) and observers (log line,
    metrics) see an event when it is committed.
    """

    def __init__(
        self, run_id: str, store: RunStore, feed: Feed, observers: Sequence[Observer], state: RunState
    ) -> None:
        self.run_id = run_id
        self.state = state
        #: Bytes appended by this process.
        self.size = 0
        self._store = store
        self._feed = feed
        self._observers = observers

    @property
    def too_long(self) -> bool:
        """Whether the run has recorded more than a run may."""
        return self.state.seq > MAX_EVENTS or self.size > MAX_BYTES

    def append(self, drafts: Sequence[EventDraft]) -> Appended:
        """Give each draft its place.

        Raises TypeError for a draft that is not JSON-able; none of them is then in the log.
        """
        now = time.time()
        events = [
            RunEvent(
                seq=seq,
                id=draft.id or str(uuid.uuid4()),
                type=draft.type,
                ts=now if draft.ts is None else draft.ts,
                run_id=self.run_id,
                fields=draft.fields,
            )
            for seq, draft in enumerate(drafts, self.state.seq + 1)
        ]
        # Encoded before any of them counts: a value that is no JSON must not leave a hole in the log.
        stored = [StoredEvent(event.seq, event.type, event.ts, encode(event)) for event in events]
        self.size += sum(len(entry.body) for entry in stored)
        for event in events:
            self.state.apply(event)
        commit = self._store.append(self.run_id, stored, self.state.summary(self.run_id))
        commit.add_done_callback(lambda done: self._committed(done, events, stored))
        return Appended(events, commit, stored)

    def _committed(self, done: asyncio.Future[None], events: list[RunEvent], stored: list[StoredEvent]) -> None:
        if done.cancelled() or done.exception() is not None:
            return
        self._feed.publish(stored)
        for event, entry in zip(events, stored, strict=True):
            for observe in self._observers:
                observe(event, entry)
