"""The JSON Schema of scenario files says what the loader says, of whole files and of files with a slip in them."""

from __future__ import annotations

import copy
import json
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import jsonschema_rs
import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from aitp_playground.cli.scenario_files.new_scenario import pack_text, scenario_text
from aitp_playground.resources import scenarios_dir
from aitp_playground.scenarios.file_schema import KINDS, file_schema, text_of
from aitp_playground.scenarios.findings import KeyPath, Marks
from aitp_playground.scenarios.shape import shaped_file
from aitp_playground.scenarios.source import read_document
from aitp_playground.steps import STEP_TYPES

from .conftest import GREETER, HELLO, PACK, SCENARIO, Tree

ROOT = Path(__file__).resolve().parents[3]
COMMITTED = scenarios_dir() / "scenario.schema.json"
SCHEMA = file_schema(STEP_TYPES)
VALIDATOR = jsonschema_rs.Draft202012Validator(SCHEMA, offline=True)
ALONE = {kind: jsonschema_rs.Draft202012Validator(file_schema(STEP_TYPES, kind), offline=True) for kind in KINDS}
Document = dict[str, Any]


def documents() -> Iterator[tuple[str, Document]]:
    """Every scenario file of the packs, the tests and the pages, and those that ``new`` writes."""
    for base in (scenarios_dir(), ROOT / "tests/variants/scenarios"):
        for path in sorted(base.rglob("*.yaml")):
            found = read_document(path, base).data
            if found.get("kind"):
                yield path.relative_to(base.parent).as_posix(), found
    for page in sorted((ROOT / "docs").glob("*.md")):
        for number, block in enumerate(re.findall(r"```yaml\n(.*?)```", page.read_text("utf-8"), re.DOTALL)):
            if isinstance(shown := yaml.safe_load(block), dict) and shown.get("kind"):
                yield f"{page.name} {number}", json.loads(json.dumps(shown, default=str))
    for name, text in {
        "new scenario": scenario_text("mine", "first", "1.0.0"),
        "new pack": pack_text("mine"),
        "greeter": GREETER,
        "demo pack": PACK,
        "demo scenario": SCENARIO,
    }.items():
        yield name, yaml.safe_load(text)


DOCUMENTS = dict(documents())


def loads(document: Any) -> bool:
    """Whether the loader takes the document for what it says it is, without a look at what the names lead to."""
    kind = document.get("kind") if isinstance(document, dict) else None
    if not isinstance(kind, str) or kind not in KINDS:
        return False
    shape, findings = shaped_file(KINDS[kind], document, STEP_TYPES, Marks("file"))
    workflow = getattr(getattr(shape, "spec", None), "workflow", None)
    for step in workflow.steps if workflow else ():
        if step.fault is not None and not step.faultable:
            return False  # told by the loader as well, after the shapes
        if any(True for expectation in step.expect for _ in expectation.unknown_names()):
            return False  # likewise
    return not findings


def fits(document: Any) -> bool:
    return VALIDATOR.is_valid(document)


# -- the committed file ------------------------------------------------------------------------------------------------


def test_the_committed_schema_is_the_generated_one() -> None:
    assert COMMITTED.read_text("utf-8") == text_of(SCHEMA), "write it: make docs"


def test_the_schema_is_one_and_refers_to_nothing_outside() -> None:
    jsonschema_rs.meta.validate(SCHEMA)
    text = text_of(SCHEMA)
    assert set(re.findall(r'"\$ref": "([^"]*)"', text)) == {f"#/$defs/{name}" for name in SCHEMA["$defs"]}
    assert SCHEMA["$id"].startswith("urn:")
    assert set(re.findall(r"https?://[^\"]*", text)) == {"https://json-schema.org/draft/2020-12/schema"}


def test_every_field_is_explained() -> None:
    for name, definition in SCHEMA["$defs"].items():
        for field, told in definition["properties"].items():
            if field not in {"type", "apiVersion", "kind", "metadata", "spec"} and "$ref" not in json.dumps(told):
                assert told.get("description"), f"{name}.{field}"


# -- whole files -------------------------------------------------------------------------------------------------------


def test_there_are_files_of_every_kind() -> None:
    assert {document["kind"] for document in DOCUMENTS.values()} == set(KINDS)
    assert len(DOCUMENTS) > 40


@pytest.mark.parametrize("name", DOCUMENTS)
def test_a_file_that_loads_fits(name: str) -> None:
    document = DOCUMENTS[name]
    assert loads(document)
    VALIDATOR.validate(document)
    assert {kind for kind, validator in ALONE.items() if validator.is_valid(document)} == {document["kind"]}


# -- slips -------------------------------------------------------------------------------------------------------------

WRONG: tuple[Any, ...] = (None, True, 7, -1, 0.5, "words of Text", "", [], {}, ["words"], [7], {"x": 1}, {"x-note": 1})


def places(value: Any, at: KeyPath = ()) -> Iterator[KeyPath]:
    if at:
        yield at
    inside = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, item in inside:
        yield from places(item, (*at, key))


def changed(document: Document, at: KeyPath, change: Callable[[Any, Any], None]) -> Document:
    copied = copy.deepcopy(document)
    holder: Any = copied
    for part in at[:-1]:
        holder = holder[part]
    change(holder, at[-1])
    return copied


def renamed(holder: Any, key: Any) -> None:
    holder[f"{key}x"] = holder.pop(key)


def dropped(holder: Any, key: Any) -> None:
    del holder[key]


def extended(holder: Any, key: Any) -> None:
    holder[f"x-{key}"] = 1


def put(value: Any) -> Callable[[Any, Any], None]:
    def change(holder: Any, key: Any) -> None:
        holder[key] = copy.deepcopy(value)

    return change


def slips(document: Document) -> Iterator[tuple[str, Document]]:
    for at in places(document):
        keyed = isinstance(at[-1], str)
        for name, change in {"renamed": renamed, "extended": extended}.items() if keyed else ():
            yield f"{name} {at}", changed(document, at, change)
        yield f"dropped {at}", changed(document, at, dropped)
        for value in WRONG:
            if at[-1] == "min" and value == 7:
                continue  # more than the max beside it: a schema compares no two values
            yield f"{value!r} at {at}", changed(document, at, put(value))


@pytest.mark.parametrize("name", DOCUMENTS)
def test_a_file_with_a_slip_fits_when_it_loads_and_only_then(name: str) -> None:
    verdicts = [(slip, loads(document), fits(document)) for slip, document in slips(DOCUMENTS[name])]
    assert [slip for slip, loaded, fitting in verdicts if loaded and not fitting] == [], "the schema is too narrow"
    assert [slip for slip, loaded, fitting in verdicts if fitting and not loaded] == [], "the schema is too wide"
    assert {loaded for _, loaded, _ in verdicts} == {True, False}


@settings(max_examples=300, deadline=None)
@given(st.data())
def test_whatever_loads_fits_however_many_slips_there_are(data: st.DataObject) -> None:
    document = copy.deepcopy(DOCUMENTS[data.draw(st.sampled_from(sorted(DOCUMENTS)))])
    kept = data.draw(st.sampled_from([renamed, extended, dropped, *map(put, WRONG)]))
    for change in (kept, *data.draw(st.lists(st.sampled_from([extended, dropped, *map(put, WRONG)]), max_size=3))):
        keyed = [at for at in places(document) if isinstance(at[-1], str) or change not in (renamed, extended)]
        if keyed:
            document = changed(document, data.draw(st.sampled_from(keyed)), change)
    assert fits(document) or not loads(document)


# -- what is on no page of ours ----------------------------------------------------------------------------------------

STEP_HEAD = "- id: greet\n        type: capability_probe\n"
LOADS = {
    "a switch is a word": ("eager: false", "eager: no"),
    "a number in quotes": ("port_offset: 1", 'port_offset: "1"'),
    "keys of the author's own": ("kind: ScenarioVersion", "kind: ScenarioVersion\nx-owner: { team: us }"),
    "keys of the author's own in a step": (STEP_HEAD, STEP_HEAD + "        x-agents: [a]\n"),
    "nothing written": ("    eager: false", "    x-eager: false"),
    "a merge": ("    - id: guest\n", "    - <<: { org: external }\n      id: guest\n"),
    "an input from a template": ("{ type: string, default: you }", "{ type: string, default: '{{ x }}' }"),
    "a placeholder for a bound": (
        "          - path: $.status_code\n            equals: 200\n",
        "          - path: $.status_code\n            min: '{{ outputs.meet.trust }}'\n",
    ),
    "a remark without a type, and a key that is nearly another's": (
        "    steps:\n",
        "    steps:\n      - { id: note, description: hello, x-agent: nobody }\n",
    ),
    "fields of an event, and what is in its payload": (
        "          - path: $.status_code\n            equals: 200\n",
        (
            "          - event: capability.invoked\n"
            "            where: { agent_id: host, caller: guest, payload.status_code: 200, step_id: greet }\n"
        ),
    ),
    "a number in quotes, spelt out": ("port_offset: 1", 'port_offset: " +1_0.0 "'),
    "an event that is waited for": (
        "path: $.status_code\n            equals: 200",
        "event: capability.invoked\n            within_ms: 50",
    ),
    "events that are waited for": (
        "path: $.status_code\n            equals: 200",
        "event: capability.invoked\n            within_ms: 50\n            min: 2\n            max: 3",
    ),
    "an event that may come": (
        "path: $.status_code\n            equals: 200",
        "event: capability.invoked\n            min: 0\n            max: 1",
    ),
    "an optional key of no value": ("    - id: guest\n", "    - id: guest\n      cloud: null\n"),
}
REFUSED = {
    "an unknown step type": ("type: handshake", "type: handshak"),
    "a step of no type": ("type: handshake", "type: null"),
    "an unknown event": ("- path: $.status_code\n            equals: 200", "- event: capability.inwoked"),
    "a field that the event does not have": (
        "- path: $.status_code\n            equals: 200",
        "- event: capability.invoked\n            where: { callr: guest }",
    ),
    "an event that no step sees": ("- path: $.status_code\n            equals: 200", "- event: run.complete"),
    "a path and an event": ("equals: 200", "equals: 200\n            event: capability.invoked"),
    "an operator of paths": ("path: $.status_code\n", "event: capability.invoked\n"),
    "a path without an operator": ("            equals: 200\n", ""),
    "a path that is none": ("$.status_code", "status_code"),
    "a fault where none is met": (
        "    steps:\n",
        "    steps:\n      - { id: note, type: meta, fault: { kind: peer_offline } }\n",
    ),
    "the name by which the code knows a key": ("apiVersion:", "api_version:"),
    "a key of another type of step": ("responder: host", "responder: host\n        capability: demo.greet"),
    "half a workflow step": (STEP_HEAD, "- id: greet\n"),
    "an event of which there are none at least": (
        "path: $.status_code\n            equals: 200",
        "event: capability.invoked\n            min: 0",
    ),
    "nothing that is waited for": (
        "path: $.status_code\n            equals: 200",
        "event: capability.invoked\n            within_ms: 50\n            max: 0",
    ),
    "nothing at least that is waited for": (
        "path: $.status_code\n            equals: 200",
        "event: capability.invoked\n            within_ms: 50\n            min: 0\n            max: 1",
    ),
    **{
        f"a number in quotes that is none: {number}": ("port_offset: 1", f'port_offset: "{number}"')
        for number in ("1__0", "1_", "_1", "5.", "5.0_0")
    },
    "too many agents": (
        "    - id: host\n",
        "".join(f"    - {{ id: a{number}, ref: _shared/agents/greeter }}\n" for number in range(15))
        + "    - id: host\n",
    ),
    "too many steps": (
        "      - id: meet\n",
        "".join(f"      - {{ id: s{number}, description: on }}\n" for number in range(199)) + "      - id: meet\n",
    ),
    "no agents": ("    - id: host\n      ref: _shared/agents/greeter\n", "    []\n  x-rest:\n"),
}


@pytest.mark.parametrize("name", LOADS)
async def test_what_the_catalog_takes_fits(tree: Tree, name: str) -> None:
    document = edited(tree, *LOADS[name])
    assert (await tree.catalog().scenarios())[1] == []
    VALIDATOR.validate(document)


@pytest.mark.parametrize("name", REFUSED)
async def test_what_the_catalog_refuses_for_its_shape_does_not_fit(tree: Tree, name: str) -> None:
    document = edited(tree, *REFUSED[name])
    assert (await tree.catalog().scenarios())[1] != []
    assert not fits(document)


def edited(tree: Tree, old: str, new: str) -> Any:
    tree.edit(old, new)
    return read_document(tree.root / HELLO, tree.root).data


def test_of_a_kind_that_there_is_none_of_nothing_fits() -> None:
    for document in ({}, [], None, {"apiVersion": "aitp.dev/v1"}, {"apiVersion": "aitp.dev/v1", "kind": "Scenario"}):
        assert not fits(document)
