"""``kind: AgentManifest``: how an agent is started, and who it is to others."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Annotated, Literal

from pydantic import ConfigDict, Field, TypeAdapter, UrlConstraints, ValidationError, field_validator, model_validator
from pydantic_core import Url

from aitp_playground.scenarios.names import Capability, Name
from aitp_playground.scenarios.strict import Strict, Text

#: Normalised as the protocol library does it.
_ISSUER: TypeAdapter[Url] = TypeAdapter(Annotated[Url, UrlConstraints(allowed_schemes=["https"], max_length=300)])
#: A reader of URLs passes over some of these, and two that look alike would be one.
_CONTROLS = re.compile(r"[\x00-\x1f\x7f]")


class Entrypoint(Strict):
    """What to run."""

    type: Literal["python_module", "python_file"] = Field(description="what `value` is")
    value: str = Field(min_length=1, description="`researcher.main`, or a file below the agents directory's parent")


class HostSpec(Strict):
    """How to run it."""

    python: str | None = Field(
        default=None, description="an interpreter of its own; `python` and `python3` are the playground's"
    )
    cwd: str | None = Field(default=None, description="working directory, relative to the agents directory's parent")
    startup_timeout_ms: int = Field(
        default=30_000,
        alias="startupTimeoutMs",
        ge=1,
        le=600_000,
        description="how long it may take to say that it is ready",
    )
    env: Mapping[str, Text] = Field(
        default_factory=dict, description="the only environment that it gets beside a few fixed names"
    )


class AgentAitp(Strict):
    """Who it is to others."""

    model_config = ConfigDict(
        json_schema_extra={
            "if": {"required": ["identity_type"], "properties": {"identity_type": {"const": "oidc"}}},
            "then": {
                "required": ["oidc_issuer", "oidc_subject"],
                "properties": {
                    "oidc_issuer": {"type": "string", "pattern": r"^ *[Hh][Tt][Tt][Pp][Ss]:[/\\]*[^/\\\s]"},
                    "oidc_subject": {"type": ["string", "integer"]},
                },
            },
            "else": {"properties": {"oidc_issuer": {"type": "null"}, "oidc_subject": {"type": "null"}}},
        }
    )

    offered_caps: tuple[Capability, ...] = Field(min_length=1, description="its capabilities")
    display_name: Text = Field(min_length=1, max_length=128, description="its name in its AITP manifest")
    identity_type: Literal["pinned_key", "oidc"] = Field(
        default="pinned_key", description="by what others know it: its key, or the word of an issuer"
    )
    oidc_issuer: str | None = Field(
        default=None, description="an https URL: a name and no address, for each run has an issuer of its own under it"
    )
    oidc_subject: Text | None = Field(
        default=None, min_length=1, max_length=128, description="what that issuer calls it"
    )
    signing_suite: Literal["ed25519", "p256"] = Field(default="ed25519", description="what its key is of")
    ttl_secs: int = Field(
        default=3600,
        ge=60,
        le=604_800,
        description="life of its AITP manifest, which no token of its outlives; a handshake's lives 3600 s at most",
    )
    redelegation: int = Field(
        default=0,
        ge=0,
        le=2,
        description="how often what was redeemed at this agent may be delegated on; beyond that there is no voucher",
    )

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
        if _CONTROLS.search(value):
            raise ValueError("an https URL has no control characters")
        try:
            return str(_ISSUER.validate_python(value))
        except ValidationError:
            raise ValueError("not an https URL") from None


class AgentManifestSpec(Strict):
    """``spec`` of an AgentManifest."""

    entrypoint: Entrypoint
    host: HostSpec = HostSpec()
    aitp: AgentAitp
    did_web: bool = Field(
        default=False, description="it serves a DID document, under the scenario's `did_web_host` or else `localhost`"
    )
    #: With the operator's key.
    llm: bool = Field(default=False, description="it is given the language model's settings, where one is configured")


class AgentManifestMetadata(Strict):
    """``metadata`` of an AgentManifest."""

    id: Name = Field(description="as its file")
    name: Text = Field(description="for people")
    framework: Literal["crewai", "langchain", "langgraph", "custom"] = Field(description="what it is made with")
    version: Text = Field(description="its version; in quotes where it would be a number")


class AgentManifest(Strict):
    """``_shared/agents/<name>.yaml``: how to launch an agent and what it offers."""

    api_version: Literal["aitp.dev/v1"] = Field(alias="apiVersion")
    kind: Literal["AgentManifest"]
    metadata: AgentManifestMetadata
    spec: AgentManifestSpec
