"""From a document to a model: pydantic's faults become findings with a line and the nearest valid key."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from typing import Any, TypeVar, get_args

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from aitp_playground.misfits import said
from aitp_playground.scenarios.expectations import Expectation
from aitp_playground.scenarios.findings import Finding, KeyPath, Marks, meant, nearest
from aitp_playground.scenarios.models import StepSpec
from aitp_playground.scenarios.strict import EXTENSION

Model = TypeVar("Model", bound=BaseModel)
#: Where the steps of a file are.
STEPS: KeyPath = ("spec", "workflow", "steps")
#: Faults of one section that are told one by one.
MOST_FINDINGS = 100


def shaped(model: type[Model], data: Any, marks: Marks, at: KeyPath = ()) -> tuple[Model | None, list[Finding]]:
    """``data``, which stands at ``at`` in its file, as ``model``; or None and what is wrong with it."""
    try:
        return model.model_validate(data), []
    except ValidationError as problem:
        errors = problem.errors(include_url=False, include_input=False, include_context=False)
        extra = [error["loc"] for error in errors if error["type"] == "extra_forbidden"]
        misspelt = {_meant_path(model, loc) for loc in extra[:MOST_FINDINGS]}
        # Of a list in which nothing is right pydantic says besides that there is nothing in it.
        broken = {error["loc"][:-1] for error in errors if error["loc"] and isinstance(error["loc"][-1], int)}
        second = {"missing": misspelt, "too_short": broken}
        findings = [
            marks.finding((*at, *error["loc"]), _message(model, data, error))
            for error in errors[:MOST_FINDINGS]
            if error["loc"] not in second.get(error["type"], ())  # one slip, one finding
        ]
        if len(errors) > MOST_FINDINGS:
            findings.append(marks.finding(at, f"{len(errors) - MOST_FINDINGS} more things are wrong here"))
        return None, findings


def shaped_file(
    model: type[Model], data: Any, step_types: Mapping[str, type[StepSpec]], marks: Marks
) -> tuple[Model | None, list[Finding]]:
    """A whole file as ``model``, each of its steps as the model of its type; or None and what is wrong."""
    findings: list[Finding] = []
    raw = dig(data, STEPS)
    if isinstance(raw, list):
        steps, findings = shaped_steps(raw, step_types, marks, STEPS)
        spec = data["spec"]
        data = {**data, "spec": {**spec, "workflow": {**spec["workflow"], "steps": steps}}}
    shape, faults = shaped(model, data, marks)
    return (shape if not findings else None), [*faults, *findings]


def dig(data: Any, path: KeyPath) -> Any:
    """What stands at ``path``; None where there is no such place."""
    for part in path:
        data = data.get(part) if isinstance(data, dict) else None
    return data


def shaped_steps(
    raw: list[Any], step_types: Mapping[str, type[StepSpec]], marks: Marks, at: KeyPath
) -> tuple[list[StepSpec], list[Finding]]:
    """Each entry as the model of its type; a broken one is left out and reported."""
    steps: list[StepSpec] = []
    findings: list[Finding] = []
    for index, entry in enumerate(raw):
        path = (*at, index)
        if not isinstance(entry, dict):
            findings.append(marks.finding(path, "a step is a mapping"))
            continue
        name = entry["type"] if "type" in entry else _untyped(entry, step_types)
        model = step_types.get(name) if isinstance(name, str) else None
        if model is None:
            findings.append(
                marks.finding((*path, "type"), f"unknown step type {name!r}{nearest(str(name), step_types)}")
            )
            continue
        step, faults = shaped(model, {**entry, "type": name}, marks, path)
        findings += faults
        if step is not None:
            steps.append(step)
    return steps, findings


def _untyped(entry: Mapping[str, Any], step_types: Mapping[str, type[StepSpec]]) -> str:
    """The type of a step that names none.

    A key that a meta step has no use for makes it a workflow step as well: what is wrong with it is then told in terms
    of the step that was meant, so that a misspelt ``agent`` is not answered with the keys of a meta step.
    """
    if "agent" in entry and "capability" in entry:
        return "workflow"
    keys = {name: set(keys_of(step_types.get(name))) for name in ("workflow", "meta")}
    of_workflow = keys["workflow"] - keys["meta"]
    written = [str(key) for key in entry if not str(key).startswith(EXTENSION)]
    return "workflow" if any(meant(key, of_workflow) for key in written) else "meta"


def _message(model: type[BaseModel], data: Any, error: ErrorDetails) -> str:
    loc = error["loc"]
    if error["type"] == "extra_forbidden":
        return f"unknown key {loc[-1]!r}{nearest(str(loc[-1]), _keys_at(model, data, loc[:-1]))}"
    if error["type"] == "missing":
        return f"the key {loc[-1]!r} is missing"
    if error["type"] == "string_type":
        return "must be text: put it in quotes"
    return said(error)


def _meant_path(model: type[BaseModel], loc: KeyPath) -> KeyPath:
    name = meant(str(loc[-1]), keys_of(model_at(model, loc[:-1])))
    return loc if name is None else (*loc[:-1], name)


def _keys_at(model: type[BaseModel], data: Any, loc: KeyPath) -> Collection[str]:
    """The keys that may stand at ``loc``; a model in which they depend on each other says which go with those there."""
    there = model_at(model, loc)
    if there is None or not issubclass(there, Expectation):
        return keys_of(there)
    for part in loc:
        data = data[part]
    return there.keys_beside(data)


def keys_of(model: type[BaseModel] | None) -> list[str]:
    """The keys as they are written in a file."""
    return [field.alias or name for name, field in model.model_fields.items()] if model else []


def model_at(model: type[BaseModel], loc: KeyPath) -> type[BaseModel] | None:
    """The model that validates what stands at ``loc``, if there is exactly one candidate on the way."""
    for part in loc:
        if isinstance(part, int):
            continue
        field = next((f for name, f in model.model_fields.items() if part in (name, f.alias)), None)
        inner = next(_models_in(field.annotation), None) if field else None
        if inner is None:
            return None
        model = inner
    return model


def _models_in(annotation: Any) -> Iterator[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
    for argument in get_args(annotation):
        yield from _models_in(argument)
