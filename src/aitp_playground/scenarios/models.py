"""The scenario file kinds as pydantic models (``apiVersion: aitp.dev/v1``). Unknown keys are errors.

A step's own model comes from the step types (:mod:`aitp_playground.steps`); here is only what all steps share.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    SerializeAsAny,
    TypeAdapter,
    UrlConstraints,
    ValidationError,
    field_validator,
    model_validator,
)
from pydantic_core import Url

from aitp_playground.scenarios.expectations import Expectation
from aitp_playground.scenarios.strict import Strict, Text

API_VERSION = "aitp.dev/v1"
#: One part of a ref, and every id in a scenario.
NAME_PATTERN = r"^[a-z0-9][a-z0-9._-]*$"

Name = Annotated[Text, Field(pattern=NAME_PATTERN, max_length=128)]
Capability = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$", max_length=128)]


class AgentRef:
    """Marks a step field (or each entry of a list field) that names an agent of the scenario."""


class StepRef:
    """Marks a step field (or each entry of a list field) that names an earlier step."""


AgentId = Annotated[Text, Field(min_length=1, max_length=128), AgentRef()]
StepId = Annotated[Text, Field(min_length=1, max_length=128), StepRef()]


# -- agents ------------------------------------------------------------------------------------------------------------


#: Normalised as the protocol library does it.
_ISSUER: TypeAdapter[Url] = TypeAdapter(Annotated[Url, UrlConstraints(allowed_schemes=["https"], max_length=300)])


class Entrypoint(Strict):
    """What to run: a module (``researcher.main``) or a file below the agents directory."""

    type: Literal["python_module", "python_file"]
    value: str = Field(min_length=1)


class HostSpec(Strict):
    """How to run it. ``cwd`` is relative to the agents directory's parent; ``env`` is all the worker gets beside the
    fixed names of :mod:`aitp_playground.hosting.contract`."""

    python: str | None = None
    cwd: str | None = None
    startup_timeout_ms: int = Field(default=30_000, alias="startupTimeoutMs", ge=1, le=600_000)
    env: Mapping[str, Text] = Field(default_factory=dict)


class AgentAitp(Strict):
    """The agent's protocol face. ``ttl_secs`` is the manifest's life; a TCT lives 3600 s at most.

    ``redelegation``: how often a token that was redeemed at this agent may be delegated on.
    """

    offered_caps: tuple[Capability, ...] = Field(min_length=1)
    display_name: Text = Field(min_length=1, max_length=128)
    identity_type: Literal["pinned_key", "oidc"] = "pinned_key"
    oidc_issuer: str | None = None
    oidc_subject: Text | None = Field(default=None, min_length=1, max_length=128)
    signing_suite: Literal["ed25519", "p256"] = "ed25519"
    ttl_secs: int = Field(default=3600, ge=60, le=604_800)
    redelegation: int = Field(default=0, ge=0, le=2)

    @model_validator(mode="after")
    def _oidc_is_whole(self) -> AgentAitp:
        if self.identity_type == "oidc" and not (self.oidc_issuer and self.oidc_subject):
            raise ValueError("identity_type oidc needs oidc_issuer and oidc_subject")
        if self.identity_type != "oidc" and (self.oidc_issuer or self.oidc_subject):
            raise ValueError("oidc_issuer and oidc_subject go with identity_type oidc")
        return self

    @field_validator("oidc_issuer")
    @classmethod
    def _issuer_is_normal(cls, value: str | None) -> str | None:
        """As agents compare it: with its slash, its host in lower case, and no port that goes without saying."""
        if value is None:
            return None
        try:
            return str(_ISSUER.validate_python(value))
        except ValidationError:
            raise ValueError("not an https URL") from None


class AgentManifestSpec(Strict):
    """``spec`` of an AgentManifest."""

    entrypoint: Entrypoint
    host: HostSpec = HostSpec()
    aitp: AgentAitp
    did_web: bool = False
    #: The worker asks for the operator's language model settings, key included.
    llm: bool = False


class AgentManifestMetadata(Strict):
    """``metadata`` of an AgentManifest."""

    id: Name
    name: Text
    framework: Literal["crewai", "langchain", "langgraph", "custom"]
    version: Text


class AgentManifest(Strict):
    """``_shared/agents/<name>.yaml``: how to launch an agent and what it offers."""

    api_version: Literal["aitp.dev/v1"] = Field(alias="apiVersion")
    kind: Literal["AgentManifest"]
    metadata: AgentManifestMetadata
    spec: AgentManifestSpec


class AgentSpec(Strict):
    """An agent in a scenario. ``ref`` is ``_shared/agents/<name>``."""

    id: Name
    ref: str
    port_offset: int = Field(default=0, ge=0, le=1000)
    org: Literal["internal", "external"] = "internal"
    cloud: Text | None = None
    did_web_host: str | None = Field(default=None, pattern=r"^[A-Za-z0-9.-]+(:\d{1,5})?$", max_length=253)
    signing_suite: Literal["ed25519", "p256"] | None = None


# -- trust, steps ------------------------------------------------------------------------------------------------------


class TrustSpec(Strict):
    """The trust posture. ``eager``: every pair shakes hands before the workflow, both ways."""

    boundary: Literal["intra_org", "cross_org", "cross_cloud"] = "intra_org"
    discovery: Literal["static", "did_web", "cp_registry"] = "static"
    eager: bool = True


class Fault(Strict):
    """A fault to inject into one step: the caller is given a URL that really fails."""

    kind: Literal["manifest_404", "peer_offline"]
    note: Text | None = None


class StepSpec(Strict):
    """What every step has. ``type`` is narrowed to a Literal by each step type.

    ``on_mismatch: record`` lets the run go on when ``expect_status`` is not met. ``timeout_ms`` bounds the step.
    """

    #: Faults this step type takes.
    faultable: ClassVar[bool] = False
    #: Its expectations look at the events of the whole run so far, not only at its own.
    looks_back: ClassVar[bool] = False

    id: Name
    type: str
    description: Text | None = None
    expect: tuple[Expectation, ...] = ()
    requires: tuple[StepId, ...] = ()
    on_mismatch: Literal["fail", "record"] = "fail"
    fault: Fault | None = None
    timeout_ms: int | None = Field(default=None, ge=1, le=600_000)


class InputsSpec(Strict):
    """``schema`` is a JSON Schema (draft 2020-12) of an object; its defaults are filled in before validation."""

    json_schema: Mapping[str, Any] = Field(default_factory=lambda: {"type": "object"}, alias="schema")


class Workflow(Strict):
    """The ordered steps."""

    steps: tuple[SerializeAsAny[StepSpec], ...] = ()


class AitpPolicy(Strict):
    """What the agents of a scenario accept of each other. ``None``: every identity type that occurs in the scenario."""

    accepted_identity_types: tuple[Literal["pinned_key", "oidc"], ...] | None = Field(default=None, min_length=1)


class ScenarioSpec(Strict):
    """``spec`` of a ScenarioVersion."""

    inputs: InputsSpec = InputsSpec()
    agents: tuple[AgentSpec, ...] = Field(min_length=1)
    trust: TrustSpec = TrustSpec()
    workflow: Workflow = Workflow()
    aitp: AitpPolicy = AitpPolicy()


class ScenarioMetadata(Strict):
    """``metadata`` of a ScenarioVersion; the ref is ``<pack>/<scenario>@<version>``."""

    pack: Name
    scenario: Name
    version: Name
    name: Text
    summary: Text = ""
    tags: tuple[Text, ...] = ()

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

    slug: Name
    name: Text
    description: Text = ""
    tags: tuple[Text, ...] = ()


class ScenarioPack(Strict):
    """``<pack>/pack.yaml``."""

    api_version: Literal["aitp.dev/v1"] = Field(alias="apiVersion")
    kind: Literal["ScenarioPack"]
    metadata: PackMetadata


class TemplateMetadata(Strict):
    """``metadata`` of a ScenarioTemplate."""

    name: Name
    summary: Text = ""


class TemplateSpec(Strict):
    """What a template changes: the fields of ``trust`` that it writes; ``agents`` and ``workflow`` as a whole."""

    trust: TrustSpec | None = None
    agents: tuple[AgentSpec, ...] | None = Field(default=None, min_length=1)
    workflow: Workflow | None = None


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
