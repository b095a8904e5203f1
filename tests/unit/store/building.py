"""Values for store tests, and the one shape of store factory they all use."""

from __future__ import annotations

import itertools
from collections.abc import Awaitable, Callable
from typing import Any

from aitp_playground.store.port import RunHeader, RunStatus, RunStore, RunSummary, StoredEvent

MakeStore = Callable[..., Awaitable[RunStore]]
_numbers = itertools.count(1)


def header(run_id: str | None = None, **fields: Any) -> RunHeader:
    """A header; without an id it gets one of its own."""
    fields = {"scenario_ref": "pack/scenario@1.0.0", "created_at": 1000.0, **fields}
    return RunHeader(run_id=run_id or f"run-{next(_numbers)}", **fields)


def events(first: int, last: int, filler: str = "") -> list[StoredEvent]:
    """Events ``first`` to ``last``, each with a body of its own."""
    return [
        StoredEvent(seq, "step.started", 1000.0 + seq, f'{{"seq":{seq},"note":"{filler}ü"}}'.encode())
        for seq in range(first, last + 1)
    ]


def summary(run_id: str, count: int, status: RunStatus = "running", finished_at: float | None = None) -> RunSummary:
    """A summary."""
    return RunSummary(run_id=run_id, status=status, event_count=count, finished_at=finished_at)


async def stored_run(store: RunStore, count: int = 0, finished_at: float | None = None, **fields: Any) -> str:
    """Create a run with ``count`` events; finished when ``finished_at`` is given."""
    run_id = (await store.create(header(**fields))).header.run_id
    if finished_at is not None:
        await store.append(run_id, events(1, count), summary(run_id, count, "success", finished_at))
    elif count:
        await store.append(run_id, events(1, count), summary(run_id, count))
    return run_id
