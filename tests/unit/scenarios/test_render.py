"""Placeholders are filled in by the rules of scenario files."""

from __future__ import annotations

from typing import Any

import pytest

from aitp_playground.errors import InvalidRequest
from aitp_playground.scenarios.render import declared_inputs, render

INPUTS = {"topic": "trust", "count": 3, "flag": True, "list": [1, "ü"]}
DECLARED = {*INPUTS, "optional"}


@pytest.mark.parametrize(
    ("template", "rendered"),
    [
        ("About {{ inputs.topic }}.", "About trust."),
        ("{{inputs.topic}}/{{  inputs.topic  }}", "trust/trust"),
        ("{{ inputs.count }}", 3),
        (" {{ inputs.list }} ", [1, "ü"]),
        ("n={{ inputs.count }} f={{ inputs.flag }} l={{ inputs.list }}", 'n=3 f=true l=[1, "ü"]'),
        ("{{ inputs.optional }}", ""),
        ("[{{ inputs.optional }}]", "[]"),
        ({"a": ["{{ inputs.topic }}", {"b": "{{ inputs.count }}"}], "c": 1}, {"a": ["trust", {"b": 3}], "c": 1}),
        ("{ inputs.topic } {{", "{ inputs.topic } {{"),
    ],
)
def test_placeholders_are_filled_in(template: Any, rendered: Any) -> None:
    assert render(template, INPUTS, DECLARED) == rendered


def test_what_an_input_holds_is_never_rendered_again() -> None:
    assert render("{{ inputs.a }}!", {"a": "{{ inputs.b }}", "b": "x"}, {"a", "b"}) == "{{ inputs.b }}!"


@pytest.mark.parametrize(
    "expression", ["inputs.tpoic", "inputs.topic.x", "topic", "outputs.a.b", "", "inputs['topic']"]
)
def test_a_placeholder_that_names_no_declared_input_is_refused(expression: str) -> None:
    with pytest.raises(InvalidRequest):
        render("x {{ " + expression + " }}", INPUTS, DECLARED)


def test_an_input_that_was_given_but_not_declared_is_refused_too() -> None:
    with pytest.raises(InvalidRequest):
        render("{{ inputs.stray }}", {"stray": 1}, {"topic"})


def test_the_declared_inputs_are_the_schemas_properties() -> None:
    assert declared_inputs({"properties": {"a": {}, "b": {}}}) == {"a", "b"}
    assert declared_inputs({"type": "object"}) == frozenset()
