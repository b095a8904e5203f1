"""Events and sessions."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from aitp_playground.cp_client import arguments
from aitp_playground.cp_client.answers import Row
from aitp_playground.cp_client.batches import Batch, BatchFate, fate_of, taken
from aitp_playground.cp_client.calls.requests import Requests, no_rows
from aitp_playground.cp_client.degrading import degrades
from aitp_playground.cp_client.transport import segment


class EventCalls(Requests):
    """Reporting events, and reading what was reported."""

    @degrades(fate_of)
    async def ingest_events(
        self, events: Sequence[Mapping[str, Any]] | Batch, *, idempotency_key: str | None = None
    ) -> BatchFate:
        """One POST of one batch. The value says what is known of its fate, also when the call failed.

        The key must be derived from the content: the Control Plane answers a known key from memory and drops the body.
        """
        batch = events if isinstance(events, Batch) else Batch.of(events)
        if not batch.count:
            return BatchFate("stored")
        key = {"Idempotency-Key": idempotency_key} if idempotency_key else {}
        answer = await self._send("POST", "/api/events", body=batch.body, headers=key)
        return taken(batch, answer.body)

    @degrades(no_rows)
    async def fetch_events_history(
        self,
        *,
        event_type: str | None = None,
        aid: str | None = None,
        session_id: str | None = None,
        run_id: str | None = None,
        since: str | float | None = None,
        until: str | float | None = None,
        limit: int | None = None,
        offset: int | None = None,
    ) -> list[Row]:
        """Stored events, newest ``ts`` first; ties come in no reliable order. Numbers are Unix seconds, inclusive."""
        filters = arguments.query(
            type=event_type,
            aid=aid,
            sessionId=session_id,
            runId=run_id,
            since=arguments.when(since),
            until=arguments.when(until),
            limit=limit,
            offset=offset,
        )
        return await self._rows("/api/events/history", "events", filters)

    @degrades(no_rows)
    async def fetch_sessions(
        self,
        *,
        status: str | None = None,
        run_id: str | None = None,
        aid: str | None = None,
        limit: int | None = None,
    ) -> list[Row]:
        """Sessions, newest first: at most 200, of which the first ``limit`` are kept here (the route has no limit)."""
        found = await self._rows("/api/sessions", "sessions", arguments.query(status=status, runId=run_id, aid=aid))
        return found[:limit]

    @degrades(no_rows)
    async def replay_session(
        self,
        session_id: str,
        *,
        since: str | float | None = None,
        until: str | float | None = None,
        limit: int | None = None,
    ) -> list[Row]:
        """The events of a session, oldest first; of an unknown one, none."""
        filters = arguments.query(since=arguments.when(since), until=arguments.when(until), limit=limit)
        return await self._rows(f"/api/sessions/{segment(session_id)}/replay", "events", filters)
