"""Which of a step's fields name agents and which name steps, read from the marks on the step's model."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache
from typing import Annotated, Any, get_args, get_origin

from aitp_playground.scenarios.findings import KeyPath
from aitp_playground.scenarios.models import AgentRef, StepRef, StepSpec
from aitp_playground.scenarios.names import MadeBy


def named(step: StepSpec, kind: type[AgentRef | StepRef]) -> Iterator[tuple[KeyPath, str]]:
    """``(place in the step, name)`` for every agent or step that ``step`` names."""
    for field, marks in _fields(type(step)):
        if not any(isinstance(mark, kind) for mark in marks):
            continue
        value = getattr(step, field)
        if isinstance(value, str):
            yield (field,), value
        elif isinstance(value, list | tuple):
            for index, item in enumerate(value):
                yield (field, index), item


def takes_from(step: StepSpec) -> Iterator[tuple[str, str, str]]:
    """``(field, name, type)`` for every field that names a step of one type."""
    for field, marks in _fields(type(step)):
        for mark in marks:
            if isinstance(mark, MadeBy):
                yield field, getattr(step, field), mark.step_type


def field_marks(model: type[StepSpec], field: str) -> tuple[Any, ...]:
    """The marks on one field, and on what it is a list of."""
    return dict(_fields(model))[field]


@cache
def _fields(model: type[StepSpec]) -> tuple[tuple[str, tuple[Any, ...]], ...]:
    return tuple((name, (*field.metadata, *_marks_in(field.annotation))) for name, field in model.model_fields.items())


def _marks_in(annotation: Any) -> Iterator[Any]:
    if get_origin(annotation) is Annotated:
        yield from annotation.__metadata__
    for argument in get_args(annotation):
        yield from _marks_in(argument)
