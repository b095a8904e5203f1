"""Which events of a batch the Control Plane has already, by its own history."""

from __future__ import annotations

from aitp_playground.cp_client.client import CpClient
from aitp_playground.cp_client.reasons import Reason
from aitp_playground.cp_client.reporting.outbox import Mark, contents, mark
from aitp_playground.store.port import OutboxBatch

PAGE = 1000


async def arrived(client: CpClient, run_id: str, batch: OutboxBatch) -> frozenset[Mark] | Reason:
    """The marks found in the time that the batch spans, or why the history could not be read."""
    times = [event.get("ts", "") for event in contents(batch)]
    since, until = (min(times), max(times)) if all(times) else (None, None)
    found: set[Mark] = set()
    offset = 0
    while True:
        outcome = await client.fetch_events_history.outcome(
            run_id=run_id, since=since, until=until, limit=PAGE, offset=offset or None
        )
        if outcome.reason is not None:
            return outcome.reason
        rows = outcome.value
        found.update(own for row in rows if (own := mark(row)) is not None)
        if len(rows) < PAGE:
            return frozenset(found)
        # Pages have no reliable order within one instant: go on from an instant, and by number only inside one.
        oldest = str(rows[-1].get("ts"))
        until, offset = (oldest, 0) if oldest != until else (until, offset + PAGE)
