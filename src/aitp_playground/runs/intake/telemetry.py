"""TelemetryIntake: which of an agent's events a run has, and who waits for more of them."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Sequence

from aitp_playground.events.model import EventDraft
from aitp_playground.runs.state import RunState


class TelemetryIntake:
    """Part of a run's actor. Agents number what they emit, so that what is sent twice counts once."""

    def __init__(self) -> None:
        self._taken: defaultdict[str, int] = defaultdict(int)
        self._waiting: list[tuple[str, int, asyncio.Future[None]]] = []

    def fresh(self, agent_id: str, events: Sequence[tuple[int, EventDraft]]) -> list[EventDraft]:
        """The drafts of a batch, ``(emitter_seq, draft)`` in order, that were not taken before."""
        seen = self._taken[agent_id]
        return [entry for number, entry in events if number > seen]

    def last(self, agent_id: str, events: Sequence[tuple[int, EventDraft]]) -> int:
        """The number of the agent's last event once this batch is taken."""
        seen = self._taken[agent_id]
        return max(seen, events[-1][0]) if events else seen

    def took(self, agent_id: str, last: int) -> None:
        """The log holds this agent's events up to ``last``; who waited for that is answered."""
        self._taken[agent_id] = last
        still = []
        for waiting in self._waiting:
            of, emitter_seq, future = waiting
            if self._taken[of] < emitter_seq:
                if not future.done():
                    still.append(waiting)
            elif not future.done():
                future.set_result(None)
        self._waiting = still

    def reach(self, agent_id: str, emitter_seq: int) -> asyncio.Future[None] | None:
        """None when the log holds the agent's events up to ``emitter_seq``, else a future that resolves then."""
        if self._taken[agent_id] >= emitter_seq:
            return None
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.append((agent_id, emitter_seq, future))
        return future


def within_step(entry: EventDraft, state: RunState) -> EventDraft:
    """What bears the mark of the step in progress gets its labels. What only falls into its time does not: anybody may
    call an agent while a step is under way."""
    if state.current_step is None or entry.fields.get("step_id") != state.current_step:
        return entry
    labels = {name: state.step_labels[name] for name in ("agent", "capability") if name in state.step_labels}
    return EventDraft(entry.type, {**labels, **entry.fields}, entry.id, entry.ts)
