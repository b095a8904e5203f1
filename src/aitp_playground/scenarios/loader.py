"""From the files of one scenario version to a :class:`LoadedScenario`, or to everything that is wrong with them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from aitp_playground.resources import agents_dir
from aitp_playground.scenarios.checks import AGENTS, check
from aitp_playground.scenarios.findings import Finding, Marks
from aitp_playground.scenarios.folders import files, real, relative
from aitp_playground.scenarios.loaded import LoadedScenario, LoadedTemplate
from aitp_playground.scenarios.manifests import Manifests
from aitp_playground.scenarios.models import AgentManifest, Scenario, ScenarioTemplate, StepSpec
from aitp_playground.scenarios.nodes import Broken
from aitp_playground.scenarios.shape import Model, dig, shaped_file
from aitp_playground.scenarios.source import Document, read_document
from aitp_playground.scenarios.stamps import Stamp, settled_stamp
from aitp_playground.scenarios.templates import merge

TEMPLATE_SUFFIXES = {".yaml", ".yml"}

StepTypes = Mapping[str, type[StepSpec]]
#: A file beside the templates that does not claim to be one, as a note; the catalog warns of it, lint does not.
LOOSE = "is no ScenarioTemplate, and nothing in it says that it should be: skipped"
_OURS = frozenset({"apiVersion", "kind", "metadata", "spec"})


@dataclass(slots=True)
class Entry:
    """One ``scenario.yaml`` and what came of it. ``missing``: the errors that say an agent's manifest is not there."""

    ref: str
    path: Path
    root: Path
    scenario: LoadedScenario | None = None
    errors: list[Finding] = field(default_factory=list)
    warnings: list[Finding] = field(default_factory=list)
    missing: list[Finding] = field(default_factory=list)
    stamps: dict[Path, Stamp] = field(default_factory=dict)


def load(path: Path, root: Path, step_types: StepTypes, manifests: Manifests) -> Entry:
    """Load ``path`` (``…/<pack>/<scenario>/<version>/scenario.yaml``) and its templates; faults become errors."""
    pack, name, version = path.parts[-4:-1]
    entry = Entry(ref=f"{pack}/{name}@{version}", path=path, root=root, stamps={path: settled_stamp(path)})
    return _Load(entry, step_types, manifests).run()


class _Load:
    def __init__(self, entry: Entry, step_types: StepTypes, manifests: Manifests) -> None:
        self.entry = entry
        self.step_types = step_types
        self.manifests = manifests

    def run(self) -> Entry:
        document = self._document(self.entry.path, self.entry.errors)
        if document is None:
            return self.entry
        self.entry.ref = _ref(document.data) or self.entry.ref
        scenario, findings = self._shape(Scenario, document)
        self.entry.errors += findings
        if scenario is None:
            return self.entry
        agents = self._agents(scenario, document.marks, self.entry.errors)
        self.entry.errors += check(scenario, agents, document.marks)
        templates, broken = self._templates(scenario, document)
        if not self.entry.errors:
            self.entry.scenario = LoadedScenario(
                scenario,
                agents,
                self.entry.path,
                self.entry.root,
                _agents_root(self.entry.root),
                document.marks,
                document.sources,
                templates,
                broken,
            )
        return self.entry

    def _document(self, path: Path, errors: list[Finding]) -> Document | None:
        self.entry.stamps[path] = settled_stamp(path)
        try:
            document = read_document(path, self.entry.root)
        except Broken as broken:
            self.entry.stamps.update(broken.stamps)
            errors.append(broken.finding)
            return None
        self.entry.stamps.update(document.stamps)
        return document

    def _shape(self, model: type[Model], document: Document) -> tuple[Model | None, list[Finding]]:
        return shaped_file(model, document.data, self.step_types, document.marks)

    def _agents(self, scenario: Scenario, marks: Marks, errors: list[Finding]) -> dict[str, AgentManifest]:
        manifests: dict[str, AgentManifest] = {}
        for index, agent in enumerate(scenario.spec.agents):
            found = self.manifests.find(agent.ref, self.entry.root)
            self.entry.stamps.update(found.stamps)
            if found.manifest is not None:
                manifests[agent.id] = found.manifest
                continue
            finding = marks.finding((*AGENTS, index, "ref"), found.message)
            errors.append(finding)
            if found.missing:
                self.entry.missing.append(finding)
        return manifests

    def _templates(
        self, scenario: Scenario, base: Document
    ) -> tuple[dict[str, LoadedTemplate], dict[str, list[Finding]]]:
        folder = self.entry.path.parent / "templates"
        self.entry.stamps[folder] = settled_stamp(folder)
        templates: dict[str, LoadedTemplate] = {}
        broken: dict[str, list[Finding]] = {}
        for path in files(folder, self.entry.root, TEMPLATE_SUFFIXES, self.entry.warnings):
            errors: list[Finding] = []
            name, loaded = self._template(path, scenario, base, errors)
            if loaded is not None and name in templates:
                errors.append(loaded.marks.finding(("metadata", "name"), f"there is another template {name!r}"))
            elif loaded is not None and not errors:
                templates[name] = loaded
            if errors:
                broken[name] = errors
        return templates, broken

    def _template(
        self, path: Path, scenario: Scenario, base: Document, errors: list[Finding]
    ) -> tuple[str, LoadedTemplate | None]:
        document = self._document(path, errors)
        if document is None:
            return path.stem, None
        kind = dig(document.data, ("kind",))
        if kind != "ScenarioTemplate":
            said = "has no kind" if kind is None else f"is of kind {kind!r}"
            message = f"{said}, not ScenarioTemplate: skipped"
            if isinstance(document.data, dict) and not document.data.keys() & _OURS:
                message = LOOSE
            self.entry.warnings.append(Finding(relative(path, self.entry.root), 1, "kind", message, "warning"))
            return path.stem, None
        template, findings = self._shape(ScenarioTemplate, document)
        errors += findings
        if template is None:
            return path.stem, None
        merged = merge(scenario, template)
        sections = [("spec", name) for name in sorted(template.spec.model_fields_set)]
        both = base.marks.overlaid(document.marks, sections)
        agents = self._agents(merged, both, errors)
        errors += check(merged, agents, both)
        return template.metadata.name, LoadedTemplate(template, merged, agents, both, base.sources | document.sources)


def _ref(data: Any) -> str | None:
    parts = [dig(data, ("metadata", name)) for name in ("pack", "scenario", "version")]
    return f"{parts[0]}/{parts[1]}@{parts[2]}" if all(isinstance(part, str) for part in parts) else None


def _agents_root(root: Path) -> Path:
    beside = real(root).parent / "agents"
    return beside if beside.is_dir() else agents_dir()
