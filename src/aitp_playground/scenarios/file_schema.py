"""A JSON Schema (draft 2020-12) of scenario files, for editors: one for all kinds, made from the models that load them.

What the loader takes fits it. What the loader refuses for its shape (an unknown or a missing key, a wrong type, an
unknown step type) does not. It says nothing of what needs a look beyond one value: names that lead nowhere, input
schemas, patterns, placeholders, ``!include`` and merges (a file is described as it is once they are expanded);
numbers in quotes are taken without a look at their bounds, and 1.0 for 1.
"""

from __future__ import annotations

import inspect
import json
import re
from collections.abc import Mapping
from typing import Any

from pydantic import BaseModel
from pydantic.json_schema import GenerateJsonSchema, JsonSchemaValue, models_json_schema
from pydantic_core import core_schema

from aitp_playground.scenarios.checks import MAX_AGENTS, MAX_STEPS
from aitp_playground.scenarios.models import (
    API_VERSION,
    AgentManifest,
    Scenario,
    ScenarioPack,
    ScenarioTemplate,
    StepSpec,
)
from aitp_playground.scenarios.strict import EXTENSION, Strict, as_text

#: ``kind`` → its model.
KINDS: Mapping[str, type[Strict]] = {
    "AgentManifest": AgentManifest,
    "ScenarioPack": ScenarioPack,
    "ScenarioTemplate": ScenarioTemplate,
    "ScenarioVersion": Scenario,
}
#: A name and no address: there is nothing to fetch.
_ID = "urn:aitp-playground:scenario-files"
_DRAFT = "https://json-schema.org/draft/2020-12/schema"
_STEP = "Step"
_SWITCHES = ("0", "1", "f", "t", "n", "y", "no", "yes", "off", "on", "false", "true")


def file_schema(step_types: Mapping[str, type[StepSpec]], kind: str | None = None) -> dict[str, Any]:
    """The schema of a file, or of those of one ``kind`` alone. ``step_types``: step type name → its model."""
    models: list[type[BaseModel]] = [*KINDS.values(), *step_types.values()]
    _, made = models_json_schema([(model, "validation") for model in models], schema_generator=_Generator)
    definitions: dict[str, Any] = made["$defs"]
    del definitions[StepSpec.__name__]
    listed, _null = definitions["Workflow"]["properties"]["steps"]["anyOf"]
    listed |= {"items": _ref(_STEP), "maxItems": MAX_STEPS}
    for spec in ("ScenarioSpec", "TemplateSpec"):
        _array(definitions[spec]["properties"]["agents"])["maxItems"] = MAX_AGENTS
    definitions[_STEP] = _step(step_types)
    for model in step_types.values():
        if not model.faultable:
            definitions[model.__name__]["properties"]["fault"] = {
                "description": "this type of step takes none",
                "type": "null",
            }
    root = {"$schema": _DRAFT, "$id": _ID if kind is None else f"{_ID}:{kind}", **_root(kind)}
    return {**root, "$defs": _reached(root, definitions)}


def text_of(schema: Mapping[str, Any]) -> str:
    """The schema as it is written to a file: always the same for the same schema."""
    return json.dumps(schema, indent=2, sort_keys=True) + "\n"


def told(docstring: str) -> str:
    """A docstring for readers of Markdown: a line for each paragraph."""
    paragraphs = re.split(r"\n\s*\n", inspect.cleandoc(docstring))
    return "\n\n".join(" ".join(part.split()) for part in paragraphs).replace("``", "`")


def _ref(name: str) -> dict[str, Any]:
    return {"$ref": f"#/$defs/{name}"}


def _root(kind: str | None) -> dict[str, Any]:
    if kind is not None:
        return {"title": f"A file of kind {kind}", **_ref(KINDS[kind].__name__)}
    return {
        "title": "A scenario file of aitp-playground",
        "type": "object",
        "required": ["apiVersion", "kind"],
        "properties": {
            "apiVersion": {"const": API_VERSION},
            "kind": {"enum": sorted(KINDS), "description": "what the file describes"},
        },
        "allOf": [_when("kind", name, model) for name, model in sorted(KINDS.items())],
    }


def _step(step_types: Mapping[str, type[StepSpec]]) -> dict[str, Any]:
    """By its type; one that names none is of the type that the loader takes it for."""
    untyped = {
        "if": {"required": ["agent", "capability"]},
        "then": _ref(step_types["workflow"].__name__),
        "else": _ref(step_types["meta"].__name__),
    }
    return {
        "type": "object",
        "properties": {
            "type": {
                "enum": sorted(step_types),
                "description": "when not written, `workflow` with `agent` and `capability`, and `meta` otherwise",
            }
        },
        "allOf": [
            {"if": {"not": {"required": ["type"]}}, "then": untyped},
            *(_when("type", name, model) for name, model in sorted(step_types.items())),
        ],
    }


def _when(key: str, value: str, model: type[BaseModel]) -> dict[str, Any]:
    return {"if": {"required": [key], "properties": {key: {"const": value}}}, "then": _ref(model.__name__)}


def _reached(root: Mapping[str, Any], definitions: Mapping[str, Any]) -> dict[str, Any]:
    """The definitions that something refers to."""
    found: dict[str, Any] = {}
    texts = [json.dumps(root)]
    while texts:
        for name in re.findall(r'"#/\$defs/(\w+)"', texts.pop()):
            if name not in found:
                found[name] = definitions[name]
                texts.append(json.dumps(definitions[name]))
    return found


class _Generator(GenerateJsonSchema):
    """What the loader takes, which is more than the types say: a switch may be a word, a number stand in quotes."""

    def field_title_should_be_set(self, schema: Any) -> bool:  # noqa: ARG002 - pydantic's signature
        return False

    def bool_schema(self, schema: core_schema.BoolSchema) -> JsonSchemaValue:
        made = super().bool_schema(schema)
        if schema.get("strict"):
            return made
        words = "|".join("".join(f"[{letter.upper()}{letter}]" for letter in word) for word in _SWITCHES)
        return {"anyOf": [made, {"type": "string", "pattern": f"^(?:{words})$"}, {"enum": [0, 1]}]}

    def int_schema(self, schema: core_schema.IntSchema) -> JsonSchemaValue:
        made = super().int_schema(schema)
        if schema.get("strict"):
            return made
        quoted = {"type": "string", "pattern": r"^\s*[+-]?[0-9]+(?:_[0-9]+)*(?:\.0+)?\s*$"}
        least, most = schema.get("ge", 0), schema.get("le", 1)
        switches = [switch for switch in (False, True) if least <= switch <= most]
        return {"anyOf": [made, quoted, *([{"enum": switches}] if switches else [])]}

    def function_before_schema(self, schema: core_schema.BeforeValidatorFunctionSchema) -> JsonSchemaValue:
        made = super().function_before_schema(schema)
        if schema["function"]["function"] is not as_text:
            return made
        return {"anyOf": [made, {"type": "integer", **({"minimum": 0} if "pattern" in made else {})}]}

    def default_schema(self, schema: core_schema.WithDefaultSchema) -> JsonSchemaValue:
        made = super().default_schema(schema)
        if made.get("default", False) is None:
            del made["default"]
        return made

    def model_schema(self, schema: core_schema.ModelSchema) -> JsonSchemaValue:
        made = super().model_schema(schema)
        made.pop("title", None)
        model = schema["cls"]
        if model.__doc__:
            made["description"] = told(model.__doc__)
        if issubclass(model, Strict):
            made["patternProperties"] = {f"^{EXTENSION}": True}
            for key in model.defaulted():
                made["properties"][key] = _or_null(made["properties"][key])
        return made


def _array(schema: dict[str, Any]) -> dict[str, Any]:
    """The form of a value that is a list."""
    forms: list[dict[str, Any]] = schema.get("anyOf", [schema])
    return next(form for form in forms if form.get("type") == "array")


def _or_null(schema: dict[str, Any]) -> dict[str, Any]:
    """What says something of a value stays outside, for editors to find."""
    about: dict[str, Any] = {name: schema.pop(name) for name in ("default", "description") if name in schema}
    return {"anyOf": [*(schema["anyOf"] if schema.keys() == {"anyOf"} else [schema]), {"type": "null"}], **about}
