"""The parts of a JSON Schema: which keys are keywords and which are names, and where patterns and references are."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

from aitp_playground.json_pointers import resolved
from aitp_playground.scenarios.findings import KeyPath

#: Keywords that hold data of any form, and those that hold schemas by a name of the author's.
_DATA = frozenset({"enum", "const", "default", "examples"})
_NAMES = frozenset({"properties", "patternProperties", "$defs", "definitions", "dependentSchemas", "dependentRequired"})
REFERENCES = frozenset({"$ref", "$dynamicRef"})
#: Schemas inside each other, references followed: with more, weighing would exhaust the stack.
_MOST_FOLLOWED = 150


def parts(schema: Mapping[Any, Any], *, named: bool) -> Iterator[tuple[Any, Any, bool]]:
    """``(key, item, its keys are names)`` of each member that can hold schemas. ``named``: the keys here are names, so
    that a property called ``default`` is not taken for the keyword."""
    for key, item in schema.items():
        if named:
            yield key, item, False
        elif key not in _DATA:
            yield key, item, key in _NAMES


def keywords(schema: Any, at: KeyPath = (), *, named: bool = False) -> Iterator[tuple[KeyPath, Any]]:
    """Every keyword with its place and value, at any depth; data is not looked into."""
    if isinstance(schema, Mapping):
        for key, item, names in parts(schema, named=named):
            if not named:
                yield (*at, key), item
            yield from keywords(item, (*at, key), named=names)
    elif isinstance(schema, list):
        for index, item in enumerate(schema):
            yield from keywords(item, (*at, index))


def patterns(schema: Any) -> Iterator[tuple[KeyPath, str]]:
    """Every ``pattern`` and every key of ``patternProperties``, with its place."""
    for at, value in keywords(schema):
        if at[-1] == "pattern" and isinstance(value, str):
            yield at, value
        elif at[-1] == "patternProperties" and isinstance(value, Mapping):
            yield from (((*at, name), name) for name in value if isinstance(name, str))


def with_patterns(schema: Any, replace: Callable[[str], tuple[str, str]], *, named: bool = False) -> Any:
    """The schema with what ``replace`` makes of each ``pattern``: a keyword and its value."""
    if isinstance(schema, list):
        return [with_patterns(item, replace) for item in schema]
    if not isinstance(schema, Mapping):
        return schema
    made = dict(schema)
    for key, item, names in parts(schema, named=named):
        if not named and key == "pattern" and isinstance(item, str):
            del made[key]
            keyword, value = replace(item)
            made[keyword] = value
        else:
            made[key] = with_patterns(item, replace, named=names)
    return made


def weight(schema: Mapping[str, Any]) -> int | None:
    """How many places the schema has once its references are followed; None when they lead in a circle, or very far:
    no number says then how often a value is looked at."""
    return _Weigher(schema).weigh()


class _Weigher:
    def __init__(self, root: Mapping[str, Any]) -> None:
        self._root = root
        self._known: dict[tuple[int, bool], int] = {}
        self._open: set[tuple[int, bool]] = set()
        self._endless = False

    def weigh(self) -> int | None:
        total = self._of(self._root, named=False)
        return None if self._endless else total

    def _of(self, schema: Any, *, named: bool) -> int:
        if isinstance(schema, list):
            return sum(self._of(item, named=False) for item in schema)
        if not isinstance(schema, Mapping):
            return 1
        key = (id(schema), named)
        if key in self._known:
            return self._known[key]
        if key in self._open or len(self._open) > _MOST_FOLLOWED:
            self._endless = True
            return 1
        self._open.add(key)
        total = 1
        for name, item, names in parts(schema, named=named):
            if not named and name in REFERENCES and isinstance(item, str):
                total += self._of(resolved(self._root, item), named=False)
            else:
                total += self._of(item, named=names)
        self._open.discard(key)
        self._known[key] = min(total, 1 << 40)
        return self._known[key]
