"""A comparison is shown by step and emitter, in eighty columns, and nothing in it can drive the terminal."""

from __future__ import annotations

import copy
from collections.abc import Callable

from aitp_playground.cli.diffing.sides import Side
from aitp_playground.cli.diffing.view import View
from aitp_playground.recording.comparing import compared
from aitp_playground.recording.comparison import Comparison
from aitp_playground.recording.normal import Log
from tests.support.made_logs import Event, find, made_log


def shown(edit: Callable[[list[Event]], None], change: Callable[[Comparison], Comparison] = lambda one: one) -> str:
    one, other = made_log(1), made_log(2).changed(edit)
    a, b = one.form(), other.form()
    sides = (Side(one.given, Log()), a), (Side(other.given, Log()), b)
    text = "\n".join(View().lines(*sides, change(compared(a, b))))
    assert max(len(line) for line in text.splitlines() if " " in line.strip()) <= 80
    return text


def test_the_same_is_one_line() -> None:
    assert shown(lambda events: None) == "The same happened in both runs."


def test_whatever_changes_has_its_mark() -> None:
    def edit(events: list[Event]) -> None:
        probe, denied = find(events, "step.probing_no_trust"), find(events, "step.access_denied")
        events[probe], events[denied] = events[denied], events[probe]
        events.pop(find(events, "capability.denied"))
        events[find(events, "step.complete", step_id="refuse")]["result"]["status_code"] = 200
        place = find(events, "capability.invoked")
        events.insert(place, copy.deepcopy(events[place]))
        events[find(events, "handshake.complete", agent_id="analyst", target="writer")]["payload"]["tcts"][0][
            "exp"
        ] += 60
        events[:] = [event for event in events if event.get("step_id") != "rotate"]
        start = find(events, "step.started", step_id="delegate")
        events[start:start] = [
            {"type": "step.started", "step_id": "more", "payload": {}},
            {"type": "step.skipped", "step_id": "more", "notes": "no", "payload": {}},
        ]

    text = shown(edit)
    for part in (
        "outside of the steps\n  analyst, about writer\n    ~ handshake.complete (seq ",
        '        payload.tcts[0].exp\n          - "<+3600s>"\n          + "<+3660s>"',
        "step call\n  writer\n    + capability.invoked (seq ",
        "step refuse\n  output\n    $.status_code\n      - 403\n      + 200\n  the playground\n    > step.",
        ": elsewhere among the others\n  writer\n    - capability.denied (seq ",
        "+ step more: skipped, 2 events",
        "- step rotate: complete, 3 events",
    ):
        assert part in text, text


def test_a_step_and_a_run_that_end_otherwise_say_how() -> None:
    def failed(events: list[Event]) -> None:
        place = find(events, "step.complete", step_id="rotate")
        events[place] |= {"type": "step.failed", "error": "it did not", "result": None}
        events[-1] = {"type": "run.failed", "error": "step rotate failed: it did not"}

    text = shown(failed)
    assert "step rotate: complete, now failed" in text
    assert "    ~ step.complete, now step.failed (seq " in text
    assert "end of the run\n  ~ run.complete, now run.failed (seq " in text
    assert '  status\n    - "success"\n    + "failed"' in text


def test_what_is_not_listed_is_counted_and_what_is_not_sure_is_said() -> None:
    def many(events: list[Event]) -> None:
        place = find(events, "capability.invoked")
        events[place:place] = [{**events[place], "notes": str(number)} for number in range(300)]
        events[find(events, "step.complete", step_id="call")]["result"] = {str(n): n for n in range(150)}

    def unsure(comparison: Comparison) -> Comparison:
        return Comparison(comparison.run, 0, comparison.sections, comparison.end, exact=False)

    text = shown(many, unsure)
    assert "    … and 54 more" in text
    assert "  … and 100 events more" in text
    assert text.endswith(
        "\n\nThe runs differ so much that not everything that is the same in both may have\nbeen found."
    )


def test_nothing_drives_the_terminal() -> None:
    evil = "\x1b[2J\r\nstep \u202eevil"

    def edit(events: list[Event]) -> None:
        events[find(events, "capability.denied")]["error"] = evil
        events[find(events, "step.complete", step_id="call")]["result"] = {evil: evil}

    text = shown(edit)
    assert "\x1b" not in text
    assert "\u202e" not in text
    assert all(line.isprintable() for line in text.splitlines())
