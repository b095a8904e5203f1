"""A run's inputs: the scenario's defaults filled in, then validated."""

from __future__ import annotations

import copy
from collections.abc import Iterator, Mapping
from typing import Any

from aitp_playground.errors import InputsInvalid
from aitp_playground.json_pointers import escaped, resolved
from aitp_playground.scenarios.findings import KeyPath, nearest
from aitp_playground.scenarios.judge import NoVerdict, ask
from aitp_playground.scenarios.schemas import MAX_DEPTH, Judge, size, value_faults

#: Values that filling in may bring, and places that it may look at: defaults that bring defaults soon are more.
MOST_BROUGHT = 5000
MOST_LOOKED = 200_000
_MOST_REFERENCES = 40
#: Beside ``properties``, what decides about other names or brings more of them.
_MORE = frozenset(
    {"additionalProperties", "unevaluatedProperties", "patternProperties", "propertyNames", "$ref", "$dynamicRef"}
    | {"allOf", "anyOf", "oneOf", "if", "then", "else", "not", "dependentSchemas"}
)


def complete_inputs(schema: Mapping[str, Any], given: Mapping[str, Any], *, judge: Judge = ask) -> dict[str, Any]:
    """``given`` with the schema's defaults, nested ones in objects that are there too.

    Blocking: for a thread; ``judge`` as in :func:`value_faults`. Raises
    :class:`~aitp_playground.errors.InputsInvalid`, ``details`` a list of
    ``{"pointer", "message"}``.
    """
    if size(given) is None:
        raise _invalid([{"pointer": "", "message": f"the inputs are nested deeper than {MAX_DEPTH} levels"}])
    if unknown := [fault for name in given if (fault := undeclared(schema, name)) is not None]:
        raise _invalid(unknown)
    try:
        completed: dict[str, Any] = _Filling(schema).fill(schema, copy.deepcopy(dict(given)), 0)
        faults = value_faults(schema, completed, judge=judge)
    except (_TooMuch, NoVerdict, ValueError) as problem:
        raise _invalid([{"pointer": "", "message": str(problem)}]) from None
    if faults:
        raise _invalid([{"pointer": fault["at"], "message": fault["message"]} for fault in faults])
    return completed


def undeclared(schema: Mapping[str, Any], name: str) -> dict[str, str] | None:
    """The fault of an input that the schema does not name; a slip would otherwise run with a default.

    None when it is named, and when the schema says of itself that others may come, or may name them elsewhere.
    """
    properties = _properties(schema)
    if name in properties or not properties or _MORE & schema.keys():
        return None
    return {
        "pointer": f"/{escaped(name)}",
        "message": f"no input {name[:100]!r} is declared{nearest(name[:100], properties)}",
    }


def unfit_defaults(schema: Mapping[str, Any]) -> Iterator[tuple[KeyPath, str]]:
    """Defaults that a run without inputs would be refused for. Blocking, as :func:`value_faults`."""
    properties = _properties(schema)
    defaults = {
        name: sub["default"] for name, sub in properties.items() if isinstance(sub, Mapping) and "default" in sub
    }
    places = {escaped(name): name for name in defaults}
    # Together: each look at a schema weighs all that its references lead to.
    shared = {name: schema[name] for name in ("$defs", "definitions") if name in schema}
    try:
        faults = value_faults({**shared, "properties": properties}, defaults)
    except (NoVerdict, ValueError) as problem:
        yield ("properties",), f"the defaults cannot be checked: {str(problem)[:300]}"
        return
    for fault in faults:
        name = places[fault["at"].split("/")[1]]
        yield ("properties", name, "default"), f"does not fit its own schema: {fault['message'][:300]}"


def _invalid(details: list[dict[str, str]]) -> InputsInvalid:
    first = details[0]
    where = first["pointer"] or "all of them"
    return InputsInvalid(f"inputs do not fit the scenario: {where}: {first['message']}", details=details)


class _TooMuch(Exception):
    pass


class _Filling:
    """Defaults filled in, with a bound on what that may bring."""

    def __init__(self, root: Mapping[str, Any]) -> None:
        self._root = root
        self._brought = 0
        self._looked = 0
        #: By the id of a part of the schema, which lives as long as this.
        self._known: dict[int, Any] = {}

    def fill(self, schema: Any, value: Any, depth: int) -> Any:
        self._count(depth)
        schema = self._followed(schema)
        if not isinstance(schema, Mapping):
            return value
        if isinstance(value, dict):
            for name, sub in _properties(schema).items():
                self._count(depth)
                target = self._followed(sub)
                if name not in value and isinstance(target, Mapping) and "default" in target:
                    value[name] = self._copied(target["default"])
                if name in value:
                    value[name] = self.fill(sub, value[name], depth + 1)
        elif isinstance(value, list) and isinstance(schema.get("items"), Mapping):
            return [self.fill(schema["items"], item, depth + 1) for item in value]
        return value

    def _copied(self, default: Any) -> Any:
        self._brought += size(default) or MOST_BROUGHT
        self._count(0)
        return copy.deepcopy(default)

    def _count(self, depth: int) -> None:
        self._looked += 1
        if self._brought > MOST_BROUGHT or depth > MAX_DEPTH:
            raise _TooMuch(
                "the defaults of the scenario's inputs do not come to an end: they bring more than "
                f"{MOST_BROUGHT} values or {MAX_DEPTH} levels"
            )
        if self._looked > MOST_LOOKED:
            raise _TooMuch(f"there are more than {MOST_LOOKED} places in the inputs to look for defaults")

    def _followed(self, schema: Any) -> Any:
        """``schema``, or what its local ``$ref`` leads to, keywords beside the reference winning."""
        if id(schema) not in self._known:
            self._known[id(schema)] = self._follow(schema)
        return self._known[id(schema)]

    def _follow(self, schema: Any) -> Any:
        for _ in range(_MOST_REFERENCES):
            if not isinstance(schema, Mapping) or not isinstance(schema.get("$ref"), str):
                return schema
            target = resolved(self._root, schema["$ref"])
            beside = {key: value for key, value in schema.items() if key != "$ref"}
            schema = {**target, **beside} if isinstance(target, Mapping) else beside
        raise _TooMuch("the references of the scenario's inputs lead in a circle")


def _properties(schema: Mapping[str, Any]) -> Mapping[str, Any]:
    properties = schema.get("properties")
    return properties if isinstance(properties, Mapping) else {}
