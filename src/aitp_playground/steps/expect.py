"""``expect``: the checks that make a demonstration able to fail.

A path is ``$`` followed by ``.name``, ``[index]`` and ``[*]`` parts; ``[*]`` gives the list of what the rest finds in
each element, passing over those in which it finds nothing.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from aitp_playground.errors import ExpectationFailed
from aitp_playground.events.model import RunEvent
from aitp_playground.scenarios.models import Expectation

_PART = re.compile(r"\.([A-Za-z0-9_@:-]+)|\[(\d+|\*)\]")
_PATH = re.compile(rf"\$(?:{_PART.pattern})*")
_REFERENCE = re.compile(r"\{\{\s*outputs((?:\.[A-Za-z0-9_@:-]+|\[(?:\d+|\*)\])+)\s*\}\}")
_MISSING = object()


def select(path: str, value: Any) -> Any:
    """The value at ``path``, or a private marker for "nothing there". Raises ValueError for what is not a path."""
    return _follow(_parts(path), value)


def _follow(parts: Sequence[tuple[str, str]], value: Any) -> Any:
    for position, (name, index) in enumerate(parts):
        if index == "*" and isinstance(value, list):
            found = [_follow(parts[position + 1 :], item) for item in value]
            return [item for item in found if item is not _MISSING]
        if name and isinstance(value, Mapping) and name in value:
            value = value[name]
        elif index.isdigit() and isinstance(value, list) and int(index) < len(value):
            value = value[int(index)]
        else:
            return _MISSING
    return value


def _parts(path: str) -> list[tuple[str, str]]:
    if not _PATH.fullmatch(path):
        raise ValueError(f"{path!r} is not a path: write $, then .name, [index] and [*] parts")
    return _PART.findall(path)


def check(
    expectations: Iterable[Expectation],
    *,
    output: Mapping[str, Any],
    events: Sequence[RunEvent],
    outputs: Mapping[str, Any],
) -> None:
    """Raises :class:`ExpectationFailed` naming every check that does not hold, expected and actual side by side."""
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
        shown = "; ".join(
            f"{fault['path']} {fault['operator']} {_show(fault['expected'])}, was {_show(fault['actual'])}"
            for fault in faults
        )
        raise ExpectationFailed(f"expected {shown}", details=faults, output=dict(output))


def _check_output(
    expectation: Expectation, output: Mapping[str, Any], outputs: Mapping[str, Any]
) -> Iterable[dict[str, Any]]:
    path = expectation.path or "$"
    actual = select(path, output)
    for operator, given in _operators(expectation):
        expected = _resolve(given, outputs)
        if not _holds(operator, actual, expected):
            seen = None if actual is _MISSING else actual
            yield {"path": path, "operator": operator, "expected": expected, "actual": seen}


def _check_events(
    expectation: Expectation, events: Sequence[RunEvent], outputs: Mapping[str, Any]
) -> Iterable[dict[str, Any]]:
    wanted = {name: _resolve(value, outputs) for name, value in expectation.where.items()}
    count = sum(event.type == expectation.event and _matches(event, wanted) for event in events)
    where = ", ".join(f"{name} {_show(value)}" for name, value in wanted.items())
    path = f"event {expectation.event}" + (f" ({where})" if where else "")
    least = 1 if expectation.min is None and expectation.max is None else expectation.min
    if least is not None and count < least:
        yield {"path": path, "operator": "min", "expected": least, "actual": count}
    if expectation.max is not None and count > expectation.max:
        yield {"path": path, "operator": "max", "expected": expectation.max, "actual": count}


def _matches(event: RunEvent, wanted: Mapping[str, Any]) -> bool:
    whole = {**event.payload, **event.as_dict()}
    return all(select(f"$.{name}", whole) == value for name, value in wanted.items())


def _operators(expectation: Expectation) -> Iterable[tuple[str, Any]]:
    for name, operator in _OPERATORS.items():
        if name in expectation.model_fields_set:
            yield operator, getattr(expectation, name)


_OPERATORS = {
    "equals": "equals",
    "not_": "not",
    "contains": "contains",
    "min": "min",
    "max": "max",
    "exists": "exists",
    "matches": "matches",
}


def _holds(operator: str, actual: Any, expected: Any) -> bool:
    if operator == "exists":
        return (actual is not _MISSING) is expected
    if actual is _MISSING:
        return False
    match operator:
        case "equals":
            return _same(actual, expected)
        case "not":
            return not _same(actual, expected)
        case "contains":
            return _contains(actual, expected)
        case "min":
            return _is_number(actual) and actual >= expected
        case "max":
            return _is_number(actual) and actual <= expected
        case _:
            return isinstance(actual, str) and re.search(str(expected), actual) is not None


def _same(actual: Any, expected: Any) -> bool:
    # JSON tells true from 1; Python's == does not.
    return isinstance(actual, bool) is isinstance(expected, bool) and bool(actual == expected)


def _contains(actual: Any, expected: Any) -> bool:
    if isinstance(actual, str):
        return isinstance(expected, str) and expected in actual
    return isinstance(actual, list | Mapping) and expected in actual


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _resolve(value: Any, outputs: Mapping[str, Any]) -> Any:
    """Put in ``{{ outputs.step.path }}``: alone it keeps the value's type, inside text it becomes text."""
    if isinstance(value, list):
        return [_resolve(item, outputs) for item in value]
    if not isinstance(value, str):
        return value
    whole = _REFERENCE.fullmatch(value.strip())
    if whole is not None:
        return _look_up(whole.group(1), outputs)
    return _REFERENCE.sub(lambda found: str(_look_up(found.group(1), outputs)), value)


def _look_up(path: str, outputs: Mapping[str, Any]) -> Any:
    found = select(f"${path}", outputs)
    if found is _MISSING:
        raise ExpectationFailed(f"outputs{path} is not there to compare with")
    return found


def _show(value: Any) -> str:
    """As JSON, which is what the author wrote and the answer held."""
    text = json.dumps(value, ensure_ascii=False, default=str)
    return text if len(text) <= 200 else f"{text[:199]}…"
