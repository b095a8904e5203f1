"""RunReader: runs as they are on disk, live ones as they get there."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable
from dataclasses import replace
from typing import Any

from aitp_playground.errors import NotFound, RunNotFound
from aitp_playground.events.codec import decode
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
            raise _gone(run_id)
        return row

    async def view(self, run_id: str, *, events: bool = True, after: int = 0, limit: int | None = None) -> RunView:
        """The run at one moment. Raises RunNotFound.

        With ``events``, also its events and outputs, in memory: for a caller who keeps them anyway. ``limit=None``
        gives every event.
        """
        row = await self.row(run_id)
        state = await self._views.state(run_id)
        if state.seq < row.summary.event_count:
            raise _gone(run_id)
        view = RunView(
            row=replace(row, summary=state.summary(run_id)),
            proof=state.proof,
            unproven_because=state.unproven_because,
            results=dict(state.results),
            error=state.error,
            next_after=after,
        )
        if not events:
            return view
        found: list[StoredEvent] = []
        async for page in self.pages(run_id, after=after, until=state.seq, limit=limit):
            found.extend(page)
        outputs = {step_id: await self.output(run_id, seq) for step_id, seq in view.results.items()}
        last = found[-1].seq if found else after
        return replace(view, outputs=outputs, events=tuple(found), more=last < state.seq, next_after=last)

    async def pages(
        self, run_id: str, *, after: int = 0, until: int, limit: int | None = None
    ) -> AsyncGenerator[tuple[StoredEvent, ...]]:
        """Stored events with ``after < seq <= until``, at most ``limit``, a bounded page at a time.

        ``until`` is an event that is stored. Raises RunNotFound when the run is deleted meanwhile.
        """
        left = until - after if limit is None else min(limit, until - after)
        while left > 0:
            page = await self._store.read(run_id, after=after, limit=min(PAGE, left))
            if not page.events:
                raise _gone(run_id)
            yield page.events
            left -= len(page.events)
            after = page.next_after

    async def scenario(self, run_id: str) -> tuple[str, bytes]:
        """What the run was started from: its digest and its document (:mod:`aitp_playground.scenarios.kept`).

        Raises RunNotFound, and NotFound for a run that was stored by an earlier release.
        """
        digest = (await self.row(run_id)).header.scenario_digest
        body = None if digest is None else await self._store.scenario(digest)
        if digest is None or body is None:
            raise NotFound(f"run {run_id} was stored without the scenario it was started from")
        return digest, body

    async def output(self, run_id: str, seq: int) -> Any:
        """What a step gave: the ``result`` of the event ``seq``. Raises RunNotFound when the run was deleted."""
        page = await self._store.read(run_id, after=seq - 1, limit=1)
        if not page.events:
            raise _gone(run_id)
        return decode(page.events[0].body).get("result")

    def forget(self, run_id: str) -> None:
        """The run was deleted."""
        self._views.forget(run_id)

    async def list_runs(
        self, *, limit: int = 100, before: str | None = None, status: str | None = None, scenario_ref: str | None = None
    ) -> RunPage:
        """Newest first."""
        page = await self._store.list_runs(limit=limit, before=before, status=status, scenario_ref=scenario_ref)
        return replace(page, rows=tuple([await self._with_proof(row) for row in page.rows]))

    async def _with_proof(self, row: RunRow) -> RunRow:
        """Successes stored by a release that kept no proof beside them are folded once more."""
        if row.summary.status != "success" or row.summary.proof is not None:
            return row
        state = await self._views.state(row.header.run_id)
        return replace(row, summary=replace(row.summary, proof=state.proof))

    async def stream(self, run_id: str, *, after: int = 0) -> AsyncGenerator[list[StoredEvent]]:
        """Batches of events with ``seq > after``: stored ones, then live ones as they are committed, gap-free and
        duplicate-free. Ends after the last event of a run that is over. A slow reader is caught up from the store.
        Raises RunNotFound on the first step."""
        row = await self.row(run_id)
        while True:
            feed = self._feed_of(run_id)
            batch = feed.since(after) if feed is not None else None
            if batch is None:
                batch = list((await self._store.read(run_id, after=after)).events)
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


def _gone(run_id: str) -> RunNotFound:
    return RunNotFound(f"no run has the id {run_id!r}")
