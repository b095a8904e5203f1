"""JSON Schemas in words, as the page shows them."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

from aitp_playground.api.contract.markup import Html, code, el, joined, line, table, text

Schema = Mapping[str, Any]
#: More values than these are no list any more that somebody reads through in a cell.
_FEW = 12


def anchor(name: str) -> str:
    """Where a named schema stands on the page."""
    return f"type-{name}"


def in_words(schema: Schema) -> Html:
    """What fits the schema, in a few words."""
    if not schema:
        return text("anything")
    if "$ref" in schema:
        name = schema["$ref"].rpartition("/")[2]
        return el("a", text(name), href=f"#{anchor(name)}")
    for choice in ("anyOf", "oneOf"):
        if choice in schema:
            return joined([in_words(one) for one in schema[choice]], " or ")
    if "const" in schema:
        return code(json.dumps(schema["const"]))
    if "enum" in schema:
        return joined([code(str(value)) for value in schema["enum"]], " ")
    if "contentSchema" in schema:
        return joined([text("text, JSON of "), in_words(schema["contentSchema"])])
    kinds: str | list[str] = schema.get("type", "anything")
    if isinstance(kinds, list):
        return joined([in_words({**schema, "type": kind}) for kind in kinds], " or ")
    return joined([text(" ".join([_KINDS.get(kinds, kinds), *_bounds(schema)])), *_inside(schema)])


_KINDS = {
    "string": "text",
    "integer": "whole number",
    "array": "list",
    "boolean": "true or false",
}


def _bounds(schema: Schema) -> Iterator[str]:
    kind = schema.get("type")
    for least, most, unit, of in (
        ("minimum", "maximum", "", ("integer", "number")),
        ("minLength", "maxLength", " characters", ("string",)),
        ("minItems", "maxItems", " entries", ("array",)),
    ):
        if kind not in of:
            continue
        low, high = schema.get(least), schema.get(most)
        if low is not None and high is not None:
            yield f"({low:,} to {high:,}{unit})"
        elif high is not None:
            yield f"(at most {high:,}{unit})"
        elif low is not None:
            yield f"(at least {low:,}{unit})"
    if "format" in schema:
        yield f"({schema['format']})"


def _inside(schema: Schema) -> Iterator[Html]:
    if schema.get("type") == "string" and "pattern" in schema:
        yield joined([text(" like "), code(schema["pattern"])])
    if schema.get("type") == "array" and schema.get("items"):
        yield joined([text(" of "), in_words(schema["items"])])
    if schema.get("type") == "object" and isinstance(schema.get("additionalProperties"), dict):
        yield joined([text(", each value "), in_words(schema["additionalProperties"])])


def described(name: str, schema: Schema) -> Html:
    """A named schema with its fields."""
    return el(
        "article",
        el("h3", el("a", text(name), href=f"#{anchor(name)}")),
        el("p", line(schema["description"])) if "description" in schema else Html(""),
        fields(schema, f"Fields of {name}") if schema.get("properties") else el("p", _long(schema)),
        id=anchor(name),
        data_words=name.lower(),
    )


def fields(schema: Schema, caption: str) -> Html:
    """The fields of an object."""
    required = schema.get("required", [])
    rows = [
        (
            joined([code(name), Html("") if name in required else el("small", text(" optional"))]),
            _long(inner),
            line(inner.get("description", "")),
        )
        for name, inner in schema["properties"].items()
    ]
    return table(("Field", "Type", "Meaning"), rows, caption)


def _long(schema: Schema) -> Html:
    """The words, folded where they are a long list of values."""
    if len(schema.get("enum", ())) <= _FEW:
        return in_words(schema)
    summary = el("summary", text(f"one of {len(schema['enum'])} values"))
    return el("details", summary, in_words(schema))
