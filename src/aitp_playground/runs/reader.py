"""RunReader: runs as they are on disk, live ones as they get there."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from typing import Any

from aitp_playground.errors import RunNotFound
from aitp_playground.runs.feed import Feed
from aitp_playground.runs.requests import RunView
from aitp_playground.runs.views import ViewCache
from aitp_playground.store.port import TERMINAL, RunPage, RunRow, RunStore, StoredEvent

#: How often a run that another process conducts is looked at in the shared database.
FOREIGN_POLL = 0.25
PAGE = 1000


class RunReader:
    """The reading side of the directory. ``feed_of`` gives the live end of a run that is conducted here."""

    def __init__(self, store: RunStore, feed_of: Callable[[str], Feed | None]) -> None:
        self._store = store
        self._feed_of = feed_of
        self._views = ViewCache(store)

    async def row(self, run_id: str) -> RunRow:
        """Header and summary. Raises RunNotFound."""
        row = await self._store.get(run_id)
        if row is None:
            raise RunNotFound(f"no run has the id {run_id!r}")
        return row

    async def view(self, run_id: str, *, events: bool = True, after: int = 0, limit: int | None = None) -> RunView:
        """The run at one moment, with its outputs; ``limit=None`` gives every event. Raises RunNotFound."""
        row = await self.row(run_id)
        state = await self._views.state(run_id)
        row = replace(row, summary=state.summary(run_id))
        view = RunView(row=row, proof=state.proof, outputs=dict(state.outputs), error=state.error, next_after=after)
        return replace(view, **await self._events_until(state.seq, run_id, after, limit)) if events else view

    async def _events_until(self, last: int, run_id: str, after: int, limit: int | None) -> dict[str, Any]:
        found: list[StoredEvent] = []
        left = last - after if limit is None else min(limit, last - after)
        while left > len(found):
            page = await self._store.read(run_id, after=after, limit=min(PAGE, left - len(found)))
            if not page.events:
                break
            found.extend(page.events)
            after = page.next_after
        return {"events": tuple(found), "more": after < last, "next_after": after}

    def forget(self, run_id: str) -> None:
        """The run was deleted."""
        self._views.forget(run_id)

    async def list_runs(
        self, *, limit: int = 100, before: str | None = None, status: str | None = None, scenario_ref: str | None = None
    ) -> RunPage:
        """Newest first."""
        return await self._store.list_runs(limit=limit, before=before, status=status, scenario_ref=scenario_ref)

    async def stream(self, run_id: str, *, after: int = 0) -> AsyncIterator[list[StoredEvent]]:
        """Batches of events with ``seq > after``: stored ones, then live ones as they are committed, gap-free and
        duplicate-free. Ends after the last event of a run that is over. A slow reader is caught up from the store.
        Raises RunNotFound on the first step."""
        row = await self.row(run_id)
        while True:
            feed = self._feed_of(run_id)
            batch = feed.since(after) if feed is not None else None
            if batch is None:
                batch = list((await self._store.read(run_id, after=after, limit=PAGE)).events)
            if batch:
                after = batch[-1].seq
                yield batch
            elif feed is not None:
                await feed.wait(after)
            else:
                row = await self.row(run_id)
                if row.summary.status in TERMINAL and after >= row.summary.event_count:
                    return
                if row.summary.status not in TERMINAL:
                    # Another process conducts it; its database is all we share.
                    await asyncio.sleep(FOREIGN_POLL)
