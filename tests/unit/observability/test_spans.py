"""What of an agent's word about a span is kept, and what spans show."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from aitp_playground.events.model import RunEvent, draft
from aitp_playground.events.tokens import fingerprint
from aitp_playground.observability.spans import MAX_SPANS, Seen, handed_in
from aitp_playground.observability.tracing import Tracing
from tests.support.spans import Kept, told

RUN = "00000000-0000-4000-8000-000000000001"
TOKEN = "eyJhbGciOiJFZERTQSJ9.eyJzdWIiOiJ4In0.c2lnbmF0dXJlc2lnbmF0dXJl"
SHOWN = fingerprint(TOKEN)


def event(event_type: str, **fields: Any) -> RunEvent:
    return RunEvent(seq=1, id="e", type=event_type, ts=5.0, run_id=RUN, fields=draft(event_type, **fields).fields)


def test_a_token_stands_nowhere_in_a_span_that_an_agent_hands_in() -> None:
    [span] = handed_in(
        RUN, "worker", [told(name=f"GET {TOKEN}", error=TOKEN, attributes={TOKEN: 1, "a": f"Bearer {TOKEN}"})]
    )
    assert (span.name, span.error) == (f"GET {SHOWN}", SHOWN)
    assert (span.attributes[SHOWN], span.attributes["a"]) == (1, f"Bearer {SHOWN}")


def test_a_token_that_is_longer_than_a_name_may_be_leaves_no_piece_of_itself() -> None:
    long = f"{TOKEN}{'x' * 2_000}"
    [span] = handed_in(RUN, "worker", [told(name=long, attributes={long: long})])
    assert span.name == fingerprint(long)
    assert span.attributes[fingerprint(long)] == fingerprint(long)


def test_a_token_stands_nowhere_in_a_span_that_is_made_of_events() -> None:
    sink = Kept()
    tracing = Tracing(sink)
    tracing.observe(event("run.started", scenario_ref=TOKEN))
    tracing.observe(event("step.started", step_id=TOKEN, step_type="wait", agent=TOKEN))
    tracing.observe(event("capability.denied", error=TOKEN))
    tracing.observe(event("step.failed", step_id=TOKEN, error=TOKEN))
    tracing.observe(event("run.failed", error=TOKEN))
    assert [span.name for span in sink.spans] == [f"step {SHOWN}", f"run {SHOWN}"]
    # A step's own span id is made of its id, so it is no text that could show one.
    assert TOKEN not in repr([replace(span, span_id="") for span in sink.spans])


def test_of_the_spans_that_were_seen_as_many_are_remembered_as_a_batch_may_hold() -> None:
    spans = handed_in(RUN, "worker", [told(span_id=f"{n:016x}") for n in range(1, MAX_SPANS + 1)])
    [later] = handed_in(RUN, "worker", [told(span_id="f" * 16)])
    seen = Seen()
    assert seen.new(spans[:10]) == spans[:10]
    assert seen.new(spans) == spans[10:]
    assert seen.new([later, later]) == [later]
    assert seen.new(spans[1:]) == [], "the batch before is known"
    assert seen.new(spans[:1]) == spans[:1], "and what gave way to it is not"
