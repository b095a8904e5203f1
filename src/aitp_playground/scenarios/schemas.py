"""JSON Schema (draft 2020-12) as scenarios use it: what is wrong with one, and what is wrong with a value under one.

References lead only to places in the schema itself, so that validation never reads from anywhere else; patterns are
matched in linear time. What can still grow without bound, schemas that branch or recurse, is weighed before it is
tried, and done apart from the service when it is too much (:mod:`aitp_playground.scenarios.judge`).
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import jsonschema_rs

from aitp_playground.json_pointers import escaped, resolved
from aitp_playground.scenarios.findings import KeyPath
from aitp_playground.scenarios.judge import ask
from aitp_playground.scenarios.patterns import pattern_fault
from aitp_playground.scenarios.schema_parts import REFERENCES, keywords, patterns, weight, with_patterns

#: Faults of one value that are told.
MOST_FAULTS = 20
#: Levels of a value; the validator's own limit is far beyond, but it has no guard.
MAX_DEPTH = 64
#: Places of the schema times places of the value: up to here it takes some milliseconds to say whether a value fits,
#: and up to there to say what is wrong with it.
_CHEAP_TO_VALIDATE = 300_000
_CHEAP_TO_EXPLAIN = 10_000
_DRAFT = ("https://json-schema.org/draft/2020-12/schema", "https://json-schema.org/draft/2020-12/schema#")
#: The schema of schemas comes with the library; another that a file names would be fetched from wherever that leads.
_METASCHEMA = jsonschema_rs.Draft202012Validator({"$ref": _DRAFT[0]}, offline=True, validate_formats=False)
#: Answers a question of :mod:`aitp_playground.scenarios.judge`.
Judge = Callable[[Mapping[str, Any]], Any]
_APART = "x-aitp-re"
_REGEX = jsonschema_rs.RegexOptions(size_limit=1024 * 1024)


def schema_faults(schema: Mapping[str, Any]) -> Iterator[tuple[KeyPath, str]]:
    """What is wrong with a scenario's input schema itself, with the key path inside it. Nothing is fetched for it."""
    if (fault := _schema_fault(schema)) is not None:
        yield fault
        return
    if schema.get("type", "object") != "object":
        yield ("type",), "inputs are an object"
    for at, pattern in patterns(schema):
        if (wrong := pattern_fault(pattern, _is_linear)) is not None:
            yield at, f"not a regular expression: {wrong}"
    faults = [*_identity_faults(schema), *_reference_faults(schema)]
    yield from faults
    if not faults:
        yield from _compile_faults(schema)


def slow_patterns(schema: Mapping[str, Any]) -> Iterator[tuple[KeyPath, str]]:
    """Patterns that are not matched in linear time, with their places."""
    for at, pattern in patterns(schema):
        if not _is_linear(pattern):
            yield at, pattern


def value_faults(schema: Mapping[str, Any], value: Any, *, judge: Judge = ask) -> list[dict[str, str]]:
    """``[{"at": JSON pointer, "message"}]``, at most :data:`MOST_FAULTS`, empty when ``value`` fits.

    ``judge`` answers what is too much to find out here; the usual one starts a process and waits for it: for a thread.
    Raises :class:`~aitp_playground.scenarios.judge.NoVerdict`.
    """
    nodes = size(value)
    if nodes is None:
        return [{"at": "", "message": f"it is nested deeper than {MAX_DEPTH} levels"}]
    places = weight(schema)
    if places is None or places * nodes > _CHEAP_TO_VALIDATE or any(True for _ in slow_patterns(schema)):
        return _apart(schema, value, judge)
    if validator(schema).is_valid(value):
        return []
    return evaluate(schema, value) if places * nodes <= _CHEAP_TO_EXPLAIN else _apart(schema, value, judge)


def _apart(schema: Mapping[str, Any], value: Any, judge: Judge) -> list[dict[str, str]]:
    errors: list[dict[str, str]] = judge({"schema": schema, "instance": value})["errors"]
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
    document = with_patterns(schema, _set_apart) if backtracking else dict(schema)
    try:
        return jsonschema_rs.Draft202012Validator(
            document, pattern_options=engine, offline=True, keywords={_APART: _Backtracking}
        )
    except (jsonschema_rs.ValidationError, jsonschema_rs.ReferencingError) as problem:
        raise ValueError(str(problem).partition("\n")[0]) from None


def _set_apart(pattern: str) -> tuple[str, str]:
    """Patterns that the engine does not know become a keyword of ours; keys of ``patternProperties`` cannot."""
    return ("pattern" if _is_linear(pattern) else _APART), pattern


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


def _is_linear(pattern: str) -> bool:
    try:
        jsonschema_rs.Draft202012Validator({"pattern": pattern}, pattern_options=_REGEX)
    except (jsonschema_rs.ValidationError, ValueError):
        return False
    return True


def _schema_fault(schema: Mapping[str, Any]) -> tuple[KeyPath, str] | None:
    # Patterns and references are told of in words of our own.
    document = with_patterns(schema, lambda _: ("pattern", "x"))
    try:
        _METASCHEMA.validate(document)
    except jsonschema_rs.ValidationError as problem:
        return tuple(problem.instance_path), f"not a JSON Schema: {problem.message[:300]}"
    return None


def _identity_faults(schema: Mapping[str, Any]) -> Iterator[tuple[KeyPath, str]]:
    """Names that would let a reference lead elsewhere than its text says, and drafts with other keywords."""
    for at, value in keywords(schema):
        if at[-1] == "$schema" and value not in _DRAFT:
            yield at, f"inputs are described by draft 2020-12 ({_DRAFT[0]}); leave $schema out, or say that"
        elif at[-1] == "$id":
            yield at, "a schema of inputs is referred to by places in it (#/...), not by an $id: leave it out"


def _compile_faults(schema: Mapping[str, Any]) -> Iterator[tuple[KeyPath, str]]:
    try:
        validator(with_patterns(schema, lambda _: ("pattern", "x")), backtracking=True)
    except ValueError as problem:
        yield (), f"inputs cannot be validated by it: {str(problem)[:300]}"


def _reference_faults(schema: Mapping[str, Any]) -> Iterator[tuple[KeyPath, str]]:
    for at, value in keywords(schema):
        if at[-1] in REFERENCES and isinstance(value, str):
            if value != "#" and not value.startswith("#/"):
                yield at, f"{value!r} is not a place in this schema: a reference is # or starts with #/"
            elif resolved(schema, value) is None:
                yield at, f"{value!r} leads nowhere"


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
