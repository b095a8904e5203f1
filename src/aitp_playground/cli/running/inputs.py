"""Inputs given on the command line, typed by the scenario's schema."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

import click

from aitp_playground.cli import completion
from aitp_playground.errors import InputsInvalid, MalformedRequest

F = TypeVar("F", bound=Callable[..., Any])

_MAX_BYTES = 1 << 20
#: References may lead from one part to the next without end.
_MOST_PARTS = 500


def input_options(command: F) -> F:
    """``--input`` as ``pairs`` and ``--inputs`` as ``document``."""
    command = click.option(
        "--inputs",
        "document",
        callback=lambda _context, _option, given: None if given is None else read_document(given),
        metavar="JSON|@FILE",
        shell_complete=completion.json_or_file,
        help="All inputs as a JSON object, or @FILE to read it from a file (@- for standard input).",
    )(command)
    return click.option(
        "--input",
        "-i",
        "pairs",
        multiple=True,
        metavar="KEY=VALUE",
        help="One input; repeatable. The value is JSON where the schema wants a number, boolean, list or object.",
    )(command)


def given_inputs(schema: Mapping[str, Any], pairs: Sequence[str], document: bytes | str | None) -> dict[str, Any]:
    """What ``--inputs`` holds (:func:`read_document`), with each ``--input`` on top.

    Raises MalformedRequest, InputsInvalid.
    """
    inputs = {} if document is None else _object(document)
    for pair in pairs:
        key, equals, text = pair.partition("=")
        if not equals or not key:
            raise MalformedRequest(f"--input {pair[:100]!r} is not KEY=VALUE")
        if not pair.isascii() and not _is_utf8(pair):
            raise MalformedRequest(f"--input {pair[:100]!r} is not UTF-8 text")
        inputs[key] = _typed(schema, key, text)
    return inputs


def read_document(document: str) -> bytes | str:
    """The value of ``--inputs``, or what is in the file that it names. Raises MalformedRequest.

    A pipe may have nothing to say for long, so this comes before there is a loop: signals then end the command.
    """
    if not document.startswith("@"):
        return document
    name, shown = document[1:], repr(document[:200])
    try:
        raw = _read(name)
    except (OSError, ValueError) as fault:
        reason = fault.strerror if isinstance(fault, OSError) else str(fault)
        raise MalformedRequest(f"--inputs {shown} cannot be read: {reason}") from None
    if len(raw) > _MAX_BYTES:
        raise MalformedRequest(f"--inputs {shown} is larger than {_MAX_BYTES} bytes")
    return raw


def _read(name: str) -> bytes:
    if name != "-":
        with Path(name).open("rb") as file:
            return file.read(_MAX_BYTES + 1)
    if sys.stdin is None or sys.stdin.closed:
        raise ValueError("standard input is closed")
    return sys.stdin.buffer.read(_MAX_BYTES + 1)


def _object(text: bytes | str) -> dict[str, Any]:
    from aitp_playground import strict_json

    try:
        inputs = strict_json.loads(text)
    except strict_json.NotExact as fault:
        raise MalformedRequest(f"--inputs is not JSON that can be used: {fault}") from None
    if not isinstance(inputs, dict):
        raise MalformedRequest("--inputs must be a JSON object")
    return inputs


def _typed(schema: Mapping[str, Any], key: str, text: str) -> Any:
    # Imported here, like the rest of the scenario machinery: the option's own declaration must cost nothing.
    from aitp_playground import strict_json
    from aitp_playground.scenarios.inputs import undeclared

    if (fault := undeclared(schema, key)) is not None:
        raise InputsInvalid(fault["message"], details=[fault])
    types = sorted(set(_types(schema, schema.get("properties", {}).get(key), set())))
    if not types or "string" in types:
        return text
    try:
        return strict_json.loads(text)
    except strict_json.NotExact as fault:
        message = f"input {key!r} takes a JSON value ({' or '.join(types)}), not {text[:100]!r}: {fault}"
        raise InputsInvalid(message, details=[{"pointer": f"/{key}", "message": message}]) from None


def _is_utf8(text: str) -> bool:
    """Arguments that are not are handed to us with lone surrogates in them."""
    from aitp_playground.strict_json import is_text

    return is_text(text)


def _types(root: Mapping[str, Any], schema: Any, seen: set[int]) -> Iterator[str]:
    """The JSON types that ``schema`` allows, as far as it names them; empty when it takes anything.

    ``seen``: the parts that were looked at already, since references may lead back to them.
    """
    from aitp_playground.json_pointers import resolved

    if not isinstance(schema, Mapping) or id(schema) in seen or len(seen) > _MOST_PARTS:
        return
    seen.add(id(schema))
    named = schema.get("type", [])
    yield from [named] if isinstance(named, str) else named
    if not named:
        yield from (_type_of(value) for value in [*schema.get("enum", []), *_constant(schema)])
    for keyword in ("anyOf", "oneOf", "allOf"):
        for part in schema.get(keyword, []):
            yield from _types(root, part, seen)
    if isinstance(schema.get("$ref"), str):
        yield from _types(root, resolved(root, schema["$ref"]), seen)


def _constant(schema: Mapping[str, Any]) -> list[Any]:
    return [schema["const"]] if "const" in schema else []


def _type_of(value: Any) -> str:
    names = {bool: "boolean", int: "integer", float: "number", str: "string", list: "array", dict: "object"}
    return names.get(type(value), "null")
