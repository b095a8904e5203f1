"""RunDirectory: the one door to runs: admission, lookup, activation, recovery. API and CLI talk only to this."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from aitp_playground.store.port import RunPage, RunRow, StoredEvent


@dataclass(frozen=True, slots=True, kw_only=True)
class NewRun:
    """A request for a run, as parsed from ``POST /runs``. Nothing in it has been checked against the registry yet."""

    scenario_ref: str
    inputs: Mapping[str, Any] = field(default_factory=dict)
    template: str | None = None
    run_label: str | None = None
    fault_injection: Mapping[str, list[str]] = field(default_factory=dict)
    idempotency_key: str | None = None


@dataclass(frozen=True, slots=True)
class Submitted:
    """``existing``: the idempotency key named an earlier run, and this is it."""

    row: RunRow
    existing: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class RunView:
    """A run as ``GET /runs/{id}`` shows it. ``events`` are encoded; ``proof`` is None until the run has succeeded."""

    row: RunRow
    proof: str | None
    outputs: Mapping[str, Any]
    error: str | None
    events: tuple[StoredEvent, ...] = ()
    more: bool = False
    next_after: int = 0


@dataclass(frozen=True, slots=True)
class CancelOutcome:
    """``status`` after the call; ``cancelled``: this or an earlier call ends the run; ``reason`` when it does not."""

    run_id: str
    status: str
    cancelled: bool
    reason: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class AgentRow:
    """One line of ``GET /agents``. ``status``: spawning, ready, exited, crashed. ``aid`` is "" until ready."""

    run_id: str
    agent_id: str
    port: int
    pid: int | None
    aid: str
    manifest_url: str
    status: str
    exit_code: int | None


class RunDirectory:
    """See the module docstring. Every method raises the errors of :mod:`aitp_playground.errors`."""

    async def submit(self, request: NewRun) -> Submitted:
        """Check the request against the registry (ref, template, inputs, agent ids of faults), store the run as
        pending, start it when there is room. On disk before it returns. Raises ScenarioNotFound, TemplateNotFound,
        InputsInvalid, InvalidRequest, RegistryInvalid, Overloaded, StoreUnavailable."""
        raise NotImplementedError

    async def row(self, run_id: str) -> RunRow:
        """Header and summary. Raises RunNotFound."""
        raise NotImplementedError

    async def view(self, run_id: str, *, events: bool = True, after: int = 0, limit: int | None = None) -> RunView:
        """The run with its outputs; ``limit=None`` gives every event. Raises RunNotFound."""
        raise NotImplementedError

    async def list_runs(
        self, *, limit: int = 100, before: str | None = None, status: str | None = None, scenario_ref: str | None = None
    ) -> RunPage:
        """Newest first."""
        raise NotImplementedError

    def stream(self, run_id: str, *, after: int = 0) -> AsyncIterator[list[StoredEvent]]:
        """Batches of events with ``seq > after``: stored ones, then live ones as they are committed, gap-free and
        duplicate-free. Ends after the last event of a run that is over. A slow reader is caught up from the store.
        Raises RunNotFound on the first step."""
        raise NotImplementedError

    async def cancel(self, run_id: str) -> CancelOutcome:
        """Ends a run; returns when it is over, or after about 3 s with the intent stored. Raises RunNotFound."""
        raise NotImplementedError

    async def delete(self, run_id: str) -> None:
        """Raises RunNotFound, RunNotTerminal."""
        raise NotImplementedError

    async def telemetry(self, token: str, emitter_seq: int, events: list[Mapping[str, Any]]) -> dict[str, Any]:
        """Take an agent's telemetry batch; the token fixes run and agent. On disk before it returns
        ``{"accepted": n, "emitter_seq": last}``. Raises Unauthorized, InvalidRequest, Overloaded."""
        raise NotImplementedError

    def agents(self) -> list[AgentRow]:
        """Agents of unfinished runs, and crashed ones for a minute."""
        raise NotImplementedError

    async def agent_log(self, run_id: str, agent_id: str) -> str:
        """The worker's output, bounded and redacted. Raises RunNotFound, NotFound."""
        raise NotImplementedError

    @property
    def draining(self) -> str | None:
        """Why no new runs are taken, or None."""
        raise NotImplementedError

    async def ping(self) -> None:
        """Raises StoreUnavailable."""
        raise NotImplementedError
