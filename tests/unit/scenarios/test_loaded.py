"""Scenarios are shown in the shapes that the API promises."""

from __future__ import annotations

import json

from aitp_playground.scenarios.loaded import describe_pack

from .conftest import HELLO, Tree

REF = "demo/hello@1.0.0"


async def test_a_scenario_is_shown_as_its_file_with_every_section_and_default(tree: Tree) -> None:
    tree.write(
        "demo/hello/1.0.0/templates/open.yaml",
        """\
        apiVersion: aitp.dev/v1
        kind: ScenarioTemplate
        metadata: { name: open, summary: From the start }
        spec: { trust: { eager: true } }
        """,
    )
    loaded = await tree.catalog().scenario(REF)
    shown = loaded.describe()
    assert list(shown) == ["apiVersion", "kind", "metadata", "spec", "templates"]
    assert list(shown["spec"]) == ["inputs", "agents", "trust", "workflow", "templates"]
    assert shown["spec"]["inputs"]["schema"]["properties"]["name"] == {"type": "string", "default": "you"}
    assert shown["spec"]["agents"][0] == {
        "id": "host",
        "ref": "_shared/agents/greeter",
        "port_offset": 0,
        "org": "internal",
    }
    assert shown["spec"]["trust"] == {"boundary": "intra_org", "discovery": "static", "eager": False}
    assert shown["spec"]["workflow"]["steps"][1]["expect"] == [{"path": "$.status_code", "equals": 200}]
    assert shown["templates"] == [{"name": "open", "summary": "From the start"}]
    assert shown["spec"]["templates"] == [
        {"id": "open", "name": "open", "description": "From the start", "variants": []}
    ]
    assert loaded.describe("open")["spec"]["trust"]["eager"] is True
    assert json.loads(json.dumps(shown)) == shown


async def test_sections_that_the_file_leaves_out_are_shown_with_their_defaults(tree: Tree) -> None:
    text = (tree.root / HELLO).read_text()
    head, agents = text[: text.index("spec:")], "  agents: [{ id: a, ref: _shared/agents/greeter }]\n"
    tree.write(HELLO, head + "spec:\n" + agents)
    spec = (await tree.catalog().scenario(REF)).describe()["spec"]
    assert spec["inputs"] == {"schema": {"type": "object"}}
    assert spec["trust"]["eager"] is True
    assert spec["workflow"] == {"steps": []}
    assert spec["templates"] == []


async def test_an_expected_null_is_shown_and_an_unwritten_operator_is_not(tree: Tree) -> None:
    tree.edit("equals: 200", "not: null")
    steps = (await tree.catalog().scenario(REF)).describe()["spec"]["workflow"]["steps"]
    assert steps[1]["expect"] == [{"path": "$.status_code", "not": None}]


async def test_list_entries_have_their_shapes(tree: Tree) -> None:
    catalog = tree.catalog()
    (scenario,), _ = await catalog.scenarios()
    assert scenario.listed() == {
        "ref": REF,
        "metadata": {
            "pack": "demo", "scenario": "hello", "version": "1.0.0", "name": "Hello", "summary": "", "tags": [],
        },
    }  # fmt: skip
    assert [describe_pack(pack) for pack in await catalog.packs()] == [
        {
            "apiVersion": "aitp.dev/v1",
            "kind": "ScenarioPack",
            "metadata": {"slug": "demo", "name": "Demo", "description": "", "tags": []},
        }
    ]


async def test_names_remarks_and_tags_are_shown_as_they_were_written(tree: Tree) -> None:
    tree.edit("name: Hello", "name: Hello\n  summary: A greeting\n  tags: [first, polite]")
    tree.edit("name: Demo }", "name: Demo, description: To try things, tags: [trial] }", "demo/pack.yaml")
    catalog = tree.catalog()
    (scenario,), _ = await catalog.scenarios()
    for shown in (scenario.listed()["metadata"], scenario.describe()["metadata"]):
        assert (shown["name"], shown["summary"], shown["tags"]) == ("Hello", "A greeting", ["first", "polite"])
    (pack,) = await catalog.packs()
    told = describe_pack(pack)["metadata"]
    assert (told["name"], told["description"], told["tags"]) == ("Demo", "To try things", ["trial"])
