"""JSON Schema (draft 2020-12) as scenarios use it: what is wrong with one, and what is wrong with a value under one.

References lead only to places in the schema itself, so that validation never reads from anywhere else; patterns are
matched in linear time. What can still grow without bound, schemas that branch and recurse, is weighed before it is
tried, and done apart from the service when it is too much (:mod:`aitp_playground.scenarios.judge`).
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import jsonschema_rs

from aitp_playground.scenarios.findings import KeyPath
from aitp_playground.scenarios.judge import ask
from aitp_playground.scenarios.patterns import MAX_PATTERN

#: Faults of one value that are told.
MOST_FAULTS = 20
#: Levels of a value; the validator's own limit is far beyond, but it has no guard.
MAX_DEPTH = 64
#: Places of the schema times places of the value: up to here it takes some milliseconds to say whether a value fits,
#: and up to there to say what is wrong with it.
_CHEAP_TO_VALIDATE = 300_000
_CHEAP_TO_EXPLAIN = 10_000
#: Keywords whose subschemas apply to the same value.
_BRANCHES = frozenset({"allOf", "anyOf", "oneOf", "not", "if", "then", "else", "dependentSchemas", "contains"})
_APART = "x-aitp-re"
_REGEX = jsonschema_rs.RegexOptions(size_limit=1024 * 1024)


def schema_faults(schema: Mapping[str, Any]) -> Iterator[tuple[KeyPath, str]]:
    """What is wrong with a scenario's input schema itself, with the key path inside it."""
    try:
        jsonschema_rs.meta.validate(_without_patterns(dict(schema)))
    except jsonschema_rs.ValidationError as problem:
        yield tuple(problem.instance_path), f"not a JSON Schema: {problem.message[:300]}"
        return
    if schema.get("type", "object") != "object":
        yield ("type",), "inputs are an object"
    for at, pattern in patterns(schema):
        if (fault := _pattern_fault(pattern)) is not None:
            yield at, f"not a regular expression: {fault}"
    yield from _reference_faults(schema, schema, ())


def slow_patterns(schema: Mapping[str, Any]) -> Iterator[tuple[KeyPath, str]]:
    """Patterns that are not matched in linear time, with their places."""
    for at, pattern in patterns(schema):
        if not _is_linear(pattern):
            yield at, pattern


def value_faults(schema: Mapping[str, Any], value: Any) -> list[dict[str, str]]:
    """``[{"at": JSON pointer, "message"}]``, at most :data:`MOST_FAULTS`, empty when ``value`` fits.

    May start a process and wait for it: for a thread. Raises :class:`~aitp_playground.scenarios.judge.NoVerdict`.
    """
    nodes = size(value)
    if nodes is None:
        return [{"at": "", "message": f"it is nested deeper than {MAX_DEPTH} levels"}]
    weight = _weight(schema)
    if weight is None or weight * nodes > _CHEAP_TO_VALIDATE or any(True for _ in slow_patterns(schema)):
        return _apart(schema, value)
    if validator(schema).is_valid(value):
        return []
    return evaluate(schema, value) if weight * nodes <= _CHEAP_TO_EXPLAIN else _apart(schema, value)


def _apart(schema: Mapping[str, Any], value: Any) -> list[dict[str, str]]:
    errors: list[dict[str, str]] = ask({"schema": schema, "instance": value})["errors"]
    return errors


def evaluate(schema: Mapping[str, Any], value: Any, *, backtracking: bool = False) -> list[dict[str, str]]:
    """:func:`value_faults` here and now, whatever it costs. ``backtracking``: also with patterns that need it."""
    checked = validator(schema, backtracking=backtracking)
    if checked.is_valid(value):
        return []
    errors = checked.evaluate(value).errors()
    found = [{"at": _pointer(error, value), "message": error["error"][:500]} for error in errors]
    return sorted(found, key=lambda fault: fault["at"])[:MOST_FAULTS]


def validator(schema: Mapping[str, Any], *, backtracking: bool = False) -> jsonschema_rs.Draft202012Validator:
    """The schema ready to validate. Raises ValueError when it cannot be one."""
    engine = jsonschema_rs.FancyRegexOptions() if backtracking else _REGEX
    document = _with_slow_patterns_apart(dict(schema)) if backtracking else dict(schema)
    try:
        return jsonschema_rs.Draft202012Validator(
            document, pattern_options=engine, offline=True, keywords={_APART: _Backtracking}
        )
    except (jsonschema_rs.ValidationError, jsonschema_rs.ReferencingError) as problem:
        raise ValueError(str(problem).partition("\n")[0]) from None


class _Backtracking:
    """``pattern`` by Python's ``re``. Only ever used where it can be ended."""

    def __init__(self, _parent: Any, pattern: str, _path: Any) -> None:
        self._pattern = pattern

    def validate(self, value: Any) -> None:
        if isinstance(value, str) and re.search(self._pattern, value) is None:
            raise ValueError(f"{json.dumps(value)} does not match {json.dumps(self._pattern)}")


def size(value: Any) -> int | None:
    """How many values there are in ``value``, itself included; None when it is nested too deep."""
    count, level = 0, [value]
    for _ in range(MAX_DEPTH + 1):
        count += len(level)
        nested = [item for item in level if isinstance(item, dict | list)]
        level = [part for item in nested for part in (item.values() if isinstance(item, dict) else item)]
        if not level:
            return count
    return None


def _weight(schema: Mapping[str, Any]) -> int | None:
    """How many places the schema has once its references are followed; None when they lead in a circle that branches,
    so that no number says how often a value is looked at."""
    return _Weigher(schema).weigh()


class _Weigher:
    def __init__(self, root: Mapping[str, Any]) -> None:
        self._root = root
        self._known: dict[int, int] = {}
        self._open: set[int] = set()
        self._branches = False
        self._circle = False

    def weigh(self) -> int | None:
        total = self._of(self._root)
        return None if self._circle and self._branches else total

    def _of(self, schema: Any) -> int:
        if isinstance(schema, list):
            return sum(self._of(item) for item in schema)
        if not isinstance(schema, Mapping):
            return 1
        key = id(schema)
        if key in self._known:
            return self._known[key]
        if key in self._open:
            self._circle = True
            return 1
        self._open.add(key)
        total = 1
        for name, item in schema.items():
            self._branches |= name in _BRANCHES
            if name in ("$ref", "$dynamicRef") and isinstance(item, str):
                total += self._of(resolved(self._root, item))
            elif name not in ("enum", "const", "default", "examples"):
                total += self._of(item)
        self._open.discard(key)
        self._known[key] = min(total, 1 << 40)
        return self._known[key]


def patterns(schema: Any, at: KeyPath = ()) -> Iterator[tuple[KeyPath, str]]:
    """Every ``pattern`` and every key of ``patternProperties``, with its place."""
    if isinstance(schema, Mapping):
        for key, item in schema.items():
            if key in ("enum", "const", "default", "examples"):
                continue
            if key == "pattern" and isinstance(item, str):
                yield (*at, key), item
            elif key == "patternProperties" and isinstance(item, Mapping):
                yield from (((*at, key, name), name) for name in item if isinstance(name, str))
                yield from patterns(item, (*at, key))
            else:
                yield from patterns(item, (*at, key))
    elif isinstance(schema, list):
        for index, item in enumerate(schema):
            yield from patterns(item, (*at, index))


def _is_linear(pattern: str) -> bool:
    try:
        jsonschema_rs.Draft202012Validator({"pattern": pattern}, pattern_options=_REGEX)
    except (jsonschema_rs.ValidationError, ValueError):
        return False
    return True


def _pattern_fault(pattern: str) -> str | None:
    if len(pattern) > MAX_PATTERN:
        return f"it has {len(pattern)} characters; at most {MAX_PATTERN} are taken"
    if _is_linear(pattern):
        return None
    try:
        re.compile(pattern)
    except (re.error, OverflowError, RecursionError) as problem:
        return str(problem)
    return None


def _with_slow_patterns_apart(schema: Any) -> Any:
    """Patterns that the engine does not know become a keyword of ours; keys of ``patternProperties`` cannot."""
    if isinstance(schema, Mapping):
        return {
            _APART if name == "pattern" and isinstance(item, str) and not _is_linear(item) else name: (
                item if name in ("enum", "const", "default", "examples") else _with_slow_patterns_apart(item)
            )
            for name, item in schema.items()
        }
    return [_with_slow_patterns_apart(item) for item in schema] if isinstance(schema, list) else schema


def _without_patterns(schema: Any) -> Any:
    """The schema with patterns that are surely ones: those that are none are told with the engines' own words."""
    if isinstance(schema, Mapping):
        return {
            name: (
                "x"
                if name == "pattern" and isinstance(item, str)
                else item
                if name in ("enum", "const", "default", "examples")
                else _without_patterns(item)
            )
            for name, item in schema.items()
        }
    return [_without_patterns(item) for item in schema] if isinstance(schema, list) else schema


def _reference_faults(root: Mapping[str, Any], value: Any, at: KeyPath) -> Iterator[tuple[KeyPath, str]]:
    if isinstance(value, Mapping):
        for key, item in value.items():
            if key in ("$ref", "$dynamicRef") and isinstance(item, str):
                yield from _reference_fault(root, item, (*at, key))
            yield from _reference_faults(root, item, (*at, key))
    elif isinstance(value, list):
        for index, item in enumerate(value):
            yield from _reference_faults(root, item, (*at, index))


def _reference_fault(root: Mapping[str, Any], reference: str, at: KeyPath) -> Iterator[tuple[KeyPath, str]]:
    if reference != "#" and not reference.startswith("#/"):
        yield at, f"{reference!r} is not a place in this schema: a reference is # or starts with #/"
    elif resolved(root, reference) is None:
        yield at, f"{reference!r} leads nowhere"


def resolved(root: Any, reference: str) -> Any:
    """What a reference of the form ``#/a/b`` (RFC 6901) leads to, None when it leads nowhere."""
    if reference != "#" and not reference.startswith("#/"):
        return None
    target = root
    for part in reference[1:].split("/")[1:]:
        name = part.replace("~1", "/").replace("~0", "~")
        if isinstance(target, Mapping):
            target = target.get(name)
        elif isinstance(target, list) and name.isascii() and name.isdigit() and int(name) < len(target):
            target = target[int(name)]
        else:
            return None
    return target


_REQUIRED = re.compile(r'(".*") is a required property')


def _pointer(error: Mapping[str, Any], value: Any) -> str:
    """The place of the fault; for a missing or an unknown key, the key's own place."""
    at, message = str(error["instanceLocation"]), str(error["error"])
    if (missing := _REQUIRED.fullmatch(message)) is not None:
        return f"{at}/{escaped(json.loads(missing[1]))}"
    if message.startswith(("Additional properties", "Unevaluated properties")):
        holder = _at(value, at)
        names: Sequence[str] = list(holder) if isinstance(holder, Mapping) else []
        unknown = [name for name in names if f"'{name}'" in message]
        return f"{at}/{escaped(unknown[0])}" if unknown else at
    return at


def _at(value: Any, pointer: str) -> Any:
    return resolved(value, f"#{pointer}")


def escaped(name: str) -> str:
    """A name as part of a JSON pointer (RFC 6901)."""
    return name.replace("~", "~0").replace("/", "~1")
