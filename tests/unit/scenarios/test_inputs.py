"""Inputs are completed with defaults, then validated; faults are told by JSON pointer."""

from __future__ import annotations

from typing import Any

import pytest

from aitp_playground.errors import InputsInvalid
from aitp_playground.scenarios import inputs
from aitp_playground.scenarios.inputs import complete_inputs, unfit_defaults
from aitp_playground.scenarios.schemas import schema_faults, slow_patterns, value_faults

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
    given: dict[str, Any] = {"topic": "keys", "options": {"depth": 7}, "people": []}
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


def endless(**keywords: Any) -> dict[str, Any]:
    """A schema whose ``$defs`` are as given, applied to every input."""
    return {"type": "object", "properties": {"x": {"$ref": "#/$defs/node"}}, "$defs": keywords}


def test_defaults_are_looked_at_together_and_told_one_by_one(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each look weighs all that the schema refers to: one for each default made lint take the square of them."""
    looks = []

    def counted(schema: Any, value: Any) -> list[dict[str, str]]:
        looks.append(schema)
        return value_faults(schema, value)

    monkeypatch.setattr(inputs, "value_faults", counted)
    named = {f"n{number}": {"$ref": "#/definitions/whole", "default": number} for number in range(300)}
    odd = {
        "a/b~": {"type": "string", "default": 5},
        "n7": {"$ref": "#/$defs/text", "default": 7},
        "free": {"type": "array"},
    }
    schema = {
        "$defs": {"text": {"type": "string"}},
        "definitions": {"whole": {"type": "integer"}},
        "properties": named | odd | {"free": {"type": "array"}},
        "required": ["free"],
    }
    assert sorted(path for path, _ in unfit_defaults(schema)) == [
        ("properties", "a/b~", "default"),
        ("properties", "n7", "default"),
    ]
    assert len(looks) == 1


def test_defaults_that_bring_defaults_are_told_and_not_filled_in_for_ever() -> None:
    node = {"type": "object", "properties": {name: {"$ref": "#/$defs/node", "default": {}} for name in "lr"}}
    assert faults(endless(node=node), {"x": {}}) == [""]
    wide = {"default": {str(number): {} for number in range(3000)}, "additionalProperties": {"$ref": "#/$defs/node"}}
    schema = {"properties": {str(number): wide for number in range(40)}, "$defs": {"node": node}}
    assert faults(schema, {}) == [""]


def test_references_in_a_circle_are_told() -> None:
    assert faults(endless(node={"$ref": "#/$defs/other"}, other={"$ref": "#/$defs/node"}), {"x": 1}) == [""]


def test_a_large_list_is_filled_in_and_validated() -> None:
    schema = {"properties": {"list": {"items": {"properties": {"n": {"default": 1}}, "required": ["id"]}}}}
    completed = complete_inputs(schema, {"list": [{"id": number} for number in range(4000)]})
    assert all(item["n"] == 1 for item in completed["list"])
    assert len(faults(schema, {"list": [{} for _ in range(4000)]})) == 20


def test_a_pattern_that_backtracks_costs_no_more_than_another() -> None:
    schema = {"properties": {"topic": {"pattern": "^(a+)+$"}}}
    assert faults(schema, {"topic": "a" * 5000 + "!"}) == ["/topic"]
    assert complete_inputs(schema, {"topic": "a" * 5000})


@pytest.mark.parametrize("keyword", ["anyOf", "oneOf", "allOf"])
def test_a_schema_that_branches_and_recurses_is_ended_and_not_waited_for(keyword: str) -> None:
    again = {"properties": {"x": {"$ref": "#/$defs/node"}}}
    schema = endless(node={"type": "object", keyword: [again, again]})
    deep: Any = 1
    for _ in range(40):
        deep = {"x": deep}
    with pytest.raises(InputsInvalid, match="to say where would take too long"):
        complete_inputs(schema, {"x": deep})


def test_many_faults_under_anyof_are_cut_short() -> None:
    schema = {"properties": {"list": {"items": {"anyOf": [{"required": [f"k{n}"]} for n in range(60)]}}}}
    assert len(faults(schema, {"list": [{} for _ in range(3000)]})) == 20


def test_unique_items_over_many_objects() -> None:
    schema = {"properties": {"list": {"uniqueItems": True}}}
    items = [{"n": number, "of": {"a": [1, 2]}} for number in range(3000)]
    assert complete_inputs(schema, {"list": items})
    assert faults(schema, {"list": [*items, items[0]]}) == ["/list"]


def test_look_around_is_judged_apart_never_refused_and_warned_of() -> None:
    schema = {"properties": {"word": {"type": "string", "pattern": r"^(?!admin)\w+$"}}}
    assert not list(schema_faults(schema))
    assert [path for path, _ in slow_patterns(schema)] == [("properties", "word", "pattern")]
    assert complete_inputs(schema, {"word": "user"}) == {"word": "user"}
    assert faults(schema, {"word": "administrator"}) == ["/word"]
    hopeless = {"properties": {"word": {"pattern": r"^(?=a)(a+)+$"}}}
    with pytest.raises(InputsInvalid, match=r"within 1 s of CPU"):
        complete_inputs(hopeless, {"word": "a" * 60 + "!"})
    keys = {"patternProperties": {"^(?!x-)": {"type": "integer"}}, "additionalProperties": False}
    assert complete_inputs(keys, {"n": 1}) == {"n": 1}
    assert faults(keys, {"x-n": 1}) == ["/x-n"]


@pytest.mark.parametrize("pattern", ["(", "[z-a]", "*", "a" * 3000])
def test_what_is_no_pattern_is_found_before_any_run(pattern: str) -> None:
    assert [path for path, _ in schema_faults({"properties": {"x": {"pattern": pattern}}})] == [
        ("properties", "x", "pattern")
    ]


def test_inputs_nested_without_end_are_refused() -> None:
    deep: Any = 1
    for _ in range(5000):
        deep = [deep]
    assert faults({}, {"x": deep}) == [""]


DECLARED = {"type": "object", "properties": {"topic": {"type": "string", "default": "trust"}, "style": {}}}


@pytest.mark.parametrize(("given", "said"), [("topci", "did you mean 'topic'?"), ("nothing", "known: style, topic")])
def test_an_input_that_the_schema_does_not_name_is_refused(given: str, said: str) -> None:
    with pytest.raises(InputsInvalid) as refused:
        complete_inputs(DECLARED, {given: "x", "style": 1})
    assert refused.value.details[0]["pointer"] == f"/{given}"
    assert said in refused.value.message


def test_every_input_that_is_not_named_is_told_with_its_escaped_pointer() -> None:
    with pytest.raises(InputsInvalid) as refused:
        complete_inputs(DECLARED, {"a/b": 1, "c~d": 2})
    assert [fault["pointer"] for fault in refused.value.details] == ["/a~1b", "/c~0d"]


@pytest.mark.parametrize(
    "more",
    [
        {"additionalProperties": True},
        {"additionalProperties": {"type": "integer"}},
        {"patternProperties": {"^x": {}}},
        {"allOf": [{"properties": {"extra": {}}}]},
        {"$ref": "#/$defs/base", "$defs": {"base": {"properties": {"extra": {}}}}},
        {"properties": {}},
    ],
)
def test_a_schema_that_lets_others_in_takes_them(more: dict[str, Any]) -> None:
    assert complete_inputs({**DECLARED, **more}, {"extra": 1})["extra"] == 1
