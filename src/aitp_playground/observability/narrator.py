"""A run told as prose: a line per recognised event, then one that sums up.

::

    +0.042s  writer: ready as aid:pubkey:AbCdE…x1y2, port 8101
    +0.310s  step first started
    +0.355s    writer refused researcher's call to write.content: no TCT was presented (tct_missing)
    +0.360s  step first complete
    run success, proven: 1 step completed, 0 skipped, 0 failed; 2 agents; 0.412 s

A line never holds a control character, whatever an agent put into its events, and is bounded in length.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable

from aitp_playground.events.model import RunEvent
from aitp_playground.events.narration import plain
from aitp_playground.events.proof import Proof
from aitp_playground.events.vocabulary import TERMINAL_TYPES, spec

_STEP_ENDS = {"step.complete": "completed", "step.skipped": "skipped", "step.failed": "failed"}
_STEP_BRACKETS = frozenset({"step.started", *_STEP_ENDS})
_MAX_AGENTS = 1000


class Narrator:
    """Tells one run event by event, as they come; feed it in order."""

    def __init__(self) -> None:
        self._first: float | None = None
        self._last = 0.0
        self._status = ""
        self._proof = Proof()
        self._open_step = False
        self._steps: Counter[str] = Counter()
        self._agents: set[str] = set()

    def line(self, event: RunEvent) -> str | None:
        """The line of this event; None for a type that the vocabulary does not know."""
        row = spec(event.type)
        if row is None:
            return None
        self._take_in(event)
        indent = "  " if self._inside_step(event) else ""
        return f"{_clock(self._since_start(event.ts))}  {indent}{row.narrate(event)}"

    def lines(self, events: Iterable[RunEvent]) -> bytes:
        """The lines of several, each with its end, in UTF-8."""
        told = (self.line(event) for event in events)
        # Lone surrogates, which an agent may report, become question marks.
        return "".join(f"{line}\n" for line in told if line is not None).encode("utf-8", "replace")

    def summary(self) -> str:
        """What came of it so far: status, proof of a successful run, steps, agents, duration."""
        status = f"run {self._status or 'not over'}"
        if self._status == "success":
            doubts = self._proof.unproven_because
            status += f", unproven ({plain(doubts[0])})" if doubts else ", proven"
        done, skipped, failed = (self._steps[outcome] for outcome in ("completed", "skipped", "failed"))
        agents = len(self._agents)
        return (
            f"{status}: {done} step{'' if done == 1 else 's'} completed, {skipped} skipped, {failed} failed; "
            f"{agents} agent{'' if agents == 1 else 's'}; {self._last:.3f} s"
        )

    def _take_in(self, event: RunEvent) -> None:
        if self._first is None:
            self._first = event.ts
        if not self._status:
            self._last = max(self._last, self._since_start(event.ts))
        if not self._status:
            self._proof.apply(event)
        if event.type == "step.started":
            self._open_step = True
        elif event.type in _STEP_ENDS:
            self._open_step = False
            self._steps[_STEP_ENDS[event.type]] += 1
        elif event.type == "agent.spawning" and len(self._agents) < _MAX_AGENTS:
            self._agents.add(str(event.get("agent_id")))
        elif event.type in TERMINAL_TYPES:
            self._open_step = False
            self._status = TERMINAL_TYPES[event.type]

    def _inside_step(self, event: RunEvent) -> bool:
        if event.type in _STEP_BRACKETS or event.type in TERMINAL_TYPES:
            return False
        return self._open_step or "step_id" in event.fields

    def _since_start(self, ts: float) -> float:
        elapsed = ts - (self._first or 0.0)
        return elapsed if math.isfinite(elapsed) else 0.0


def _clock(seconds: float) -> str:
    return f"{seconds:+.3f}s"
