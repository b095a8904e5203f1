"""A run directory in memory: the contract of the real one, as far as the protocol side needs it."""

from __future__ import annotations

import asyncio
import dataclasses
from collections.abc import AsyncGenerator, Mapping, Sequence
from typing import Any

import orjson

from aitp_playground.errors import InvalidRequest, NotFound, RunNotFound, RunNotTerminal, Unauthorized
from aitp_playground.runs.board import AgentRow
from aitp_playground.runs.directory import RunDirectory
from aitp_playground.runs.requests import CancelOutcome, NewRun, RunView, Submitted
from aitp_playground.store.port import TERMINAL, RunHeader, RunPage, RunRow, RunStatus, RunSummary, StoredEvent

BATCH = 1000


class MemoryDirectory(RunDirectory):
    """Runs that tests drive by hand: ``add``, ``record``, ``end``."""

    def __init__(self) -> None:
        self.rows: dict[str, RunRow] = {}
        self.logs: dict[str, list[StoredEvent]] = {}
        self.submitted: list[NewRun] = []
        self.batches: list[tuple[str, int, list[Mapping[str, Any]]]] = []
        self.listed: list[dict[str, Any]] = []
        self.views = 0
        self.streams = 0
        self.stream_ended = asyncio.Event()
        self.fault: BaseException | None = None
        self.stream_fault: BaseException | None = None
        self.page_fault: BaseException | None = None
        self.drained: str | None = None
        self._changed = asyncio.Condition()

    # -- what tests do to runs ----------------------------------------------------------------------------------------

    def add(self, run_id: str = "run-1", *, status: RunStatus = "running", events: int = 0, size: int = 10) -> str:
        header = RunHeader(run_id=run_id, scenario_ref="demo/first@1", inputs={"topic": "x"}, created_at=1.5)
        self.rows[run_id] = RunRow(header, RunSummary(run_id=run_id, status="running"))
        self.logs[run_id] = []
        for _ in range(events):
            self._append(run_id, "meta", size)
        self._set(run_id, status=status, finished_at=2.5 if status in TERMINAL else None)
        return run_id

    async def record(self, run_id: str, size: int = 10) -> None:
        self._append(run_id, "meta", size)
        await self._notify()

    async def end(self, run_id: str) -> None:
        self._append(run_id, "run.complete", 1)
        self._set(run_id, status="success", finished_at=2.5)
        await self._notify()

    def _append(self, run_id: str, event_type: str, size: int) -> None:
        seq = len(self.logs[run_id]) + 1
        fields = {"seq": seq, "id": f"e{seq}", "type": event_type, "ts": 1.5, "run_id": run_id, "notes": "x" * size}
        self.logs[run_id].append(StoredEvent(seq, event_type, 1.5, orjson.dumps(fields)))
        self._set(run_id, event_count=seq)

    def _set(self, run_id: str, **changes: Any) -> None:
        row = self.rows[run_id]
        self.rows[run_id] = dataclasses.replace(row, summary=dataclasses.replace(row.summary, **changes))

    async def _notify(self) -> None:
        async with self._changed:
            self._changed.notify_all()

    # -- the contract -------------------------------------------------------------------------------------------------

    async def submit(self, request: NewRun) -> Submitted:
        if self.fault:
            raise self.fault
        for earlier, row in zip(self.submitted, list(self.rows.values()), strict=False):
            if request.idempotency_key and earlier.idempotency_key == request.idempotency_key:
                if earlier != request:
                    raise InvalidRequest("this Idempotency-Key belongs to another request")
                return Submitted(row, existing=True)
        self.submitted.append(request)
        run_id = f"run-{len(self.submitted)}"
        header = RunHeader(
            run_id=run_id, scenario_ref=request.scenario_ref, run_label=request.run_label, created_at=1.5
        )
        self.rows[run_id] = RunRow(header, RunSummary(run_id=run_id, status="pending"))
        self.logs[run_id] = []
        return Submitted(self.rows[run_id])

    async def row(self, run_id: str) -> RunRow:
        if self.fault:
            raise self.fault
        if run_id not in self.rows:
            raise RunNotFound(f"no run {run_id!r}")
        return self.rows[run_id]

    async def view(self, run_id: str, *, events: bool = True, after: int = 0, limit: int | None = None) -> RunView:
        self.views += 1
        assert not events, "an answer's events come in pages"
        return RunView(row=await self.row(run_id), proof=None, results={"first": 0}, error=None)

    async def output(self, run_id: str, seq: int) -> Any:
        return {"n": 1}

    async def pages(
        self, run_id: str, *, after: int = 0, until: int, limit: int | None = None
    ) -> AsyncGenerator[tuple[StoredEvent, ...]]:
        found = [event for event in self.logs[run_id] if after < event.seq <= until][:limit]
        for start in range(0, len(found), 7):
            if self.page_fault is not None and start:
                raise self.page_fault
            yield tuple(found[start : start + 7])

    async def list_runs(
        self, *, limit: int = 100, before: str | None = None, status: str | None = None, scenario_ref: str | None = None
    ) -> RunPage:
        self.listed.append({"limit": limit, "before": before, "status": status, "scenario_ref": scenario_ref})
        rows = list(reversed(self.rows.values()))
        start = int(before or 0)
        page = tuple(rows[start : start + limit])
        return RunPage(page, str(start + limit) if start + limit < len(rows) else None)

    async def stream(self, run_id: str, *, after: int = 0) -> AsyncGenerator[list[StoredEvent]]:
        self.streams += 1
        try:
            while True:
                if self.stream_fault:
                    raise self.stream_fault
                batch = [event for event in self.logs[run_id] if event.seq > after][:BATCH]
                if batch:
                    after = batch[-1].seq
                    yield batch
                elif self.rows[run_id].summary.status in TERMINAL:
                    return
                else:
                    async with self._changed:
                        await self._changed.wait()
        finally:
            self.streams -= 1
            self.stream_ended.set()

    async def cancel(self, run_id: str) -> CancelOutcome:
        row = await self.row(run_id)
        if row.summary.status in TERMINAL:
            return CancelOutcome(run_id, row.summary.status, False, "already terminal")
        self._set(run_id, status="cancelled")
        return CancelOutcome(run_id, "cancelled", True)

    async def delete(self, run_id: str) -> None:
        row = await self.row(run_id)
        if row.summary.status not in TERMINAL:
            raise RunNotTerminal("cancel the run first")
        del self.rows[run_id]

    async def telemetry(
        self, token: str, emitter_seq: int, events: list[Mapping[str, Any]], spans: Sequence[Mapping[str, Any]] = ()
    ) -> dict[str, Any]:
        if token != "agent-token":
            raise Unauthorized("not a telemetry token")
        self.batches.append((token, emitter_seq, events))
        return {"accepted": len(events), "emitter_seq": emitter_seq}

    def agents(self) -> list[AgentRow]:
        return [
            AgentRow(
                run_id="run-1",
                agent_id="writer",
                port=8101,
                pid=None,
                aid="",
                manifest_url="http://localhost:8101/.well-known/aitp-manifest",
                status="spawning",
                exit_code=None,
            )
        ]

    async def agent_log(self, run_id: str, agent_id: str) -> str:
        await self.row(run_id)
        if agent_id != "writer":
            raise NotFound("this run has no such agent")
        return "<b>started</b> \udc80\n"

    @property
    def draining(self) -> str | None:
        return self.drained

    async def ping(self) -> None:
        if self.fault:
            raise self.fault
