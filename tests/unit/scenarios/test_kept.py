"""What a run is started from, as data: the same digest for the same scenario, and the same scenario back."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import orjson
import pytest

from aitp_playground import resources
from aitp_playground.errors import RegistryInvalid
from aitp_playground.scenarios.catalog import Catalog
from aitp_playground.steps import STEP_TYPES

from .conftest import HELLO, Tree

GOOD = "demo/hello@1.0.0"


async def kept(tree: Tree, template: str | None = None) -> tuple[Any, str, dict[str, Any]]:
    resolved, digest, body = await tree.catalog().kept(GOOD, template)
    return resolved, digest, orjson.loads(body)


async def test_every_shipped_scenario_comes_back_as_it_was() -> None:
    catalog = Catalog([resources.scenarios_dir()], STEP_TYPES)
    scenarios, _ = await catalog.scenarios()
    assert scenarios
    for loaded in scenarios:
        for template in (None, *loaded.templates):
            resolved, _, body = await catalog.kept(loaded.ref, template)
            assert catalog.restored(body) == resolved
            assert resolved == await catalog.resolve(loaded.ref, template)


async def test_the_digest_is_that_of_the_scenario_and_not_of_how_it_is_written(tree: Tree, tmp_path: Path) -> None:
    _, digest, _ = await kept(tree)
    tree.write(HELLO, "# a remark\n" + (tree.root / HELLO).read_text())
    assert (await kept(tree))[1] == digest
    elsewhere = Tree(tmp_path / "elsewhere").sound()
    assert (await kept(elsewhere))[1] == digest
    tree.edit("eager: false", "eager: true")
    assert (await kept(tree))[1] != digest


async def test_a_manifest_or_a_template_makes_another_digest(tree: Tree) -> None:
    _, digest, _ = await kept(tree)
    tree.write(
        "demo/hello/1.0.0/templates/loud.yaml",
        """\
        apiVersion: aitp.dev/v1
        kind: ScenarioTemplate
        metadata: { name: loud }
        spec: { trust: { eager: true } }
        """,
    )
    resolved, loud, document = await kept(tree, "loud")
    assert loud != digest
    assert (document["template"], resolved.scenario.spec.trust.eager) == ("loud", True)
    assert set(document["source"]) == {HELLO, "demo/hello/1.0.0/templates/loud.yaml"}
    tree.edit("[demo.greet]", "[demo.greet, demo.wave]", "_shared/agents/greeter.yaml")
    assert (await kept(tree))[1] != digest


async def test_source_and_marks_say_where_each_value_stood(tree: Tree) -> None:
    _, _, document = await kept(tree)
    text = document["source"][HELLO].splitlines()
    marks = {tuple(path): (file, line) for path, file, line in document["marks"]}
    file, line = marks["spec", "workflow", "steps", 1, "capability"]
    assert (file, text[line - 1].strip()) == (HELLO, "capability: demo.greet")


async def test_what_this_release_cannot_carry_out_is_said(tree: Tree) -> None:
    _, _, document = await kept(tree)
    document["scenario"]["spec"]["workflow"]["steps"][0]["type"] = "of_the_future"
    with pytest.raises(RegistryInvalid, match="cannot carry out what the run was started from"):
        tree.catalog().restored(orjson.dumps(document))
