"""From a scenario's agent to a launch: seed, tokens, bootstrap document, entrypoint."""

from __future__ import annotations

import socket
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

from aitp_playground.config import Settings
from aitp_playground.hosting.bootstrap import Bootstrap, ControlPlane, LanguageModel, Telemetry, mint_token
from aitp_playground.hosting.contract import LaunchSpec
from aitp_playground.hosting.keys import derive_seed
from aitp_playground.hosting.launches import launch_of, revocation_of
from aitp_playground.runs.id_tokens import PATH, RunIssuer
from aitp_playground.runs.services import RunServices
from aitp_playground.scenarios.models import AgentSpec, ResolvedScenario
from aitp_playground.store.port import RunHeader


@dataclass(frozen=True, slots=True)
class AgentLaunch:
    """One agent about to be launched. The tokens are secret; the agent itself keeps only a hash of the admin token."""

    launch: LaunchSpec
    admin_token: str
    telemetry_token: str
    #: Against which it gets its ID tokens, and who it is to its issuer; None without an OIDC identity.
    id_secret: str | None = None
    issuer: RunIssuer | None = None
    subject: str = ""


def prepared_launch(
    header: RunHeader,
    resolved: ResolvedScenario,
    agent: AgentSpec,
    listener: socket.socket,
    services: RunServices,
    cp_aid: str = "",
    issuers: Mapping[str, RunIssuer] = MappingProxyType({}),
) -> AgentLaunch:
    """Everything one agent's launch needs; ``cp_aid``: the Control Plane's pinned AID, when it is known; ``issuers``:
    the run's own, by URL.

    Raises LaunchError when its manifest points out of its directory.
    """
    manifest = resolved.manifests[agent.id].spec
    settings = services.settings
    telemetry = Telemetry(url=f"{services.base_url}/internal/telemetry", token=mint_token())
    port = listener.getsockname()[1]
    issuer = issuers.get(manifest.aitp.oidc_issuer or "") if manifest.aitp.identity_type == "oidc" else None
    secret = None if issuer is None else mint_token()
    oidc: dict[str, Any] | None = None
    if issuers:
        oidc = {"trusted": {each.url: [each.jwk] for each in issuers.values()}}
    if oidc is not None and issuer is not None:
        oidc |= {"issuer": issuer.url, "subject": manifest.aitp.oidc_subject}
        oidc |= {"token_url": f"{services.base_url}{PATH}", "token": secret}
    bootstrap = Bootstrap(
        run_id=header.run_id,
        agent_id=agent.id,
        org=agent.org,
        seed=derive_seed(services.secret, agent.org, header.run_id, agent.id, 0),
        signing_suite=agent.signing_suite or manifest.aitp.signing_suite,
        display_name=manifest.aitp.display_name,
        offered_caps=manifest.aitp.offered_caps,
        ttl_secs=manifest.aitp.ttl_secs,
        redelegation=manifest.aitp.redelegation,
        identity_type=manifest.aitp.identity_type,
        accepted_identity_types=accepted_identity_types(resolved),
        oidc=oidc,
        port=port,
        base_url=f"http://localhost:{port}",
        did_web_host=resolved.did_web_host(agent),
        boundary=resolved.scenario.spec.trust.boundary,
        admin_token=mint_token(),
        telemetry=telemetry,
        cp=ControlPlane(url=services.cp.base_url, aid=cp_aid or None) if services.cp.enabled else None,
        revocation=revocation_of(settings),
        llm=language_model(settings) if manifest.llm else None,
    )
    launch = launch_of(manifest, agent.ref, resolved.agents_root, bootstrap, listener)
    subject = manifest.aitp.oidc_subject or ""
    return AgentLaunch(launch, bootstrap.admin_token, telemetry.token, secret, issuer, subject)


def issuers_of(resolved: ResolvedScenario) -> dict[str, RunIssuer]:
    """An issuer with a key of its own for each that an agent of the scenario names, by URL."""
    faces = (manifest.spec.aitp for manifest in resolved.manifests.values())
    named = {face.oidc_issuer for face in faces if face.identity_type == "oidc" and face.oidc_issuer}
    return {url: RunIssuer(url) for url in sorted(named)}


def accepted_identity_types(resolved: ResolvedScenario) -> tuple[str, ...]:
    """What the agents of a run take of each other: what the scenario says, else every type that occurs in it."""
    said = resolved.scenario.spec.aitp.accepted_identity_types
    if said is not None:
        return said
    occurring = {manifest.spec.aitp.identity_type for manifest in resolved.manifests.values()}
    return tuple(kind for kind in ("pinned_key", "oidc") if kind in occurring)


def language_model(settings: Settings) -> LanguageModel | None:
    """The operator's account at a model provider, for an agent whose manifest asks for one."""
    if settings.llm_provider == "openai":
        key, base_url, model = settings.openai_api_key, settings.openai_base_url, settings.openai_model
    elif settings.llm_provider == "anthropic":
        key, base_url, model = settings.anthropic_api_key, settings.anthropic_base_url, settings.anthropic_model
    else:
        return None
    return LanguageModel(
        provider=settings.llm_provider,
        api_key=key.get_secret_value() or None,
        base_url=base_url,
        model=model,
        timeout_secs=settings.llm_timeout_secs,
    )
