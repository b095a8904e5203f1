"""The scenario file kinds as pydantic models (``apiVersion: aitp.dev/v1``). Unknown keys are errors.

A step's own model comes from the step types (:mod:`aitp_playground.steps`); here is only what all steps share.
Docstrings of models and descriptions of fields are what an editor shows
(:mod:`aitp_playground.scenarios.file_schema`).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, ClassVar, Literal

from pydantic import BaseModel, ConfigDict, Field, SerializeAsAny

from aitp_playground.scenarios.expectations import Expectation
from aitp_playground.scenarios.findings import KeyPath
from aitp_playground.scenarios.manifest_models import AgentManifest
from aitp_playground.scenarios.names import (
    API_VERSION,
    NAME_PATTERN,
    AgentId,
    AgentRef,
    Capability,
    Name,
    StepId,
    StepRef,
)
from aitp_playground.scenarios.strict import Strict, Text

__all__ = [
    "API_VERSION",
    "NAME_PATTERN",
    "AgentId",
    "AgentManifest",
    "AgentRef",
    "Capability",
    "Name",
    "StepId",
    "StepRef",
]


class AgentSpec(Strict):
    """An agent in a scenario."""

    id: Name = Field(description="the name by which steps, events and outputs speak of it")
    ref: str = Field(description="`_shared/agents/<name>`, its manifest")
    port_offset: int = Field(
        default=0,
        ge=0,
        le=1000,
        description="added to AGENT_BASE_PORT when that port is free; nothing may rely on the number",
    )
    org: Literal["internal", "external"] = Field(
        default="internal",
        description="`external`: keys in a namespace of their own, and it is subject to `cp_registry` discovery",
    )
    cloud: Text | None = Field(default=None, description="a label")
    did_web_host: str | None = Field(
        default=None,
        pattern=r"^[A-Za-z0-9.-]+(:[0-9]{1,5})?$",
        max_length=253,
        description="the host of its `did:web`; it serves a DID document then",
    )
    signing_suite: Literal["ed25519", "p256"] | None = Field(
        default=None, description="when not written, its manifest's"
    )


# -- trust, steps ------------------------------------------------------------------------------------------------------


class TrustSpec(Strict):
    """The trust posture."""

    boundary: Literal["intra_org", "cross_org", "cross_cloud"] = Field(
        default="intra_org", description="what the agents' trust crosses; told in their events"
    )
    discovery: Literal["static", "did_web", "cp_registry"] = Field(
        default="static",
        description="how peers are found: where they were launched, by their DID documents, in a registry",
    )
    eager: bool = Field(default=True, description="every pair shakes hands before the first step, both ways")


class Fault(Strict):
    """A fault to inject into one step: the caller is given a URL that really fails."""

    kind: Literal["manifest_404", "peer_offline"] = Field(
        description="a path where no manifest is, or a port that refuses connections"
    )
    note: Text | None = Field(default=None, description="a remark")


class StepSpec(Strict):
    """What every step has. ``type`` is narrowed to a Literal by each step type."""

    #: Faults this step type takes.
    faultable: ClassVar[bool] = False
    #: Its expectations look at the events of the whole run so far, not only at its own.
    looks_back: ClassVar[bool] = False

    id: Name = Field(description="unique; the step's output is `outputs.<id>`")
    type: str
    description: Text | None = Field(default=None, description="a remark")
    expect: tuple[Expectation, ...] = Field(
        default=(), description="checks of the output and of events; what does not hold fails the run"
    )
    requires: tuple[StepId, ...] = Field(
        default=(),
        description=(
            "earlier steps; when one was skipped, for whatever reason, or the Control Plane did not do its part of it, "
            "this step is skipped as unproven"
        ),
    )
    on_mismatch: Literal["fail", "record"] = Field(
        default="fail", description="`record`: an unmet `expect_status` does not end the run"
    )
    fault: Fault | None = Field(default=None, description="a fault to inject")
    timeout_ms: int | None = Field(default=None, ge=1, le=600_000, description="a bound on the step, in place of 30 s")

    def doubts(self, manifests: Mapping[str, AgentManifest]) -> Iterator[tuple[KeyPath, str]]:  # noqa: ARG002
        """Why it cannot do what it says, with the place in the step; for lint. ``manifests``: by agent id."""
        return iter(())


class InputsSpec(Strict):
    """What a run may be given."""

    json_schema: Mapping[str, Any] = Field(
        default_factory=lambda: {"type": "object"},
        alias="schema",
        description="a JSON Schema (draft 2020-12) of an object; its defaults are filled in before validation",
    )


class Workflow(Strict):
    """The ordered steps."""

    steps: tuple[SerializeAsAny[StepSpec], ...] = Field(default=(), description="done one after another")


class AitpPolicy(Strict):
    """What the agents of a scenario accept of each other."""

    accepted_identity_types: tuple[Literal["pinned_key", "oidc"], ...] | None = Field(
        default=None, min_length=1, description="when not written, every type that an agent of the scenario has"
    )


class ScenarioSpec(Strict):
    """``spec`` of a ScenarioVersion."""

    inputs: InputsSpec = InputsSpec()
    agents: tuple[AgentSpec, ...] = Field(
        min_length=1, description="the order matters where the first agent that offers something is called"
    )
    trust: TrustSpec = TrustSpec()
    workflow: Workflow = Workflow()
    aitp: AitpPolicy = AitpPolicy()


class ScenarioMetadata(Strict):
    """``metadata`` of a ScenarioVersion; the ref is ``<pack>/<scenario>@<version>``."""

    pack: Name = Field(description="as its directory; `<pack>/<scenario>@<version>` is its ref")
    scenario: Name = Field(description="as its directory")
    version: Name = Field(description="as its directory; in quotes where it would be a number")
    name: Text = Field(description="for people")
    summary: Text = Field(default="", description="what it shows, in a sentence")
    tags: tuple[Text, ...] = Field(default=(), description="words to find it by")

    @property
    def ref(self) -> str:
        """``<pack>/<scenario>@<version>``."""
        return f"{self.pack}/{self.scenario}@{self.version}"


class Scenario(Strict):
    """``<pack>/<scenario>/<version>/scenario.yaml``, possibly with a template merged in."""

    api_version: Literal["aitp.dev/v1"] = Field(alias="apiVersion")
    kind: Literal["ScenarioVersion"]
    metadata: ScenarioMetadata
    spec: ScenarioSpec


class PackMetadata(Strict):
    """``metadata`` of a ScenarioPack."""

    slug: Name = Field(description="as its directory")
    name: Text = Field(description="for people")
    description: Text = Field(default="", description="what is in it")
    tags: tuple[Text, ...] = Field(default=(), description="words to find it by")


class ScenarioPack(Strict):
    """``<pack>/pack.yaml``."""

    api_version: Literal["aitp.dev/v1"] = Field(alias="apiVersion")
    kind: Literal["ScenarioPack"]
    metadata: PackMetadata


class TemplateMetadata(Strict):
    """``metadata`` of a ScenarioTemplate."""

    name: Name = Field(description="by which a run asks for it")
    summary: Text = Field(default="", description="what it changes, in a sentence")


class TemplateSpec(Strict):
    """What a template changes."""

    trust: TrustSpec | None = Field(default=None, description="the fields that are written, in place of the scenario's")
    agents: tuple[AgentSpec, ...] | None = Field(default=None, min_length=1, description="in place of all agents")
    workflow: Workflow | None = Field(default=None, description="in place of all steps")


class ScenarioTemplate(Strict):
    """``<pack>/<scenario>/<version>/templates/<name>.yaml``."""

    api_version: Literal["aitp.dev/v1"] = Field(alias="apiVersion")
    kind: Literal["ScenarioTemplate"]
    metadata: TemplateMetadata
    spec: TemplateSpec = TemplateSpec()


class ResolvedScenario(BaseModel):
    """What a run needs: the (merged) scenario and the manifest of each of its agents, by agent id.

    ``agents_root``: the directory first on its workers' path: ``agents`` beside the scenarios directory it came from
    when there is one, else the shipped agents. ``host.cwd`` and ``python_file`` entrypoints are relative to its parent.
    """

    model_config = ConfigDict(frozen=True, arbitrary_types_allowed=True)

    ref: str
    template: str | None = None
    scenario: Scenario
    manifests: Mapping[str, AgentManifest]
    agents_root: Path

    def did_web_host(self, agent: AgentSpec) -> str | None:
        """The host in that agent's ``did:web``: the scenario's word, else this machine if its manifest has one."""
        own = "localhost" if self.manifests[agent.id].spec.did_web else None
        return agent.did_web_host or own
