"""A comparison is shown by step and emitter, in eighty columns, and nothing in it can drive the terminal."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from aitp_playground.cli.diffing.sides import Side, of_file
from aitp_playground.cli.diffing.view import View
from aitp_playground.errors import InvalidRequest
from aitp_playground.recording.comparing import compared
from aitp_playground.recording.comparison import Comparison
from aitp_playground.recording.normal import Log
from tests.support.made_logs import Event, find, made_log
from tests.support.odd_values import ODD


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


HEAD = {"seq": 1, "id": "x", "type": "run.started", "ts": 1_800_000_000.5, "run_id": "r"}


def nested(levels: int) -> bytes:
    """An event that is so deep: itself, its payload and the lists in there."""
    return (
        json.dumps({**HEAD, "payload": {"x": "<>"}})
        .encode()
        .replace(b'"<>"', b"[" * (levels - 2) + b"]" * (levels - 2))
    )


@pytest.mark.parametrize(
    ("line", "wrong"),
    [
        (b"hello", "it is no JSON"),
        (b"\xff", "it is no JSON"),
        (b"1" * 5000, "it is no JSON"),
        (b"[1]", "it is no JSON object"),
        (b"{}", "it has no seq"),
        *(
            (json.dumps({**HEAD, name: value}).encode(), f"its {name} is not ")
            for name, odd in {
                "seq": ["1", True, 1.5, None, []],
                "id": [5, None, {}],
                "type": [5, None, ["run.started"]],
                "ts": ["x", True, None, [], -1, 10**400, 1e300],
                "run_id": [5, None, []],
            }.items()
            for value in odd
        ),
        (b'{"seq":1,"id":"x","type":"t","run_id":"r","ts":NaN}', "its ts is not a time"),
        *((nested(levels), "it is nested deeper than 254 levels") for levels in (255, 300, 900, 3_000, 100_000)),
    ],
)
def test_a_file_that_holds_no_events_says_where_and_why(tmp_path: Path, line: bytes, wrong: str) -> None:
    file = tmp_path / "events.jsonl"
    file.write_bytes(json.dumps(HEAD).encode() + b"\n\n" + line + b"\n")
    with pytest.raises(InvalidRequest, match=f"events.jsonl: line 3 is no event of a run, .*: {wrong}"):
        of_file(file)


def test_a_file_has_events_and_of_one_run(tmp_path: Path) -> None:
    file = tmp_path / "events.jsonl"
    file.write_bytes(b"\n")
    with pytest.raises(InvalidRequest, match="has no events of a run"):
        of_file(file)
    file.write_text(f"{json.dumps(HEAD)}\n{json.dumps({**HEAD, 'run_id': 'other'})}")
    with pytest.raises(InvalidRequest, match="line 2 is of another run"):
        of_file(file)


@pytest.mark.parametrize(
    "odd", [*(json.dumps({**HEAD, "payload": value}).encode() for value in ODD.values()), nested(254)]
)
def test_whatever_else_a_file_holds_is_compared_and_shown(tmp_path: Path, odd: bytes) -> None:
    file, plain = tmp_path / "odd.jsonl", tmp_path / "plain.jsonl"
    file.write_bytes(odd)
    plain.write_text(json.dumps(HEAD))
    sides: list[Any] = [(side, side.form(volatile=True)) for side in map(of_file, (file, plain))]
    comparison = compared(sides[0][1], sides[1][1])
    assert list(View().lines(*sides, comparison))
    assert json.dumps(comparison.as_dict())
