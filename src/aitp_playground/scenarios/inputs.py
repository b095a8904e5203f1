"""A run's inputs: the scenario's defaults filled in, then validated.

JSON Schema draft 2020-12; references only within the schema, so that validation never reads from anywhere else.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator, Mapping
from typing import Any

from jsonschema import Draft202012Validator
from jsonschema.exceptions import SchemaError, ValidationError
from referencing import Registry
from referencing.exceptions import Unresolvable

from aitp_playground.errors import InputsInvalid
from aitp_playground.scenarios.findings import KeyPath

_MAX_FAULTS = 20
_MAX_NESTING = 40


def complete_inputs(schema: Mapping[str, Any], given: Mapping[str, Any]) -> dict[str, Any]:
    """``given`` with the schema's defaults, nested ones in objects that are there too.

    Raises :class:`~aitp_playground.errors.InputsInvalid`, ``details`` a list of ``{"pointer", "message"}``.
    """
    try:
        completed: dict[str, Any] = _filled(schema, schema, copy.deepcopy(dict(given)), 0)
        errors = sorted(_validator(schema).iter_errors(completed), key=lambda error: error.json_path)
    except (RecursionError, Unresolvable) as problem:
        message = (
            "the schema never comes to an end on these inputs" if isinstance(problem, RecursionError) else str(problem)
        )
        raise InputsInvalid(message, details=[{"pointer": "", "message": message}]) from None
    if errors:
        details = [{"pointer": _pointer(error), "message": error.message[:500]} for error in errors[:_MAX_FAULTS]]
        first = details[0]
        raise InputsInvalid(
            f"inputs do not fit the scenario: {first['pointer'] or 'all of them'}: {first['message']}", details=details
        )
    return completed


def schema_faults(schema: Mapping[str, Any]) -> Iterator[tuple[KeyPath, str]]:
    """What is wrong with a scenario's input schema itself, with the key path inside it."""
    try:
        Draft202012Validator.check_schema(dict(schema))
    except SchemaError as problem:
        yield tuple(problem.absolute_path), f"not a JSON Schema: {problem.message[:300]}"
        return
    if schema.get("type", "object") != "object":
        yield ("type",), "inputs are an object"
    yield from _reference_faults(schema, schema, ())


def unfit_defaults(schema: Mapping[str, Any]) -> Iterator[tuple[KeyPath, str]]:
    """Defaults that a run without inputs would be refused for."""
    shared = {"$defs": schema.get("$defs", {})}
    for name, sub in _properties(schema).items():
        if isinstance(sub, Mapping) and "default" in sub:
            for error in _validator({**shared, **sub}).iter_errors(sub["default"]):
                yield ("properties", name, "default"), f"does not fit its own schema: {error.message[:300]}"


def _validator(schema: Mapping[str, Any]) -> Draft202012Validator:
    # An empty registry retrieves nothing: a reference elsewhere fails instead of being fetched.
    return Draft202012Validator(dict(schema), registry=Registry())


def _filled(root: Mapping[str, Any], schema: Any, value: Any, depth: int) -> Any:
    schema = _followed(root, schema)
    if depth > _MAX_NESTING or not isinstance(schema, Mapping):
        return value
    if isinstance(value, dict):
        for name, sub in _properties(schema).items():
            target = _followed(root, sub)
            if name not in value and isinstance(target, Mapping) and "default" in target:
                value[name] = copy.deepcopy(target["default"])
            if name in value:
                value[name] = _filled(root, sub, value[name], depth + 1)
    elif isinstance(value, list) and "items" in schema:
        return [_filled(root, schema["items"], item, depth + 1) for item in value]
    return value


def _followed(root: Mapping[str, Any], schema: Any) -> Any:
    """``schema``, or what its local ``$ref`` leads to, keywords beside the reference winning."""
    for _ in range(_MAX_NESTING):
        if not isinstance(schema, Mapping) or not isinstance(schema.get("$ref"), str):
            break
        target = _local(root, schema["$ref"])
        beside = {key: value for key, value in schema.items() if key != "$ref"}
        schema = {**target, **beside} if isinstance(target, Mapping) else beside
    return schema


def _properties(schema: Mapping[str, Any]) -> Mapping[str, Any]:
    properties = schema.get("properties")
    return properties if isinstance(properties, Mapping) else {}


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
    elif _local(root, reference) is None:
        yield at, f"{reference!r} leads nowhere"


def _local(root: Any, reference: str) -> Any:
    """What a reference of the form ``#/a/b`` (RFC 6901) leads to, None when it leads nowhere."""
    target = root
    for part in reference.lstrip("#").split("/")[1:]:
        name = part.replace("~1", "/").replace("~0", "~")
        target = target.get(name) if isinstance(target, Mapping) else None
    return target


def _names(value: Any) -> list[str]:
    return [name for name in value if isinstance(name, str)] if isinstance(value, list) else []


def _pointer(error: ValidationError) -> str:
    """The place of the fault; for a missing or an unknown key, the key's own place."""
    parts = [str(part) for part in error.absolute_path]
    if error.validator == "required" and isinstance(error.instance, Mapping):
        missing = [
            name for name in _names(error.validator_value) if name not in error.instance and repr(name) in error.message
        ]
        parts += missing[:1]
    elif error.validator == "additionalProperties" and isinstance(error.instance, Mapping):
        known = _properties(error.schema) if isinstance(error.schema, Mapping) else {}
        parts += [name for name in error.instance if name not in known][:1]
    return "".join("/" + part.replace("~", "~0").replace("/", "~1") for part in parts)
