"""A comparison says what differs, where, and how it was on either side; and nothing else."""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from aitp_playground.recording import comparing
from aitp_playground.recording.comparing import compared
from aitp_playground.recording.comparison import Comparison
from tests.support.made_logs import Event, MadeLog, find, made_log

seeds = st.integers(0, 2**32)
Edit = Callable[[list[Event]], None]


def difference(edit: Edit, *, volatile: bool = False) -> Comparison:
    """Of a run and one with other ids, scheduled otherwise, in which something was changed."""
    return compared(made_log(1, 1).form(volatile=volatile), made_log(2, 2).changed(edit).form(volatile=volatile))


def only(edit: Edit) -> tuple[dict[str, Any], dict[str, Any]]:
    """The one step that differs, and the one event of it, as JSON."""
    comparison = difference(edit)
    assert not comparison.equal
    assert (comparison.run, comparison.end) == ((), None)
    (step,) = comparison.as_dict()["steps"]
    (event,) = step["events"]
    return step, event


def field_changed(event_type: str, where: dict[str, Any], change: Callable[[Event], Any]) -> Edit:
    return lambda events: change(events[find(events, event_type, **where)])


@given(seeds, seeds)
@settings(max_examples=30)
def test_the_same_run_with_other_ids_scheduled_otherwise_does_not_differ(seed: int, schedule: int) -> None:
    comparison = compared(made_log().form(), made_log(seed, schedule).form())
    assert comparison.as_dict() == {"equal": True, "exact": True, "run": [], "steps": [], "end": None}


def test_a_grant_is_named_with_its_step_its_emitter_and_both_values() -> None:
    step, event = only(field_changed("delegation.issued", {}, lambda one: one.update(grants=["write", "read"])))
    assert step["step"] == "delegate"
    assert (event["change"], event["by"], event["type"]) == ("changed", "researcher", "delegation.issued")
    assert event["fields"] == [{"path": "grants[1]", "b": "read"}]
    assert set(event["seq"]) == {"a", "b"}


def test_a_refusals_code_is_named() -> None:
    step, event = only(field_changed("capability.denied", {}, lambda one: one["payload"].update(code="tct_expired")))
    assert (step["step"], event["by"]) == ("refuse", "writer")
    assert event["fields"] == [{"path": "payload.code", "a": "tct_missing", "b": "tct_expired"}]


def test_a_grant_of_a_handshake_outside_of_the_steps_is_named_with_its_pair() -> None:
    step, event = only(
        field_changed("handshake.answered", {"initiator": "analyst", "agent_id": "writer"}, lambda e: e["grants"].pop())
    )
    assert (step["step"], event["by"], event["peer"]) == (None, "writer", "analyst")
    assert event["fields"] == [{"path": "grants[0]", "a": "write"}]


def test_an_expectation_that_does_not_hold_any_more_is_named() -> None:
    fault = {"path": "$.status_code", "operator": "equals", "expected": 403, "actual": 200}

    def failed(events: list[Event]) -> None:
        place = find(events, "step.complete", step_id="refuse")
        events[place] |= {"type": "step.failed", "error": "expected 403", "result": {"status_code": 200}}
        events[place]["payload"] = {"step_type": "capability_probe", "details": [fault]}
        events[place + 1 :] = [{"type": "run.failed", "error": "step refuse failed: expected 403"}]

    told = difference(failed).as_dict()
    assert told["run"] == [
        {"path": "status", "a": "success", "b": "failed"},
        {"path": "proof", "a": "proven", "b": None},
    ]
    refuse, delegate, rotate = told["steps"]
    assert (refuse["change"], refuse["outcome"]) == ("changed", {"a": "complete", "b": "failed"})
    assert {"path": "$.status_code", "a": 403, "b": 200} in refuse["output"]
    (end,) = refuse["events"]
    assert end["type"] == {"a": "step.complete", "b": "step.failed"}
    assert {"path": "error", "b": "expected 403"} in end["fields"]
    assert [(one["step"], one["change"], one["outcome"]) for one in (delegate, rotate)] == [
        ("delegate", "missing", {"a": "complete", "b": None}),
        ("rotate", "missing", {"a": "complete", "b": None}),
    ]
    assert told["end"]["type"] == {"a": "run.complete", "b": "run.failed"}


def test_one_value_of_an_output_is_named_by_its_path() -> None:
    comparison = difference(
        field_changed("step.complete", {"step_id": "call"}, lambda one: one["result"].update(words=4))
    )
    (step,) = comparison.as_dict()["steps"]
    assert (step["step"], step["events"]) == ("call", [])
    assert step["output"] == [{"path": "$.words", "a": 3, "b": 4}]


def test_another_order_within_one_emitter_is_a_move() -> None:
    def swapped(events: list[Event]) -> None:
        first, second = find(events, "step.probing_no_trust"), find(events, "step.access_denied")
        events[first], events[second] = events[second], events[first]

    step, event = only(swapped)
    assert (step["step"], event["change"], event["by"]) == ("refuse", "moved", None)
    assert event["type"] in {"step.probing_no_trust", "step.access_denied"}
    assert event["fields"] == []


def test_a_missing_event_is_named() -> None:
    step, event = only(lambda events: events.pop(find(events, "capability.denied")) and None)
    assert (step["step"], event["change"], event["by"], event["type"]) == (
        *("refuse", "missing", "writer", "capability.denied"),
    )
    assert set(event["seq"]) == {"a"}


def test_an_extra_event_is_named_also_one_like_another() -> None:
    def doubled(events: list[Event]) -> None:
        place = find(events, "capability.invoked")
        events.insert(place, copy.deepcopy(events[place]))

    step, event = only(doubled)
    assert (step["step"], event["change"], event["type"]) == ("call", "extra", "capability.invoked")


def test_an_event_that_is_missing_among_others_of_its_type_is_the_right_one() -> None:
    def four(events: list[Event]) -> None:
        place = find(events, "capability.invoked")
        events[place : place + 1] = [_numbered(events[place], number) for number in (1, 2, 3, 4)]

    def three(events: list[Event]) -> None:
        four(events)
        events.pop(find(events, "capability.invoked", number=2))
        events[find(events, "capability.invoked", number=4)]["payload"]["status_code"] = 500

    told = compared(made_log(1, 1).changed(four).form(), made_log(2, 2).changed(three).form()).as_dict()
    first, second = told["steps"][0]["events"]
    assert (first["change"], first["type"]) == ("missing", "capability.invoked")
    assert (second["change"], second["fields"]) == (
        *("changed", [{"path": "payload.status_code", "a": 200, "b": 500}]),
    )


def _numbered(event: Event, number: int) -> Event:
    return {**event, "payload": {**event["payload"], "number": number}}


def test_a_step_that_is_missing_extra_or_elsewhere_is_named() -> None:
    def renamed(events: list[Event]) -> None:
        for event in events:
            if event.get("step_id") == "call":
                event["step_id"] = "another"

    told = difference(renamed).as_dict()["steps"]
    changes = {(one["step"], one["change"]) for one in told}
    assert ("call", "missing") in changes
    assert ("another", "extra") in changes

    def swapped(events: list[Event]) -> None:
        steps = {name: [one for one in events if one.get("step_id") == name] for name in ("call", "refuse")}
        start = find(events, "step.started", step_id="call")
        events[start : start + sum(map(len, steps.values()))] = [*steps["refuse"], *steps["call"]]

    (moved,) = difference(swapped).as_dict()["steps"]
    assert (moved["change"], moved["output"], moved["events"]) == ("moved", [], [])


def test_a_step_that_lacks_its_start_stands_where_it_was() -> None:
    step, event = only(lambda events: events.pop(find(events, "step.started", step_id="delegate")) and None)
    assert (step["step"], step["change"]) == ("delegate", "changed")
    assert (event["change"], event["type"]) == ("missing", "step.started")


def test_what_may_as_well_not_have_come_differs_only_when_it_is_asked_for() -> None:
    def silent(events: list[Event]) -> None:
        events.pop(find(events, "llm.complete"))

    assert difference(silent).equal
    (step,) = difference(silent, volatile=True).as_dict()["steps"]
    assert [one["type"] for one in step["events"]] == ["llm.complete"]


def test_inputs_count_where_both_sides_know_them() -> None:
    one, other = made_log(1), made_log(2)
    other.given = _given(other, inputs={"topic": "doubt"})
    assert compared(one.form(), other.form()).as_dict()["run"] == [{"path": "inputs.topic", "a": "trust", "b": "doubt"}]
    other.given = _given(other, inputs=None)
    assert compared(one.form(), other.form()).equal


def _given(log: MadeLog, **changes: Any) -> Any:
    return replace(log.given, **changes)


def test_what_is_told_is_bounded_and_the_rest_is_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(comparing, "MOST_EVENTS", 3)

    def many(events: list[Event]) -> None:
        place = find(events, "capability.invoked")
        events[place:place] = [_numbered(events[place], number) for number in range(10)]

    (step,) = difference(many).as_dict()["steps"]
    assert (len(step["events"]), step["more_events"]) == (3, 7)


@given(st.lists(st.tuples(st.sampled_from(["drop", "double", "change"]), st.integers(0, 60)), min_size=1, max_size=4))
@settings(max_examples=50)
def test_what_was_done_to_a_log_is_undone_by_what_is_told(edits: list[tuple[str, int]]) -> None:
    """As many events are missing and extra as the lengths say, and both directions tell the same."""

    def edit(events: list[Event]) -> None:
        for what, place in edits:
            at = 1 + place % (len(events) - 2)
            if what == "drop":
                events.pop(at)
            elif what == "double":
                events.insert(at, copy.deepcopy(events[at]))
            else:
                events[at]["notes"] = f"changed {place}"

    changed = made_log(1).changed(edit)
    there = compared(made_log(1).form(volatile=True), changed.form(volatile=True))
    back = compared(changed.form(volatile=True), made_log(1).form(volatile=True))
    # Of two steps that changed places either may be the one that moved.
    assume(all(one.change != "moved" for one in (*there.sections, *back.sections)))
    assert [_mirrored(one) for one in there.sections] == [_seen(one) for one in back.sections]


def _seen(section: Any) -> tuple[Any, ...]:
    counted: dict[str, int] = {}
    for one in section.events:
        counted[one.change] = counted.get(one.change, 0) + 1
    return (section.step_id, section.change, section.outcome, sorted(counted.items()))


def _mirrored(section: Any) -> tuple[Any, ...]:
    names = {"missing": "extra", "extra": "missing"}
    step_id, change, (a, b), counted = _seen(section)
    return (step_id, names.get(change, change), (b, a), sorted((names.get(name, name), n) for name, n in counted))
