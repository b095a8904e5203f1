"""Inputs are completed with defaults, then validated; faults are told by JSON pointer."""

from __future__ import annotations

from typing import Any

import pytest

from aitp_playground.errors import InputsInvalid
from aitp_playground.scenarios.inputs import complete_inputs, schema_faults, unfit_defaults

SCHEMA: dict[str, Any] = {
    "type": "object",
    "properties": {
        "topic": {"type": "string", "default": "trust"},
        "style": {"enum": ["casual", "academic"]},
        "options": {
            "type": "object",
            "properties": {"depth": {"type": "integer", "default": 2}, "note": {"type": "string"}},
            "additionalProperties": False,
        },
        "people": {"type": "array", "items": {"$ref": "#/$defs/person"}},
        "a/b~c": {"type": "integer"},
    },
    "required": ["topic"],
    "$defs": {"person": {"type": "object", "properties": {"role": {"default": "reader"}}, "required": ["name"]}},
}


def faults(schema: dict[str, Any], given: dict[str, Any]) -> list[str]:
    with pytest.raises(InputsInvalid) as caught:
        complete_inputs(schema, given)
    assert all(set(fault) == {"pointer", "message"} for fault in caught.value.details)
    return [fault["pointer"] for fault in caught.value.details]


def test_a_required_input_with_a_default_need_not_be_given() -> None:
    assert complete_inputs(SCHEMA, {}) == {"topic": "trust"}


def test_defaults_inside_objects_lists_and_local_references_are_filled_in() -> None:
    completed = complete_inputs(SCHEMA, {"options": {}, "people": [{"name": "Ada"}]})
    assert completed["options"] == {"depth": 2}
    assert completed["people"] == [{"name": "Ada", "role": "reader"}]


def test_what_is_given_stays_and_the_givers_object_is_not_touched() -> None:
    given: dict[str, Any] = {"topic": "keys", "options": {"depth": 7}, "extra": 1, "people": []}
    completed = complete_inputs(SCHEMA, given)
    assert completed == given
    given["options"] = {}
    complete_inputs(SCHEMA, given)
    assert given["options"] == {}


def test_a_default_is_copied_for_each_run() -> None:
    schema: dict[str, Any] = {"properties": {"list": {"default": []}}}
    complete_inputs(schema, {})["list"].append(1)
    assert complete_inputs(schema, {}) == {"list": []}


@pytest.mark.parametrize(
    ("given", "pointers"),
    [
        ({"topic": 3}, ["/topic"]),
        ({"style": "loud"}, ["/style"]),
        ({"options": {"depth": "x"}}, ["/options/depth"]),
        ({"options": {"deep": 1}}, ["/options/deep"]),
        ({"people": [{"name": "a"}, {}]}, ["/people/1/name"]),
        ({"a/b~c": "x"}, ["/a~1b~0c"]),
        ({"topic": 3, "style": 4}, ["/style", "/topic"]),
    ],
)
def test_each_fault_is_told_with_its_pointer(given: dict[str, Any], pointers: list[str]) -> None:
    assert sorted(faults(SCHEMA, given)) == pointers


def test_a_wrong_default_is_refused_like_a_wrong_input_and_found_by_lint() -> None:
    schema = {"properties": {"n": {"type": "integer", "default": "one"}}}
    assert faults(schema, {}) == ["/n"]
    assert [path for path, _ in unfit_defaults(schema)] == [("properties", "n", "default")]


def test_a_reference_that_never_ends_is_a_fault_and_no_crash() -> None:
    assert faults({"$ref": "#"}, {}) == [""]


def test_nothing_is_ever_fetched_for_a_reference() -> None:
    assert faults({"properties": {"x": {"$ref": "http://127.0.0.1:9/schema"}}}, {"x": 1}) == [""]


@pytest.mark.parametrize(
    ("schema", "path"),
    [
        ({"type": "strng"}, ("type",)),
        ({"type": "array"}, ("type",)),
        ({"properties": {"x": {"minimum": "0"}}}, ("properties", "x", "minimum")),
        ({"properties": {"x": {"$ref": "other.json"}}}, ("properties", "x", "$ref")),
        ({"properties": {"x": {"$ref": "#anchor"}}}, ("properties", "x", "$ref")),
        ({"properties": {"x": {"$ref": "#/$defs/y"}}}, ("properties", "x", "$ref")),
    ],
)
def test_a_broken_schema_is_found_before_any_run(schema: dict[str, Any], path: tuple[str, ...]) -> None:
    assert [found for found, _ in schema_faults(schema)] == [path]


def test_a_sound_schema_has_no_faults() -> None:
    assert list(schema_faults(SCHEMA)) == []
