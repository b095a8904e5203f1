"""RunState: what a run is, as the fold of its log. Live, after a restart and in a replay: this code."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from aitp_playground.events.model import RunEvent
from aitp_playground.events.proof import Proof
from aitp_playground.events.vocabulary import STEP_ENDS, TERMINAL_TYPES
from aitp_playground.store.port import TERMINAL, RunProof, RunStatus, RunSummary

_DELIVERED = {"cp.webhook.delivered", "cp.webhook.unsubscribed"}
#: What the events of a step say about it.
_LABELS = ("agent", "capability", "initiator", "payload")


@dataclass(slots=True)
class RunState:
    """``seq``: the last event folded in. ``results``: which event holds what a step gave (its ``result``), by step id,
    also of steps that failed: outputs may be large, and who wants one reads that event.
    ``step_labels``: what ``step.started`` said of the step it started last. ``delivered``: the ids of the events that
    came of deliveries; ``foreign``: how many of them are about other runs.
    """

    seq: int = 0
    status: RunStatus = "pending"
    results: dict[str, int] = field(default_factory=dict)
    error: str | None = None
    proving: Proof = field(default_factory=Proof)
    current_step: str | None = None
    step_labels: Mapping[str, Any] = field(default_factory=dict)
    started_at: float | None = None
    finished_at: float | None = None
    delivered: set[str] = field(default_factory=set)
    foreign: int = 0

    @property
    def over(self) -> bool:
        """The run has its terminal event."""
        return self.status in TERMINAL

    @property
    def proof(self) -> RunProof | None:
        """``proven`` or ``unproven`` of a successful run; None of any other."""
        if self.status != "success":
            return None
        return "unproven" if self.proving.unproven_because else "proven"

    @property
    def unproven_because(self) -> list[str]:
        """Why a successful run is unproven, as sentences; empty for any other."""
        return self.proving.unproven_because if self.status == "success" else []

    def apply(self, event: RunEvent) -> None:
        """Fold one event in. Events come in the order of their ``seq``, each once."""
        self.seq = event.seq
        if not self.over:
            self.proving.apply(event)
        if event.type == "run.started":
            self.status, self.started_at = "running", event.ts
        elif event.type == "step.started":
            self.current_step = event.get("step_id")
            self.step_labels = {name: event.fields[name] for name in _LABELS if name in event.fields}
        elif event.type in STEP_ENDS:
            self._end_step(event)
        elif event.type in _DELIVERED:
            self.delivered.add(event.id)
            self.foreign += bool(event.get("foreign"))
        elif event.type in TERMINAL_TYPES and not self.over:
            self.status, self.finished_at = TERMINAL_TYPES[event.type], event.ts
            self.error = event.get("error")
            self.current_step = None

    def _end_step(self, event: RunEvent) -> None:
        self.current_step = None
        if event.get("result") is not None:
            self.results[event.get("step_id")] = event.seq

    def summary(self, run_id: str) -> RunSummary:
        """The row a list shows."""
        return RunSummary(
            run_id=run_id,
            status=self.status,
            event_count=self.seq,
            finished_at=self.finished_at,
            proof=self.proof,
        )


def fold(events: Iterable[RunEvent], state: RunState | None = None) -> RunState:
    """The state after ``events``, starting from ``state`` (changed in place) or from nothing."""
    state = state or RunState()
    for event in events:
        state.apply(event)
    return state
