"""From a scenario's agent to a launch: seed, tokens, bootstrap document, entrypoint."""

from __future__ import annotations

import socket
from dataclasses import dataclass

from aitp_playground.config import Settings
from aitp_playground.hosting.bootstrap import Bootstrap, ControlPlane, LanguageModel, Telemetry, mint_token
from aitp_playground.hosting.contract import LaunchSpec
from aitp_playground.hosting.keys import derive_seed
from aitp_playground.hosting.launches import launch_of, revocation_of
from aitp_playground.runs.services import RunServices
from aitp_playground.scenarios.models import AgentSpec, ResolvedScenario
from aitp_playground.store.port import RunHeader


@dataclass(frozen=True, slots=True)
class AgentLaunch:
    """One agent about to be launched. The tokens are secret; the agent itself keeps only a hash of the admin token."""

    launch: LaunchSpec
    admin_token: str
    telemetry_token: str


def prepared_launch(
    header: RunHeader,
    resolved: ResolvedScenario,
    agent: AgentSpec,
    listener: socket.socket,
    services: RunServices,
    cp_aid: str = "",
) -> AgentLaunch:
    """Everything one agent's launch needs; ``cp_aid``: the Control Plane's pinned AID, when it is known.

    Raises LaunchError when its manifest points out of its directory.
    """
    manifest = resolved.manifests[agent.id].spec
    settings = services.settings
    telemetry = Telemetry(url=f"{services.base_url}/internal/telemetry", token=mint_token())
    port = listener.getsockname()[1]
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
        port=port,
        base_url=f"http://localhost:{port}",
        did_web_host=agent.did_web_host,
        boundary=resolved.scenario.spec.trust.boundary,
        admin_token=mint_token(),
        telemetry=telemetry,
        cp=ControlPlane(url=services.cp.base_url, aid=cp_aid or None) if services.cp.enabled else None,
        revocation=revocation_of(settings),
        llm=language_model(settings) if manifest.llm else None,
    )
    launch = launch_of(manifest, agent.ref, resolved.agents_root, bootstrap, listener)
    return AgentLaunch(launch, bootstrap.admin_token, telemetry.token)


def language_model(settings: Settings) -> LanguageModel | None:
    """The operator's account at a model provider, for an agent whose manifest asks for one."""
    if settings.llm_provider == "openai":
        return LanguageModel(
            provider="openai",
            api_key=settings.openai_api_key.get_secret_value(),
            base_url=settings.openai_base_url,
            model=settings.openai_model,
        )
    if settings.llm_provider == "anthropic":
        return LanguageModel(
            provider="anthropic",
            api_key=settings.anthropic_api_key.get_secret_value(),
            base_url="https://api.anthropic.com",
            model=settings.anthropic_model,
        )
    return None
