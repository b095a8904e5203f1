"""One entry of ``expect``: its shape, and everything that can be told to be wrong with it before a run."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from typing import Any, ClassVar

from pydantic import (
    ConfigDict,
    Field,
    SerializerFunctionWrapHandler,
    field_validator,
    model_serializer,
    model_validator,
)

from aitp_playground.events.vocabulary import TERMINAL_TYPES, TYPES, known_fields, payload_fields
from aitp_playground.scenarios.findings import nearest
from aitp_playground.scenarios.paths import PATH, path_fault
from aitp_playground.scenarios.patterns import pattern_fault
from aitp_playground.scenarios.render import has_placeholder
from aitp_playground.scenarios.strict import Strict

#: How long a step may wait for the events that it expects, in milliseconds.
LONGEST_WAIT = 10_000
#: A number, or a placeholder that becomes one.
_BOUND = {"anyOf": [{"type": "number"}, {"type": "string", "pattern": r"\{\{"}]}
_COUNT = {"type": "integer", "minimum": 0}
#: Counts that would hold whatever happens, or be waited for in vain.
_COUNTS = [
    {"if": {"required": ["min"], "properties": {"min": {"const": 0}}}, "then": {"required": ["max"]}},
    {
        "if": {"required": ["within_ms"], "properties": {"within_ms": {"type": "integer"}}},
        "then": {
            "properties": {"min": {"minimum": 1}},
            "anyOf": [{"required": ["min"]}, {"not": {"required": ["max"]}}],
        },
    },
]


def _only(schema: dict[str, Any], wanted: dict[str, Any]) -> None:
    """Null is what nobody writes; a validator refuses it."""
    del schema["anyOf"]
    schema.update(wanted)


def _either(schema: dict[str, Any]) -> None:
    """What goes with a path and what with an event, as far as a JSON Schema can say it."""
    operators = {"equals", "not", "contains", "min", "max", "exists", "matches"}
    schema["properties"]["contains"] |= {"not": {"const": ""}}
    schema["if"] = {"required": ["path"], "properties": {"path": {"type": "string"}}}
    schema["then"] = {
        "anyOf": [{"required": [name]} for name in sorted(operators)],
        "properties": {
            "path": {"pattern": f"^{PATH.pattern}$"},
            "event": {"type": "null"},
            "where": {"maxProperties": 0},
            "within_ms": {"type": "null"},
            "min": _BOUND,
            "max": _BOUND,
        },
    }
    strangers = dict.fromkeys(sorted(operators - {"min", "max"}), False)
    types = sorted(set(TYPES) - set(TERMINAL_TYPES))
    schema["else"] = {
        "required": ["event"],
        "properties": {**strangers, "event": {"enum": types}, "min": _COUNT, "max": _COUNT},
        "allOf": [_fields_of(event) for event in types if known_fields(event) is not None] + _COUNTS,
    }


def _fields_of(event: str) -> dict[str, Any]:
    """What ``where`` may name of an event of this type, as :meth:`Expectation.unknown_names` has it."""
    fields, inside = known_fields(event) or frozenset(), payload_fields(event) or frozenset()
    own, deeper = "|".join(sorted(fields - {"payload"})), "|".join(sorted(inside))
    payload = rf"payload(?:$|\[|\.(?:{deeper})(?:$|[.\[]))" if inside else r"payload(?:$|\[)"
    names = {"propertyNames": {"pattern": rf"^(?:(?:{own})(?:$|[.\[])|{payload})"}}
    return {"if": {"properties": {"event": {"const": event}}}, "then": {"properties": {"where": names}}}


class Expectation(Strict):
    """One check of a step's output (``path``) or of the events between its start and end (``event``)."""

    # ``model_fields_set`` tells which operators were written: ``equals: null`` is a check, and no ``equals`` is none.
    model_config = ConfigDict(json_schema_extra=_either)

    OPERATORS: ClassVar[frozenset[str]] = frozenset({"equals", "not_", "contains", "min", "max", "exists", "matches"})

    path: str | None = Field(
        default=None, description="a place in the output, as `$.body.error.code` or `$.findings[*].title`"
    )
    event: str | None = Field(default=None, description="a type of events, which are counted")
    where: Mapping[str, Any] = Field(
        default_factory=dict, description="which of them: each name, a field of the event, has this value"
    )
    equals: Any = Field(default=None, description="it is the same JSON, at any depth")
    not_: Any = Field(default=None, alias="not", description="something is there and is not that")
    contains: Any = Field(
        default=None, description="the text has this text in it, the list this entry, the object this key"
    )
    min: Any = Field(
        default=None, description="at least this number; of events: how many at least, 1 without min and max"
    )
    max: Any = Field(default=None, description="at most this number; of events: how many at most")
    exists: bool | None = Field(
        default=None,
        strict=True,
        description="whether something is there",
        json_schema_extra=lambda schema: _only(schema, {"type": "boolean"}),
    )
    matches: str | None = Field(
        default=None,
        description="a text in which this regular expression is found",
        json_schema_extra=lambda schema: _only(schema, {"type": "string", "minLength": 1}),
    )
    within_ms: int | None = Field(
        default=None,
        ge=1,
        le=LONGEST_WAIT,
        strict=True,
        description="the step waits so long for `min` events to come",
    )

    @classmethod
    def keys_beside(cls, written: Collection[str]) -> frozenset[str]:
        """The keys that go with those ``written``: all, unless they say whether it is about a path or an event."""
        operators = {cls.model_fields[name].alias or name for name in cls.OPERATORS}
        of_path, of_event = {"path", *operators}, {"event", "where", "min", "max", "within_ms"}
        if ("path" in written) is ("event" in written):
            return frozenset(of_path | of_event)
        return frozenset(of_path if "path" in written else of_event)

    @field_validator("path")
    @classmethod
    def _is_a_path(cls, value: str | None) -> str | None:
        if value is not None and (fault := path_fault(value)) is not None:
            raise ValueError(fault)
        return value

    @field_validator("exists")
    @classmethod
    def _says_whether(cls, value: bool | None) -> bool | None:
        if value is None:
            raise ValueError("exists is true or false")
        return value

    @field_validator("matches")
    @classmethod
    def _matches_compiles(cls, value: str | None) -> str:
        if value is None:
            raise ValueError("matches is a regular expression")
        if not value:
            raise ValueError("an empty pattern is found in every text, so it would prove nothing")
        if not has_placeholder(value) and (fault := pattern_fault(value)) is not None:
            raise ValueError(f"not a regular expression: {fault}")
        return value

    @field_validator("where")
    @classmethod
    def _where_is_paths(cls, value: Mapping[str, Any]) -> Mapping[str, Any]:
        for name in value:
            if (fault := path_fault(f"$.{name}")) is not None:
                raise ValueError(f"where: {name!r} names no field of an event: write name, or name.name inside one")
            del fault
        return value

    @model_validator(mode="after")
    def _one_subject(self) -> Expectation:
        if (self.path is None) is (self.event is None):
            raise ValueError("an expectation has either a path or an event")
        for fault in self._of_path() if self.path is not None else self._of_event():
            raise ValueError(fault)
        return self

    @field_validator("contains")
    @classmethod
    def _contains_something(cls, value: Any) -> Any:
        if value == "":
            raise ValueError("every text contains the empty one, so it would prove nothing")
        return value

    def _of_path(self) -> Iterator[str]:
        if not self.model_fields_set & self.OPERATORS:
            yield "a path needs an operator: equals, not, contains, min, max, exists or matches"
        if self.path == "$" and self.exists is not None:
            yield "an output is always there: name a part of it"
        if self.where:
            yield "where belongs to an event, not to a path"
        if self.within_ms is not None:
            yield "within_ms belongs to an event, not to a path: an output is there when the step is done"
        for name in ("min", "max"):
            bound = getattr(self, name)
            if (
                name in self.model_fields_set
                and not is_number(bound)
                and not (isinstance(bound, str) and has_placeholder(bound))
            ):
                yield f"{name} of a path is a number, not {bound!r}"
        if is_number(self.min) and is_number(self.max) and self.min > self.max:
            yield f"no number is at least {self.min} and at most {self.max}"

    def _of_event(self) -> Iterator[str]:
        operators = self.model_fields_set & self.OPERATORS
        if strangers := operators - {"min", "max"}:
            yield f"an event takes min and max, not {', '.join(sorted(strangers)).replace('not_', 'not')}"
        for name in sorted(operators):
            bound = getattr(self, name)
            if not isinstance(bound, int) or isinstance(bound, bool) or bound < 0:
                yield "min and max of an event are counts"
        if self.min is not None and self.max is not None and self.min > self.max:
            yield f"no count is at least {self.min} and at most {self.max}"
        if self.least == 0 and self.max is None:
            yield "min: 0 without max always holds, so it would prove nothing"
        if self.event in TERMINAL_TYPES:
            yield f"{self.event} comes when no step can look: it ends the run"
        if self.within_ms is not None and self.least == 0:
            yield "within_ms waits until min events have come; with none to wait for it would prove nothing"

    @property
    def least(self) -> int:
        """How many events there must be at least."""
        if self.min is None:
            return 1 if self.max is None else 0
        return int(self.min)

    def unknown_names(self) -> Iterator[tuple[tuple[str, ...], str]]:
        """Names that no event has, with their place: counted against ``max: 0`` a misspelt one would hold for ever."""
        if self.event is None:
            return
        if self.event not in TYPES:
            yield ("event",), f"no event is of type {self.event!r}{nearest(self.event, TYPES)}"
            return
        for name in self.where:
            parts = [part.partition("[")[0] for part in name.split(".")]
            inside = parts[0] == "payload" and len(parts) > 1
            known = payload_fields(self.event) if inside else known_fields(self.event)
            first = parts[1] if inside else parts[0]
            if known is not None and first not in known:
                yield ("where", name), f"{self.event} has no field {first!r}{nearest(first, known)}"

    @model_serializer(mode="wrap")
    def _as_written(self, handler: SerializerFunctionWrapHandler) -> dict[str, Any]:
        written = {type(self).model_fields[name].alias or name for name in self.model_fields_set}
        return {name: value for name, value in handler(self).items() if name in written}


def is_number(value: Any) -> bool:
    """Whether this is a number as JSON knows it: ``true`` is none."""
    return isinstance(value, int | float) and not isinstance(value, bool)
