"""Which of a step's fields name agents and which name steps, read from the marks on the step's model."""

from __future__ import annotations

import functools
from collections.abc import Iterator
from typing import Annotated, Any, get_args, get_origin

from aitp_playground.scenarios.findings import KeyPath
from aitp_playground.scenarios.models import StepSpec


def named(step: StepSpec, kind: type[object]) -> Iterator[tuple[KeyPath, str]]:
    """``(place in the step, name)`` for every agent or step that ``step`` names; ``kind``: AgentRef or StepRef."""
    for field in _marked(type(step), kind):
        value = getattr(step, field)
        if isinstance(value, str):
            yield (field,), value
        elif isinstance(value, list | tuple):
            for index, item in enumerate(value):
                yield (field, index), item


@functools.cache
def _marked(model: type[StepSpec], kind: type[object]) -> tuple[str, ...]:
    return tuple(
        name
        for name, field in model.model_fields.items()
        if any(isinstance(mark, kind) for mark in (*field.metadata, *_marks_in(field.annotation)))
    )


def _marks_in(annotation: Any) -> Iterator[Any]:
    if get_origin(annotation) is Annotated:
        yield from annotation.__metadata__
    for argument in get_args(annotation):
        yield from _marks_in(argument)
