"""A run store in dictionaries: what the port means, said as plainly as possible. One process, nothing durable."""

from __future__ import annotations

import asyncio
import base64
import bisect
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TypeVar, get_args

from aitp_playground.errors import InvalidRequest, RunNotFound, StoreUnavailable
from aitp_playground.store.port import (
    PAGE_BYTES,
    TERMINAL,
    CancelComesFirst,
    EventPage,
    KeptScenario,
    Leftover,
    Outbox,
    OutboxBatch,
    OutOfSequence,
    RunHeader,
    RunPage,
    RunRow,
    RunStatus,
    RunSummary,
    StoredEvent,
)

T = TypeVar("T")


@dataclass
class _Run:
    key: int
    row: RunRow
    events: list[StoredEvent] = field(default_factory=list)
    logs: dict[str, str] = field(default_factory=dict)
    reported: int | None = None
    batch: OutboxBatch | None = None

    @property
    def place(self) -> tuple[float, int]:
        return self.row.header.created_at, self.key


class ModelRunStore:
    """See the module docstring."""

    owner_id = "model"

    def __init__(self, *, outbox: bool = False) -> None:
        self._outbox = outbox
        self._runs: dict[str, _Run] = {}
        self._last_key = 0
        self._leftovers: dict[str, tuple[Leftover, float]] = {}
        self._foreign: dict[str, int] = {}
        self._scenarios: dict[str, bytes] = {}
        self._open = False

    async def open(self) -> None:
        self._open = True

    async def close(self) -> None:
        self._open = False

    async def ping(self) -> None:
        await self._resolved(lambda: None)

    def create(self, header: RunHeader, scenario: KeptScenario | None = None) -> asyncio.Future[RunRow]:
        def work() -> RunRow:
            row = self._create(header)
            if scenario is not None and row.header.run_id == header.run_id:
                self._scenarios.setdefault(scenario.digest, scenario.body)
            return row

        return self._resolved(work)

    async def scenario(self, digest: str) -> bytes | None:
        used = any(run.row.header.scenario_digest == digest for run in self._runs.values())
        return self._scenarios.get(digest) if used else None

    def append(self, run_id: str, events: Sequence[StoredEvent], summary: RunSummary) -> asyncio.Future[None]:
        return self._resolved(lambda: self._append(run_id, events, summary))

    def request_cancel(self, run_id: str) -> asyncio.Future[None]:
        def work() -> None:
            run = self._find(run_id)
            if run.row.summary.status not in TERMINAL:
                run.row = replace(run.row, cancel_requested=True)

        return self._resolved(work)

    def save_agent_log(self, run_id: str, agent_id: str, text: str) -> asyncio.Future[None]:
        return self._resolved(lambda: self._find(run_id).logs.update({agent_id: text}))

    def adopt(self, run_id: str) -> asyncio.Future[bool]:
        return self._resolved(lambda: False)

    def delete(self, run_id: str) -> asyncio.Future[bool]:
        return self._resolved(lambda: run_id in self._runs and self._remove(run_id))

    def prune(self, keep_finished: int) -> asyncio.Future[int]:
        return self._resolved(lambda: self._prune(keep_finished))

    def claim_outbox(self, run_id: str) -> asyncio.Future[Outbox | None]:
        return self._resolved(lambda: self._outbox_of(run_id) if run_id in self._runs else None)

    def save_batch(self, run_id: str, batch: OutboxBatch) -> asyncio.Future[None]:
        def work() -> None:
            run = self._find(run_id)
            run.batch, run.reported = batch, run.reported or 0

        return self._resolved(work)

    def settle_outbox(self, run_id: str, reported: int) -> asyncio.Future[None]:
        def work() -> None:
            run = self._find(run_id)
            run.batch, run.reported = None, max(run.reported or 0, reported)

        return self._resolved(work)

    async def unreported(self) -> list[str]:
        found = [
            (run.row.summary.finished_at or 0.0, run.key, run_id)
            for run_id, run in self._runs.items()
            if run.row.summary.status in TERMINAL
            and run.reported is not None
            and run.reported < run.row.summary.event_count
        ]
        return [run_id for *_, run_id in sorted(found)]

    def leave(self, leftover: Leftover) -> asyncio.Future[None]:
        def work() -> None:
            self._find(leftover.run_id)
            self._leftovers.setdefault(leftover.id, (leftover, 0.0))

        return self._resolved(work)

    def name_leftover(self, leftover_id: str, name: str) -> asyncio.Future[None]:
        return self._change(leftover_id, lambda left, due: (replace(left, name=name), due))

    def postpone_leftover(self, leftover_id: str, until: float) -> asyncio.Future[None]:
        return self._change(leftover_id, lambda left, _: (replace(left, tries=left.tries + 1), until))

    def forget_leftover(self, leftover_id: str) -> asyncio.Future[None]:
        return self._resolved(lambda: self._leftovers.pop(leftover_id, None) and None)

    def count_foreign(self, run_id: str) -> asyncio.Future[None]:
        def work() -> None:
            self._find(run_id)
            self._foreign[run_id] = self._foreign.get(run_id, 0) + 1

        return self._resolved(work)

    async def leftovers(self, run_id: str) -> list[Leftover]:
        return [left for left, _ in self._leftovers.values() if left.run_id == run_id]

    async def leftovers_by_due(self, cp: str, *, linger: float, limit: int) -> list[tuple[float, Leftover]]:
        found = []
        for left, postponed in self._leftovers.values():
            run = self._runs.get(left.run_id)
            finished_at = run.row.summary.finished_at if run else -linger
            if left.cp == cp and finished_at is not None:
                found.append((max(postponed, finished_at + linger), left))
        return sorted(found, key=lambda due: due[0])[:limit]

    async def foreign_count(self, run_id: str) -> int:
        return self._foreign.get(run_id, 0)

    async def get(self, run_id: str) -> RunRow | None:
        return self._runs[run_id].row if run_id in self._runs else None

    async def read(
        self,
        run_id: str,
        *,
        after: int = 0,
        limit: int = 1000,
        event_type: str | None = None,
        max_bytes: int = PAGE_BYTES,
    ) -> EventPage:
        stored = self._runs[run_id].events if run_id in self._runs else []
        stored = [event for event in stored if event_type in {None, event.type}]
        start = bisect.bisect_right(stored, after, key=lambda event: event.seq)
        page = stored[start : start + _bounded(limit)]
        while len(page) > 1 and sum(len(event.body) for event in page) > max_bytes:
            page.pop()
        return EventPage(tuple(page), page[-1].seq if page else after, start + len(page) < len(stored))

    async def to_cancel(self) -> list[str]:
        return [
            run_id
            for run_id, run in self._runs.items()
            if run.row.cancel_requested and run.row.summary.status not in TERMINAL
        ]

    async def list_runs(
        self, *, limit: int, before: str | None = None, status: str | None = None, scenario_ref: str | None = None
    ) -> RunPage:
        bound = _place(before) if before is not None else (float("inf"), 0)
        found = [
            run
            for run in sorted(self._runs.values(), key=lambda run: run.place, reverse=True)
            if run.place < bound
            and status in {None, run.row.summary.status}
            and scenario_ref in {None, run.row.header.scenario_ref}
        ]
        page = found[: _bounded(limit)]
        cursor = base64.b64encode(repr(page[-1].place).encode()).decode() if len(found) > limit else None
        return RunPage(tuple(run.row for run in page), cursor)

    async def agent_log(self, run_id: str, agent_id: str) -> str | None:
        return self._runs[run_id].logs.get(agent_id) if run_id in self._runs else None

    async def orphans(self) -> list[RunRow]:
        return []

    async def count_by_status(self) -> Mapping[str, int]:
        rows = [run.row.summary.status for run in self._runs.values()]
        return {status: rows.count(status) for status in get_args(RunStatus)}

    def _outbox_of(self, run_id: str) -> Outbox:
        run = self._find(run_id)
        summary = run.row.summary
        return Outbox(
            reported=run.reported or 0,
            event_count=summary.event_count,
            over=summary.status in TERMINAL,
            batch=run.batch,
        )

    def _create(self, header: RunHeader) -> RunRow:
        for run in self._runs.values():
            if header.idempotency_key is not None and run.row.header.idempotency_key == header.idempotency_key:
                return run.row
        self._last_key += 1
        row = RunRow(header, RunSummary(run_id=header.run_id, status="pending"))
        self._runs[header.run_id] = _Run(self._last_key, row, reported=0 if self._outbox else None)
        return row

    def _append(self, run_id: str, events: Sequence[StoredEvent], summary: RunSummary) -> None:
        run = self._find(run_id)
        count = len(run.events)
        fits = [event.seq for event in events] == list(range(count + 1, count + 1 + len(events)))
        if not fits or summary.event_count != count + len(events) or summary.run_id != run_id:
            raise OutOfSequence("does not continue the log", expected=count + 1)
        ending = summary.status != run.row.summary.status and summary.status in TERMINAL - {"cancelled"}
        if ending and run.row.cancel_requested:
            raise CancelComesFirst("was cancelled")
        run.events += events
        run.row = replace(run.row, summary=summary)

    def _prune(self, keep: int) -> int:
        finished = [run for run in self._runs.values() if run.row.summary.status in TERMINAL]
        finished.sort(key=lambda run: (run.row.summary.finished_at or 0.0, run.key))
        surplus = finished[: max(0, len(finished) - keep)]
        for run in surplus:
            self._remove(run.row.header.run_id)
        return len(surplus)

    def _remove(self, run_id: str) -> bool:
        del self._runs[run_id]
        self._foreign.pop(run_id, None)
        for key, (left, due) in self._leftovers.items():
            if left.run_id == run_id:
                self._leftovers[key] = replace(left, secret=None), due
        return True

    def _change(
        self, leftover_id: str, change: Callable[[Leftover, float], tuple[Leftover, float]]
    ) -> asyncio.Future[None]:
        def work() -> None:
            if leftover_id in self._leftovers:
                self._leftovers[leftover_id] = change(*self._leftovers[leftover_id])

        return self._resolved(work)

    def _find(self, run_id: str) -> _Run:
        if run_id not in self._runs:
            raise RunNotFound(f"no run {run_id}")
        return self._runs[run_id]

    def _resolved(self, work: Callable[[], T]) -> asyncio.Future[T]:
        future: asyncio.Future[T] = asyncio.get_running_loop().create_future()
        if not self._open:
            future.set_exception(StoreUnavailable("not open"))
            return future
        try:
            future.set_result(work())
        except Exception as failure:
            future.set_exception(failure)
        return future


def _bounded(limit: int) -> int:
    if limit < 1:
        raise InvalidRequest("limit")
    return limit


def _place(cursor: str) -> tuple[float, int]:
    try:
        created_at, key = base64.b64decode(cursor, validate=True).decode().strip("()").split(",")
        return float(created_at), int(key)
    except ValueError:
        raise InvalidRequest("cursor") from None
