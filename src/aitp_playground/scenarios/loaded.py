"""A scenario as loaded from its files, and the shapes in which the API shows it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from aitp_playground.errors import RegistryInvalid, TemplateNotFound
from aitp_playground.scenarios.findings import Finding, Marks
from aitp_playground.scenarios.models import AgentManifest, Scenario, ScenarioPack, ScenarioTemplate


@dataclass(frozen=True, slots=True)
class LoadedTemplate:
    """A template and the scenario it makes. ``manifests`` by agent id, ``sources`` by file."""

    template: ScenarioTemplate
    merged: Scenario
    manifests: Mapping[str, AgentManifest]
    marks: Marks
    sources: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class LoadedScenario:
    """A scenario without errors.

    ``broken``: its templates that cannot be used, by file name without suffix. ``agents_root``: see ResolvedScenario.
    ``sources``: the texts it was read from, by the names of their files.
    """

    scenario: Scenario
    manifests: Mapping[str, AgentManifest]
    path: Path
    root: Path
    agents_root: Path
    marks: Marks
    sources: Mapping[str, str]
    templates: Mapping[str, LoadedTemplate] = field(default_factory=dict)
    broken: Mapping[str, list[Finding]] = field(default_factory=dict)

    @property
    def ref(self) -> str:
        """``<pack>/<scenario>@<version>``."""
        return self.scenario.metadata.ref

    def template(self, name: str) -> LoadedTemplate:
        """Raises TemplateNotFound; RegistryInvalid when the file is there and broken."""
        if name in self.templates:
            return self.templates[name]
        if name in self.broken:
            raise invalid(self.broken[name])
        known = ", ".join(sorted(self.templates)) or "none"
        raise TemplateNotFound(f"{self.ref} has no template {name!r} (it has: {known})")

    def describe(self, template: str | None = None) -> dict[str, Any]:
        """The scenario (with ``template`` merged in) as ``GET /scenarios/{ref}`` answers it."""
        scenario = self.scenario if template is None else self.template(template).merged
        shown = described(scenario)
        shown["templates"] = self.describe_templates()
        shown["spec"]["templates"] = [
            {"id": name, "name": name, "description": loaded.template.metadata.summary, "variants": []}
            for name, loaded in sorted(self.templates.items())
        ]
        return shown

    def describe_templates(self) -> list[dict[str, Any]]:
        """``[{"name", "summary"}]``, by name."""
        return [
            {"name": name, "summary": loaded.template.metadata.summary}
            for name, loaded in sorted(self.templates.items())
        ]

    def listed(self) -> dict[str, Any]:
        """``{"ref", "metadata"}``, as ``GET /scenarios`` lists it."""
        return {"ref": self.ref, "metadata": self.scenario.metadata.model_dump(mode="json")}


def described(scenario: Scenario) -> dict[str, Any]:
    """The file's own shape with its defaults; optional keys that were not written are absent from agents and steps."""
    shown = scenario.model_dump(mode="json", by_alias=True)
    spec = shown["spec"]
    spec["agents"] = [_without_absent(agent) for agent in spec["agents"]]
    spec["workflow"]["steps"] = [_without_absent(step) for step in spec["workflow"]["steps"]]
    if scenario.spec.aitp.accepted_identity_types is None:
        del spec["aitp"]
    return shown


def describe_pack(pack: ScenarioPack) -> dict[str, Any]:
    """``{"apiVersion", "kind", "metadata"}``, as ``GET /packs`` lists it."""
    return pack.model_dump(mode="json", by_alias=True)


def invalid(findings: list[Finding]) -> RegistryInvalid:
    """The error that carries ``findings``."""
    first = findings[0]
    more = f" (and {len(findings) - 1} more)" if len(findings) > 1 else ""
    place = f"{first.file}:{first.line}" + (f" {first.field}" if first.field else "")
    return RegistryInvalid(f"{place}: {first.message}{more}", details=[finding.as_detail() for finding in findings])


def _without_absent(shown: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in shown.items() if value is not None}
