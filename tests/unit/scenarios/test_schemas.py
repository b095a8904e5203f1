"""Schemas that say one thing and do another: what they cost is known before they are tried, and nothing is fetched."""

from __future__ import annotations

import socket
from typing import Any

import pytest

from aitp_playground.errors import InputsInvalid
from aitp_playground.scenarios.inputs import complete_inputs
from aitp_playground.scenarios.schema_parts import weight
from aitp_playground.scenarios.schemas import schema_faults, slow_patterns


def nested(levels: int, leaf: Any) -> dict[str, Any]:
    value: Any = leaf
    for _ in range(levels):
        value = {"x": value}
    return {"x": value}


def places(schema: dict[str, Any]) -> list[tuple[Any, ...]]:
    return [at for at, _ in schema_faults(schema)]


@pytest.mark.parametrize(
    "schema",
    [
        {"$ref": "#/$defs/a", "properties": {"x": {"$ref": "#"}}, "$defs": {"a": {"properties": {"x": {"$ref": "#"}}}}},
        {"properties": {"x": {"$ref": "#"}}, "patternProperties": {"^x": {"$ref": "#"}}},
        {"properties": {"x": {"$ref": "#"}}, "unevaluatedProperties": False, "patternProperties": {"": {"$ref": "#"}}},
    ],
)
def test_a_circle_that_leads_to_one_value_twice_is_ended_without_any_branching_keyword(schema: dict[str, Any]) -> None:
    assert not places(schema)
    with pytest.raises(InputsInvalid, match="to say where would take too long"):
        complete_inputs({"type": "object", **schema}, nested(50, 5))


@pytest.mark.parametrize("name", ["default", "enum", "const", "examples", "$ref", "pattern"])
def test_a_property_called_like_a_keyword_is_a_property(name: str) -> None:
    part = {"allOf": [{"type": "string"}] * 50}
    assert weight({"properties": {name: part}}) == weight({"properties": {"x": part}})
    assert places({"properties": {name: {"pattern": "["}}}) == [("properties", name, "pattern")]
    ahead = {"type": "object", "properties": {name: {"pattern": "^(?!admin)"}}}
    assert [at for at, _ in slow_patterns(ahead)] == [("properties", name, "pattern")]
    assert complete_inputs(ahead, {name: "user"}) == {name: "user"}


def test_what_stands_in_data_is_no_keyword() -> None:
    data = {"$ref": "elsewhere", "$id": "::", "pattern": "["}
    assert not places({"enum": [data], "default": data, "properties": {"x": {"const": data}}})


@pytest.mark.parametrize("place", [(), ("properties", "x"), ("$defs", "x")])
def test_a_reference_cannot_be_led_elsewhere_by_an_id(place: tuple[str, ...]) -> None:
    schema: dict[str, Any] = {"$id": "urn:elsewhere", "$ref": "#/$defs/a", "$defs": {"a": {}}}
    for name in reversed(place):
        schema = {name: schema}
    assert (*place, "$id") in places({"$defs": {"a": {}}, **schema})


def test_nothing_is_fetched_for_a_schema_of_schemas() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        url = f"http://127.0.0.1:{server.getsockname()[1]}/schema"
        assert places({"$schema": url}) == [("$schema",)]
        assert places({"properties": {"x": {"$schema": url}}}) == [("properties", "x", "$schema")]
        server.setblocking(False)
        with pytest.raises(BlockingIOError):
            server.accept()


def test_only_the_draft_that_inputs_are_validated_by_can_be_named() -> None:
    assert not places({"$schema": "https://json-schema.org/draft/2020-12/schema"})
    assert places({"$schema": "http://json-schema.org/draft-04/schema#"}) == [("$schema",)]


@pytest.mark.parametrize("keyword", ["allOf", "properties"])
def test_references_that_lead_very_far_do_not_exhaust_the_stack(keyword: str) -> None:
    def link(number: int) -> dict[str, Any]:
        to = {"$ref": f"#/$defs/d{number + 1}"}
        return {keyword: [to] if keyword == "allOf" else {"x": to}}

    schema = {
        "properties": {"x": {"$ref": "#/$defs/d0"}},
        "$defs": {**{f"d{number}": link(number) for number in range(3000)}, "d3000": {}},
    }
    assert not places(schema)
    assert complete_inputs(schema, {"x": {}}) == {"x": {}}
