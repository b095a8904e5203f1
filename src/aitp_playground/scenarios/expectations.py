"""One entry of ``expect``: its shape, and everything that can be told to be wrong with it before a run."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from typing import Any, ClassVar

from pydantic import Field, SerializerFunctionWrapHandler, field_validator, model_serializer, model_validator

from aitp_playground.events.vocabulary import TERMINAL_TYPES, TYPES, known_fields, payload_fields
from aitp_playground.scenarios.findings import nearest
from aitp_playground.scenarios.paths import path_fault
from aitp_playground.scenarios.patterns import pattern_fault
from aitp_playground.scenarios.render import has_placeholder
from aitp_playground.scenarios.strict import Strict

#: How long a step may wait for the events that it expects, in milliseconds.
LONGEST_WAIT = 10_000


class Expectation(Strict):
    """One check of a step's output (``path``) or of the events between its start and end (``event``, ``where``).

    ``path`` takes at least one of ``equals, not, contains, min, max, exists, matches``; with ``event``, ``min``
    (1 when neither is written) and ``max`` bound the count, and ``within_ms`` lets the step wait until ``min`` have
    come. Values may hold ``{{ outputs.step.path }}``.
    ``model_fields_set`` tells which operators were written: ``equals: null`` is a check, an absent ``equals`` is none.
    """

    OPERATORS: ClassVar[frozenset[str]] = frozenset({"equals", "not_", "contains", "min", "max", "exists", "matches"})

    path: str | None = None
    event: str | None = None
    where: Mapping[str, Any] = Field(default_factory=dict)
    equals: Any = None
    not_: Any = Field(default=None, alias="not")
    contains: Any = None
    min: Any = None
    max: Any = None
    exists: bool | None = Field(default=None, strict=True)
    matches: str | None = None
    within_ms: int | None = Field(default=None, ge=1, le=LONGEST_WAIT, strict=True)

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
            if name in self.model_fields_set and not is_number(bound) and not has_placeholder(bound):
                yield f"{name} of a path is a number, not {bound!r}"

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
