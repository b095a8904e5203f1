"""``expect``: the checks that make a demonstration able to fail. Paths are those of
:mod:`aitp_playground.scenarios.paths`."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from aitp_playground.errors import ExpectationFailed
from aitp_playground.events.model import RunEvent
from aitp_playground.scenarios.expectations import Expectation, is_number
from aitp_playground.scenarios.judge import NoVerdict, ask
from aitp_playground.scenarios.paths import MISSING, finds_nothing, select
from aitp_playground.scenarios.patterns import linear_match, pattern_fault

_REFERENCE = re.compile(r"\{\{\s*outputs((?:\.[A-Za-z0-9_@:-]+|\[(?:\d{1,9}|\*)\])+)\s*\}\}", re.ASCII)
_OPERATORS = {
    "equals": "equals",
    "not_": "not",
    "contains": "contains",
    "min": "min",
    "max": "max",
    "exists": "exists",
    "matches": "matches",
}


def check(
    expectations: Iterable[Expectation],
    *,
    output: Mapping[str, Any],
    events: Sequence[RunEvent],
    outputs: Mapping[str, Any],
) -> None:
    """Raises :class:`ExpectationFailed` naming every check that does not hold, expected and actual side by side.

    May start a process and wait for it, for a pattern that cannot be matched in linear time: for a thread.
    """
    faults = [
        fault
        for expectation in expectations
        for fault in (
            _check_events(expectation, events, outputs)
            if expectation.event is not None
            else _check_output(expectation, output, outputs)
        )
    ]
    if faults:
        shown = "; ".join(_told(fault) for fault in faults)
        raise ExpectationFailed(f"expected {shown}", details=faults, output=dict(output))


def awaited(
    expectations: Iterable[Expectation], events: Sequence[RunEvent], outputs: Mapping[str, Any]
) -> Iterator[float]:
    """How many seconds to wait, from the end of the step, for each expectation whose events have not all come yet."""
    for expectation in expectations:
        if expectation.within_ms is None:
            continue
        if _count(expectation, events, _wanted(expectation, outputs)) < expectation.least:
            yield expectation.within_ms / 1000


def _told(fault: Mapping[str, Any]) -> str:
    why = f" ({fault['reason']})" if "reason" in fault else ""
    return f"{fault['path']} {fault['operator']} {_show(fault['expected'])}, was {_show(fault['actual'])}{why}"


def _check_output(
    expectation: Expectation, output: Mapping[str, Any], outputs: Mapping[str, Any]
) -> Iterable[dict[str, Any]]:
    path = expectation.path or "$"
    actual = select(path, output)
    for operator, given in _operators(expectation):
        expected = _resolve(given, outputs)
        # With [*] an empty list means that no element had it, which is not something other than what is written.
        nothing = operator in {"exists", "not"} and finds_nothing(path, actual)
        reason = _unmet(operator, MISSING if nothing else actual, expected)
        if reason is not None:
            seen = None if actual is MISSING else actual
            fault = {"path": path, "operator": operator, "expected": expected, "actual": seen}
            yield fault | ({"reason": reason} if reason else {})


def _check_events(
    expectation: Expectation, events: Sequence[RunEvent], outputs: Mapping[str, Any]
) -> Iterable[dict[str, Any]]:
    wanted = _wanted(expectation, outputs)
    count = _count(expectation, events, wanted)
    where = ", ".join(f"{name} {_show(value)}" for name, value in wanted.items())
    path = f"event {expectation.event}" + (f" ({where})" if where else "")
    if count < expectation.least:
        fault = {"path": path, "operator": "min", "expected": expectation.least, "actual": count}
        yield fault | _nearest([event for event in events if event.type == expectation.event], wanted)
    if expectation.max is not None and count > expectation.max:
        yield {"path": path, "operator": "max", "expected": expectation.max, "actual": count}


def _count(expectation: Expectation, events: Sequence[RunEvent], wanted: Mapping[str, Any]) -> int:
    return sum(event.type == expectation.event and not any(_differing(event, wanted)) for event in events)


def _wanted(expectation: Expectation, outputs: Mapping[str, Any]) -> dict[str, Any]:
    return {name: _resolve(value, outputs) for name, value in expectation.where.items()}


def _differing(event: RunEvent, wanted: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    """The names of ``wanted`` that the event has otherwise, each with what it has."""
    whole = {**event.payload, **event.as_dict()}
    for name, value in wanted.items():
        found = select(f"$.{name}", whole)
        if not same(found, value):
            yield name, found


def _nearest(events: Sequence[RunEvent], wanted: Mapping[str, Any]) -> dict[str, Any]:
    """Of events that are too few, the one that lacks least, and the first name in which it differs: ``reason`` for a
    reader, ``nearest`` (``{"seq", "field"}``) for a program. Empty when all there are do count."""
    if not events:
        return {"reason": "no event of this type came"}
    others = [(event, differing) for event in events if (differing := list(_differing(event, wanted)))]
    if not others:
        return {}
    event, differing = min(others, key=lambda other: len(other[1]))
    name, found = differing[0]
    has = f"no {name}" if found is MISSING else f"{name} {_show(found)}"
    return {"reason": f"the nearest, seq {event.seq}, has {has}", "nearest": {"seq": event.seq, "field": name}}


def _operators(expectation: Expectation) -> Iterable[tuple[str, Any]]:
    for name, operator in _OPERATORS.items():
        if name in expectation.model_fields_set:
            yield operator, getattr(expectation, name)


def _unmet(operator: str, actual: Any, expected: Any) -> str | None:
    """None when the operator holds; else why not, or "" when expected and actual say it all."""
    if operator == "exists":
        return None if (actual is not MISSING) is expected else ""
    if actual is MISSING:
        return "nothing is there"
    match operator:
        case "equals":
            return None if same(actual, expected) else ""
        case "not":
            return "" if same(actual, expected) else None
        case "contains":
            return _not_contained(actual, expected)
        case "matches":
            return _no_match(actual, expected)
        case _:
            return _out_of_bound(operator, actual, expected)


def same(actual: Any, expected: Any) -> bool:
    """Whether both are the same JSON, at any depth: ``true`` is not ``1``, but ``1`` is ``1.0``."""
    if isinstance(actual, bool) or isinstance(expected, bool):
        return actual is expected
    if isinstance(actual, Mapping) and isinstance(expected, Mapping):
        return actual.keys() == expected.keys() and all(same(item, expected[name]) for name, item in actual.items())
    if isinstance(actual, list | tuple) and isinstance(expected, list | tuple):
        return len(actual) == len(expected) and all(map(same, actual, expected))
    return bool(actual == expected)


def _not_contained(actual: Any, expected: Any) -> str | None:
    if isinstance(actual, str):
        if not isinstance(expected, str):
            return "a text contains only texts"
        if not expected:
            return "every text contains the empty one"
        return None if expected in actual else ""
    if isinstance(actual, Mapping):
        if not isinstance(expected, str):
            return "an object contains keys, which are texts"
        return None if expected in actual else ""
    if isinstance(actual, list | tuple):
        return None if any(same(item, expected) for item in actual) else ""
    return "only a text, a list or an object contains anything"


def _out_of_bound(operator: str, actual: Any, expected: Any) -> str | None:
    if not is_number(expected) or not math.isfinite(expected):
        return f"{operator} takes a number"
    if not is_number(actual):
        return "no number is there"
    holds = actual >= expected if operator == "min" else actual <= expected
    return None if holds else ""


def _no_match(actual: Any, expected: Any) -> str | None:
    if not isinstance(actual, str):
        return "no text is there"
    if not isinstance(expected, str):
        return "matches takes a regular expression"
    if not expected:
        return "an empty pattern is found in every text"
    if (fault := pattern_fault(expected)) is not None:
        return f"not a regular expression: {fault}"
    matched = linear_match(expected, actual)
    if matched is None:
        try:
            matched = ask({"pattern": expected, "text": actual})["matches"]
        except NoVerdict as problem:
            return str(problem)
    return None if matched else ""


def _resolve(value: Any, outputs: Mapping[str, Any]) -> Any:
    """Put in ``{{ outputs.step.path }}``: alone it keeps the value's type, inside text it becomes text."""
    if isinstance(value, Mapping):
        return {name: _resolve(item, outputs) for name, item in value.items()}
    if isinstance(value, list | tuple):
        return [_resolve(item, outputs) for item in value]
    if not isinstance(value, str):
        return value
    whole = _REFERENCE.fullmatch(value.strip())
    if whole is not None:
        return _look_up(whole.group(1), outputs)
    return _REFERENCE.sub(lambda found: _text(_look_up(found.group(1), outputs)), value)


def _text(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def _look_up(path: str, outputs: Mapping[str, Any]) -> Any:
    found = select(f"${path}", outputs)
    if finds_nothing(f"${path}", found):
        raise ExpectationFailed(f"outputs{path} is not there to compare with")
    return found


def _show(value: Any) -> str:
    """As JSON, which is what the author wrote and the answer held."""
    text = json.dumps(value, ensure_ascii=False, default=str)
    return text if len(text) <= 200 else f"{text[:199]}…"
