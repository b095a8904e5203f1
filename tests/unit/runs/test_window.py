"""Which events a step's claims are about."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from aitp_playground.events.codec import encode
from aitp_playground.events.model import EventDraft, RunEvent, draft
from aitp_playground.runs.window import StepWindow
from aitp_playground.store.port import StoredEvent

RUN = "11111111-1111-4111-8111-111111111111"
DENIED = "capability.denied"


def window(*drafts: EventDraft) -> StepWindow:
    made = StepWindow()
    events = [
        RunEvent(seq=seq, id=f"e{seq}", type=entry.type, ts=1.0, run_id=RUN, fields=entry.fields)
        for seq, entry in enumerate(drafts, 1)
    ]
    made.extend(events, [StoredEvent(event.seq, event.type, event.ts, encode(event)) for event in events])
    return made


def seqs(events: Sequence[RunEvent]) -> list[int]:
    return [event.seq for event in events]


STORY = (
    draft("run.started"),
    draft(DENIED, agent_id="b"),
    draft("step.started", step_id="first", agent="a"),
    draft(DENIED, agent_id="b", step_id="first"),
    draft("step.complete", step_id="first", result={}),
    draft("step.started", step_id="second", agent="a"),
    draft(DENIED, agent_id="b"),  # somebody from outside called
    draft(DENIED, agent_id="b", step_id="first"),  # told late
    draft(DENIED, agent_id="b", step_id="second"),
    draft("webhook.delivery", delivery_id="d"),
    draft("step.probing_no_trust", step_id="second"),
)


def test_an_agents_events_are_the_steps_when_they_say_so() -> None:
    assert seqs(window(*STORY).events(look_back=False)) == [6, 9, 10, 11]


def test_looking_back_sees_everything() -> None:
    assert seqs(window(*STORY).events(look_back=True)) == list(range(1, len(STORY) + 1))


@pytest.mark.parametrize("step_id", ["", "third", None])
def test_a_claim_is_neither_met_nor_broken_by_somebody_elses_call(step_id: str | None) -> None:
    stray = draft(DENIED, agent_id="b") if step_id is None else draft(DENIED, agent_id="b", step_id=step_id)
    events = window(draft("step.started", step_id="only"), stray).events(look_back=False)
    assert [event.type for event in events] == ["step.started"]
