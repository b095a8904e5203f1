"""Placeholders: ``{{ inputs.key }}`` in a step's ``input_template``, ``{{ outputs.step.path }}`` in expected values."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Collection, Iterator, Mapping
from typing import Any

from aitp_playground.errors import InvalidRequest

_ANY = re.compile(r"\{\{((?:(?!\}\}).)*)\}\}", re.DOTALL)
#: As text it would be compared, or sent, as it stands.
_BEGUN = re.compile(r"\{\{\s*(?:inputs|outputs)\b[^{}]*\}?|(?<!\{)\{\s*(?:inputs|outputs)\.[^{}\s]*\s*\}\}?")
_INPUT = re.compile(r"inputs\.([^\s.{}]+)")
_OUTPUT = re.compile(r"outputs\.([^\s.{}\[\]]+)((?:\.[A-Za-z0-9_@:-]+|\[(?:\d+|\*)\])*)")


def render(template: Any, inputs: Mapping[str, Any], declared: Collection[str]) -> Any:
    """``template`` with its placeholders filled in.

    A string that is one placeholder becomes the input's value, type and all; inside other text a value becomes text
    (JSON, unless it is a string). A declared input that was not given renders empty.
    Raises :class:`~aitp_playground.errors.InvalidRequest` for a placeholder that names no declared input.
    """

    def value(expression: str) -> Any:
        key = input_key(expression)
        if key is None or key not in declared:
            raise InvalidRequest(f"{{{{ {expression} }}}} names no declared input")
        return inputs.get(key, "")

    return _fill(template, value)


def declared_inputs(schema: Mapping[str, Any]) -> frozenset[str]:
    """The names a template may use: the schema's top-level properties."""
    properties = schema.get("properties")
    return frozenset(properties) if isinstance(properties, Mapping) else frozenset()


def placeholders(value: Any, at: tuple[str | int, ...] = ()) -> Iterator[tuple[tuple[str | int, ...], str]]:
    """Every placeholder's expression below ``value``, with the key path of the string that holds it."""
    if isinstance(value, str):
        for found in _ANY.finditer(value):
            yield at, found.group(1).strip()
    elif isinstance(value, Mapping):
        for name, item in value.items():
            yield from placeholders(item, (*at, name))
    elif isinstance(value, list | tuple):
        for index, item in enumerate(value):
            yield from placeholders(item, (*at, index))


def unfinished(value: Any, at: tuple[str | int, ...] = ()) -> Iterator[tuple[tuple[str | int, ...], str]]:
    """Every placeholder below ``value`` that is begun and not closed, with the key path of the string that holds it."""
    if isinstance(value, str):
        if (found := _BEGUN.search(_ANY.sub("", value))) is not None:
            yield at, found.group()[:60]
    elif isinstance(value, Mapping):
        for name, item in value.items():
            yield from unfinished(item, (*at, name))
    elif isinstance(value, list | tuple):
        for index, item in enumerate(value):
            yield from unfinished(item, (*at, index))


def has_placeholder(value: Any) -> bool:
    """Whether something is to be filled in below ``value``."""
    return any(True for _ in placeholders(value))


def input_key(expression: str) -> str | None:
    """``key`` of ``inputs.key``, None for anything else."""
    found = _INPUT.fullmatch(expression)
    return found.group(1) if found else None


def output_step(expression: str) -> str | None:
    """``step`` of ``outputs.step.path``, None for anything else."""
    found = _OUTPUT.fullmatch(expression)
    return found.group(1) if found else None


def _fill(template: Any, value: Callable[[str], Any]) -> Any:
    if isinstance(template, Mapping):
        return {name: _fill(item, value) for name, item in template.items()}
    if isinstance(template, list | tuple):
        return [_fill(item, value) for item in template]
    if not isinstance(template, str):
        return template
    whole = _ANY.fullmatch(template.strip())
    if whole:
        return value(whole.group(1).strip())
    return _ANY.sub(lambda found: _text(value(found.group(1).strip())), template)


def _text(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
