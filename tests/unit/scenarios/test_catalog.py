"""The catalog finds, resolves and keeps up with its files."""

from __future__ import annotations

import asyncio
import os
import shutil
import threading
import time
from pathlib import Path

import pytest

from aitp_playground.errors import AgentManifestNotFound, RegistryInvalid, ScenarioNotFound, TemplateNotFound
from aitp_playground.resources import agents_dir
from aitp_playground.scenarios import index as index_module
from aitp_playground.scenarios import loader, source, stamps
from aitp_playground.steps import STEP_TYPES

from .conftest import GREETER, HELLO, SCENARIO, Tree

REF = "demo/hello@1.0.0"
TEMPLATE = """\
apiVersion: aitp.dev/v1
kind: ScenarioTemplate
metadata: { name: open, summary: Trust from the start }
spec:
  trust: { eager: true }
"""
OPEN = "demo/hello/1.0.0/templates/open.yaml"


async def test_a_ref_resolves_to_the_scenario_and_the_manifest_of_each_agent(tree: Tree) -> None:
    resolved = await tree.catalog().resolve(REF)
    assert (resolved.ref, resolved.template) == (REF, None)
    assert {agent: m.metadata.id for agent, m in resolved.manifests.items()} == {"host": "greeter", "guest": "greeter"}


async def test_a_step_without_type_is_workflow_with_agent_and_capability_and_meta_otherwise(tree: Tree) -> None:
    tree.edit("type: handshake\n        initiator: guest\n        responder: host", "description: nothing")
    tree.edit("type: capability_probe\n        ", "")
    tree.edit("        target_agent: host\n", "")
    resolved = await tree.catalog().resolve(REF)
    assert [step.type for step in resolved.scenario.spec.workflow.steps] == ["meta", "workflow"]


@pytest.mark.parametrize("ref", ["demo/hello@9", "", "../demo/hello@1.0.0", "_shared/agents@x", "\0"])
async def test_an_unknown_ref_is_not_found(tree: Tree, ref: str) -> None:
    with pytest.raises(ScenarioNotFound):
        await tree.catalog().resolve(ref)


async def test_a_template_is_merged_and_an_unknown_one_not_found(tree: Tree) -> None:
    tree.write(OPEN, TEMPLATE)
    catalog = tree.catalog()
    resolved = await catalog.resolve(REF, "open")
    assert (resolved.template, resolved.scenario.spec.trust.eager) == ("open", True)
    assert not (await catalog.resolve(REF)).scenario.spec.trust.eager
    with pytest.raises(TemplateNotFound, match="open"):
        await catalog.resolve(REF, "shut")


async def test_a_broken_template_spares_its_scenario(tree: Tree) -> None:
    tree.write(OPEN, TEMPLATE.replace("eager", "eagre"))
    catalog = tree.catalog()
    scenarios, errors = await catalog.scenarios()
    assert [scenario.ref for scenario in scenarios] == [REF]
    assert [(error.file, error.line) for error in errors] == [(OPEN, 5)]
    await catalog.resolve(REF)
    with pytest.raises(RegistryInvalid):
        await catalog.resolve(REF, "open")


async def test_what_a_template_makes_of_its_scenario_is_checked_too(tree: Tree) -> None:
    steps = "  workflow: { steps: [{ id: a, type: handshake, initiator: host, responder: gust }] }\n"
    tree.write(OPEN, TEMPLATE + steps)
    (error,) = (await tree.catalog().scenarios())[1]
    assert (error.file, error.line, error.field) == (OPEN, 6, "spec.workflow.steps.0.responder")


async def test_a_file_of_another_kind_among_the_templates_is_passed_over_with_a_warning(tree: Tree) -> None:
    tree.write("demo/hello/1.0.0/templates/default.yaml", "name: you\n")
    tree.write("demo/hello/1.0.0/templates/README.md", "# Templates\n")
    catalog = tree.catalog()
    assert (await catalog.scenarios())[1] == []
    (warning,) = await catalog.warnings()
    assert warning.file == "demo/hello/1.0.0/templates/default.yaml"
    assert warning.level == "warning"


async def test_an_edit_is_seen_at_once_even_when_size_and_clock_tick_stay_the_same(tree: Tree) -> None:
    catalog = tree.catalog()
    not_settled = time.time_ns() + 3600 * 10**9
    for version in "abc":
        path = tree.write(HELLO, SCENARIO.replace("name: Hello", f"name: Hell{version}"))
        os.utime(path, ns=(not_settled, not_settled))
        assert (await catalog.resolve(REF)).scenario.metadata.name == f"Hell{version}"


async def test_new_and_removed_files_are_seen_at_once(tree: Tree) -> None:
    catalog = tree.catalog()
    await catalog.resolve(REF)
    tree.write("demo/bye/1.0.0/scenario.yaml", SCENARIO.replace("scenario: hello", "scenario: bye"))
    await catalog.resolve("demo/bye@1.0.0")
    assert [scenario.ref for scenario in (await catalog.scenarios())[0]] == ["demo/bye@1.0.0", REF]
    shutil.rmtree(tree.root / "demo" / "hello")
    with pytest.raises(ScenarioNotFound):
        await catalog.resolve(REF)


async def test_a_new_a_changed_and_a_removed_template_are_seen_at_once(tree: Tree) -> None:
    catalog = tree.catalog()
    await catalog.resolve(REF)
    tree.write(OPEN, TEMPLATE)
    assert (await catalog.resolve(REF, "open")).scenario.spec.trust.eager
    tree.write(OPEN, TEMPLATE.replace("true", "false"))
    assert not (await catalog.resolve(REF, "open")).scenario.spec.trust.eager
    (tree.root / OPEN).unlink()
    with pytest.raises(TemplateNotFound):
        await catalog.resolve(REF, "open")


async def test_a_manifest_and_an_include_are_watched_too(tree: Tree) -> None:
    tree.edit("    eager: false\n", "    !include trust.yaml\n")
    catalog = tree.catalog()
    with pytest.raises(RegistryInvalid):
        await catalog.resolve(REF)
    tree.write("demo/hello/1.0.0/trust.yaml", "eager: true\n")
    assert (await catalog.resolve(REF)).scenario.spec.trust.eager
    (tree.root / "_shared/agents/greeter.yaml").unlink()
    with pytest.raises(AgentManifestNotFound):
        await catalog.resolve(REF)
    tree.write("_shared/agents/greeter.yaml", GREETER.replace("1.0.0", "2.0.0"))
    assert (await catalog.resolve(REF)).manifests["host"].metadata.version == "2.0.0"


async def test_an_unchanged_scenario_is_never_parsed_again(tree: Tree, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stamps, "_CLOCK_TICK_NS", 0)
    catalog = tree.catalog()
    first = await catalog.resolve(REF)
    await catalog.packs()

    def refuse(*_: object) -> None:
        raise AssertionError("a file was read again")

    monkeypatch.setattr(source._Reader, "read", refuse)
    assert (await catalog.resolve(REF)).scenario is first.scenario
    assert len((await catalog.scenarios())[0]) == 1


async def test_the_first_root_that_has_a_ref_wins_also_when_it_comes_later(tree: Tree, tmp_path: Path) -> None:
    mine = Tree(tmp_path / "mine")
    mine.root.mkdir()
    catalog = mine.catalog(tree.root)
    assert (await catalog.resolve(REF)).scenario.metadata.name == "Hello"
    mine.write(HELLO, SCENARIO.replace("name: Hello", "name: Mine"))
    assert (await catalog.resolve(REF)).scenario.metadata.name == "Mine"
    scenarios, errors = await catalog.scenarios()
    assert [scenario.scenario.metadata.name for scenario in scenarios] == ["Mine"]
    assert errors == []


async def test_two_files_with_one_ref_in_one_root_are_an_error_of_the_second(tree: Tree) -> None:
    tree.write("demo/other/1.0.0/scenario.yaml", SCENARIO)
    scenarios, (error,) = await tree.catalog().scenarios()
    assert [scenario.path.parts[-3] for scenario in scenarios] == ["hello"]
    assert error.file == "demo/other/1.0.0/scenario.yaml"


async def test_workers_come_from_beside_the_scenarios_directory_or_else_the_shipped_ones(tree: Tree) -> None:
    assert (await tree.catalog().resolve(REF)).agents_root == tree.root.parent / "agents"
    shutil.rmtree(tree.root.parent / "agents")
    assert (await tree.catalog().resolve(REF)).agents_root == agents_dir()


async def test_directories_set_apart_by_an_underscore_are_no_packs(tree: Tree) -> None:
    tree.write("_drafts/hello/1.0.0/scenario.yaml", SCENARIO.replace("pack: demo", "pack: drafts"))
    tree.write("_drafts/pack.yaml", "kind: ScenarioPack")
    catalog = tree.catalog()
    assert [pack.metadata.slug for pack in await catalog.packs()] == ["demo"]
    assert len((await catalog.scenarios())[0]) == 1


async def test_a_scenarios_directory_that_is_not_there_is_empty(tmp_path: Path) -> None:
    assert await Tree(tmp_path / "nowhere").catalog().scenarios() == ([], [])


async def test_callers_at_the_same_time_share_one_look_in_a_thread(tree: Tree, monkeypatch: pytest.MonkeyPatch) -> None:
    loads: list[int] = []

    def counted(*arguments: object) -> object:
        loads.append(threading.get_ident())
        return loader.load(*arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(index_module, "load", counted)
    catalog = tree.catalog()
    await asyncio.gather(*(catalog.scenarios() for _ in range(50)))
    # The first began the moment it came; all others came before the second began.
    assert len(loads) <= 2
    assert threading.get_ident() not in loads


def test_a_look_in_progress_hides_nothing_that_the_last_one_found(tree: Tree, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stamps, "_CLOCK_TICK_NS", 0)
    index = index_module.Index([tree.root], STEP_TYPES)
    index.scan()
    seen: list[object] = []

    def watched(*arguments: object) -> object:
        seen.append(index.known(REF))
        return loader.load(*arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(index_module, "load", watched)
    tree.write("demo/bye/1.0.0/scenario.yaml", SCENARIO.replace("scenario: hello", "scenario: bye"))
    index.scan()
    assert len(seen) == 1
    assert seen[0] is not None


async def test_a_cancelled_caller_leaves_the_catalog_usable(tree: Tree, monkeypatch: pytest.MonkeyPatch) -> None:
    entered, leave = threading.Event(), threading.Event()
    real = loader.load

    def slow(*arguments: object) -> object:
        entered.set()
        leave.wait(10)
        return real(*arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(index_module, "load", slow)
    catalog = tree.catalog()
    task = asyncio.create_task(catalog.resolve(REF))
    await asyncio.to_thread(entered.wait, 10)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    leave.set()
    assert (await catalog.resolve(REF)).ref == REF
