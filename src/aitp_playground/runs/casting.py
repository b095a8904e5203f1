"""From a scenario's agent to a launch: seed, tokens, bootstrap document, entrypoint."""

from __future__ import annotations

import socket
from dataclasses import dataclass
from pathlib import Path

from aitp_playground import resources
from aitp_playground.config import Settings
from aitp_playground.errors import LaunchError
from aitp_playground.hosting.bootstrap import Bootstrap, ControlPlane, LanguageModel, Revocation, Telemetry, mint_token
from aitp_playground.hosting.contract import LaunchSpec
from aitp_playground.hosting.keys import derive_seed
from aitp_playground.runs.services import RunServices
from aitp_playground.scenarios.models import AgentManifestSpec, AgentSpec, ResolvedScenario
from aitp_playground.store.port import RunHeader


@dataclass(frozen=True, slots=True)
class Part:
    """One agent about to be launched. The tokens are secret; the agent itself keeps only a hash of the admin token."""

    launch: LaunchSpec
    admin_token: str
    telemetry_token: str


def cast_part(
    header: RunHeader,
    resolved: ResolvedScenario,
    agent: AgentSpec,
    listener: socket.socket,
    services: RunServices,
    cp_aid: str = "",
) -> Part:
    """Everything one agent's launch needs; ``cp_aid``: the Control Plane's pinned AID, when it is known.

    Raises LaunchError when its manifest points out of its directory.
    """
    manifest = resolved.manifests[agent.id].spec
    settings = services.settings
    telemetry = Telemetry(url=f"{services.base_url()}/internal/telemetry", token=mint_token())
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
        identity_type=manifest.aitp.identity_type,
        port=port,
        base_url=f"http://localhost:{port}",
        did_web_host=agent.did_web_host,
        boundary=resolved.scenario.spec.trust.boundary,
        admin_token=mint_token(),
        telemetry=telemetry,
        cp=ControlPlane(url=services.cp.base_url, aid=cp_aid or None) if services.cp.enabled else None,
        revocation=Revocation(
            fail_mode=settings.revocation_fail_mode,
            max_staleness_secs=round(settings.revocation_max_staleness_secs),
            poll_secs=round(settings.revocation_poll_secs),
        ),
        llm=language_model(settings) if manifest.llm else None,
    )
    launch = LaunchSpec(
        run_id=header.run_id,
        agent_id=agent.id,
        entrypoint_type=manifest.entrypoint.type,
        entrypoint=entrypoint_of(manifest, resolved.agents_root, agent.id),
        cwd=inside(resolved.agents_root, manifest.host.cwd or "", agent.id),
        path=tuple(dict.fromkeys((resolved.agents_root, resources.agents_dir()))),
        python=manifest.host.python,
        manifest=agent.ref,
        env=manifest.host.env,
        bootstrap=bootstrap.encode(),
        listener=listener,
        startup_timeout=manifest.host.startup_timeout_ms / 1000,
        secrets=bootstrap.secrets(),
    )
    return Part(launch, bootstrap.admin_token, telemetry.token)


def entrypoint_of(manifest: AgentManifestSpec, agents_root: Path, agent_id: str) -> str:
    """The module, or the file's path. Raises LaunchError as :func:`inside` does."""
    if manifest.entrypoint.type == "python_module":
        return manifest.entrypoint.value
    return str(inside(agents_root, manifest.entrypoint.value, agent_id))


def inside(agents_root: Path, relative: str, agent_id: str) -> Path:
    """A path relative to the agents directory's parent, out of which it may not lead.

    What a pack's own agents directory does not have is looked for beside the shipped one: a pack may bring agents of
    its own and use the shipped ones as well.
    """
    if not relative:
        return agents_root
    roots = [root.parent.resolve() for root in (agents_root, resources.agents_dir())]
    found = [(root / relative).resolve() for root in roots]
    for root, path in zip(roots, found, strict=True):
        if not path.is_relative_to(root):
            raise LaunchError(f"agent {agent_id}: {relative} leads out of {root}", details={"agent_id": agent_id})
        if path.exists():
            return path
    raise LaunchError(f"agent {agent_id}: there is no {relative} in {roots[0]}", details={"agent_id": agent_id})


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
