"""Controls: shipped scenarios with the mechanism they demonstrate switched off, and the agents that do without it."""

from __future__ import annotations

import copy
import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from aitp_playground import resources
from tests.support.playground import VARIANTS, Outcome

SHIPPED = resources.scenarios_dir()
Document = dict[str, Any]

#: Manifest of a variant -> the shipped manifest it is a variant of, and its module.
VARIANT_AGENTS = {
    "open-writer": ("writer", "open_writer.main"),
    "unlisted-writer": ("writer", "unlisted_writer.main"),
    "listless-writer": ("writer", "listless_writer.main"),
    "forgetful-writer": ("writer", "forgetful_writer.main"),
    "unlinked-writer": ("writer", "unlinked_writer.main"),
    "pleading-writer": ("writer", "pleading_writer.main"),
    "sticky-writer": ("writer", "sticky_writer.main"),
    "listblind-writer": ("writer", "listblind_writer.main"),
    "tampering-researcher": ("researcher", "tampering_researcher.main"),
    "misled-writer": ("writer", "misled_writer.main"),
    "deaf-researcher": ("researcher", "deaf_researcher.main"),
    "backdating-writer": ("writer", "backdating_writer.main"),
    "doling-writer": ("writer", "doling_writer.main"),
    "incurious-writer": ("writer", "incurious_writer.main"),
    "lavish-writer": ("writer", "lavish_writer.main"),
    "lavish-researcher": ("researcher-extended", "lavish_researcher.main"),
    "altered-researcher": ("researcher", "altered_researcher.main"),
}


@dataclass(frozen=True, slots=True)
class Control:
    """A shipped scenario with the mechanism it demonstrates switched off by ``edit``; the run must fail at ``at``."""

    name: str
    ref: str
    at: str
    edit: Callable[[Document], None]
    template: str | None = None


def step(document: Document, step_id: str) -> Document:
    found: Document = next(one for one in document["spec"]["workflow"]["steps"] if one["id"] == step_id)
    return found


def without(step_id: str, *keys: str) -> Callable[[Document], None]:
    def edit(document: Document) -> None:
        for key in keys:
            del step(document, step_id)[key]

    return edit


def widened(step_id: str, capability: str) -> Callable[[Document], None]:
    def edit(document: Document) -> None:
        step(document, step_id)["scope"].append(capability)

    return edit


def with_agent(agent_id: str, manifest: str) -> Callable[[Document], None]:
    def edit(document: Document) -> None:
        agent = next(one for one in document["spec"]["agents"] if one["id"] == agent_id)
        agent["ref"] = f"_shared/agents/{manifest}"

    return edit


def remarked(step_id: str) -> Callable[[Document], None]:
    """The step is only talked about."""

    def edit(document: Document) -> None:
        found = step(document, step_id)
        found.clear()
        found |= {"id": step_id, "type": "meta", "description": "left out"}

    return edit


def shipped_directory(ref: str) -> Path:
    pack, _, rest = ref.partition("/")
    scenario, _, version = rest.partition("@")
    return SHIPPED / pack / scenario / version


def write_control(root: Path, number: int, control: Control) -> str:
    """Store an edited copy of a shipped scenario; its ref."""
    document = yaml.safe_load((shipped_directory(control.ref) / "scenario.yaml").read_text())
    if control.template is not None:
        template = yaml.safe_load((shipped_directory(control.ref) / f"templates/{control.template}.yaml").read_text())
        document["spec"]["trust"] = {**document["spec"].get("trust", {}), **template["spec"].get("trust", {})}
        document["spec"] |= {key: value for key, value in template["spec"].items() if key != "trust"}
    before = copy.deepcopy(document)
    control.edit(document)
    assert document != before, "a control must differ from what it controls"
    document["metadata"] |= {"pack": "control", "scenario": f"control-{number}"}
    directory = root / "control" / f"control-{number}" / document["metadata"]["version"]
    directory.mkdir(parents=True)
    (directory / "scenario.yaml").write_text(yaml.safe_dump(document))
    return f"control/control-{number}@{document['metadata']['version']}"


def write_variant(root: Path, original: str, name: str, module: str, **env: str) -> None:
    """The manifest ``name``: as the shipped ``original``, with another worker and an environment of its own."""
    manifest = yaml.safe_load((SHIPPED / f"_shared/agents/{original}.yaml").read_text())
    manifest["metadata"]["id"] = name
    manifest["spec"]["entrypoint"]["value"] = module
    manifest["spec"]["host"].pop("cwd", None)
    manifest["spec"]["host"]["env"] = env
    (root / f"_shared/agents/{name}.yaml").write_text(yaml.safe_dump(manifest))


def write_controls(base: Path, edited: Sequence[Control]) -> tuple[Path, dict[str, str]]:
    """A scenarios directory with every control, beside the shipped manifests, their variants and the variants' code;
    and the refs by the controls' names."""
    root = base / "scenarios"
    shutil.copytree(SHIPPED / "_shared", root / "_shared")
    shutil.copytree(VARIANTS / "agents", base / "agents")
    for name, (original, module) in VARIANT_AGENTS.items():
        write_variant(root, original, name, module)
    refs = {control.name: write_control(root, number, control) for number, control in enumerate(edited)}
    pack = {"apiVersion": "aitp.dev/v1", "kind": "ScenarioPack", "metadata": {"slug": "control", "name": "Controls"}}
    (root / "control/pack.yaml").write_text(yaml.safe_dump(pack))
    return root, refs


def every_step_ends_once(outcome: Outcome) -> bool:
    ends: dict[str, int] = {}
    for event in outcome.events:
        if event.type in {"step.complete", "step.skipped", "step.failed"}:
            ends[event.get("step_id")] = ends.get(event.get("step_id"), 0) + 1
    started = {event.get("step_id") for event in outcome.of("step.started")}
    return started == set(ends) and set(ends.values()) <= {1}
