"""What is asked of the directory, and what it answers: plain data."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from aitp_playground.observability.trace_context import Parent
from aitp_playground.store.port import RunProof, RunRow, RunStatus, StoredEvent


@dataclass(frozen=True, slots=True, kw_only=True)
class NewRun:
    """A request for a run, as parsed from ``POST /runs``. Nothing in it has been checked against the registry yet."""

    scenario_ref: str
    inputs: Mapping[str, Any] = field(default_factory=dict)
    template: str | None = None
    run_label: str | None = None
    fault_injection: Mapping[str, list[str]] = field(default_factory=dict)
    idempotency_key: str | None = None
    #: The trace in which it was asked for.
    asked_by: Parent | None = None


@dataclass(frozen=True, slots=True)
class Submitted:
    """``existing``: the idempotency key named an earlier run, and this is it."""

    row: RunRow
    existing: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class RunView:
    """A run as ``GET /runs/{id}`` shows it. ``proof`` is None until the run has succeeded;
    ``unproven_because`` says in sentences why it is not ``proven``.

    ``results`` says which event holds each step's output. ``events`` (encoded) and ``outputs`` are filled when asked
    for.
    """

    row: RunRow
    proof: RunProof | None
    error: str | None
    unproven_because: Sequence[str] = ()
    results: Mapping[str, int] = field(default_factory=dict)
    outputs: Mapping[str, Any] = field(default_factory=dict)
    events: tuple[StoredEvent, ...] = ()
    more: bool = False
    next_after: int = 0


@dataclass(frozen=True, slots=True)
class CancelOutcome:
    """``status`` after the call; ``cancelled``: this or an earlier call ends the run; ``reason`` when it does not."""

    run_id: str
    status: RunStatus
    cancelled: bool
    reason: str | None = None
