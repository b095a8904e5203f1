"""From a manifest to a launch: what is the same for a run's agents and for one on its own."""

from __future__ import annotations

import socket
from pathlib import Path

from aitp_playground import resources
from aitp_playground.config import Settings
from aitp_playground.errors import LaunchError
from aitp_playground.hosting.bootstrap import Bootstrap, Revocation
from aitp_playground.hosting.contract import LaunchSpec
from aitp_playground.scenarios.manifest_models import AgentManifestSpec


def launch_of(
    manifest: AgentManifestSpec, named: str, agents_root: Path, bootstrap: Bootstrap, listener: socket.socket
) -> LaunchSpec:
    """The launch of an agent with this document on this socket, which stays the caller's.

    ``named``: how errors speak of the manifest; ``agents_root``: the directory first on its path. Raises LaunchError
    when the manifest points out of that directory, or nowhere.
    """
    agent_id = bootstrap.agent_id
    return LaunchSpec(
        run_id=bootstrap.run_id,
        agent_id=agent_id,
        entrypoint_type=manifest.entrypoint.type,
        entrypoint=_entrypoint_of(manifest, agents_root, agent_id),
        cwd=_inside(agents_root, manifest.host.cwd or "", agent_id),
        path=tuple(dict.fromkeys((agents_root, resources.agents_dir()))),
        python=manifest.host.python,
        manifest=named,
        env=manifest.host.env,
        bootstrap=bootstrap.encode(),
        listener=listener,
        startup_timeout=manifest.host.startup_timeout_ms / 1000,
        secrets=bootstrap.secrets(),
    )


def revocation_of(settings: Settings) -> Revocation:
    """How the settings have agents treat revocation lists."""
    return Revocation(
        fail_mode=settings.revocation_fail_mode,
        safe_caps=settings.revocation_safe_caps,
        issuer_fail_mode=settings.issuer_list_fail_mode,
        max_staleness_secs=round(settings.revocation_max_staleness_secs),
        poll_secs=round(settings.revocation_poll_secs),
    )


def _entrypoint_of(manifest: AgentManifestSpec, agents_root: Path, agent_id: str) -> str:
    """The module, or the file's path."""
    if manifest.entrypoint.type == "python_module":
        return manifest.entrypoint.value
    return str(_inside(agents_root, manifest.entrypoint.value, agent_id))


def _inside(agents_root: Path, relative: str, agent_id: str) -> Path:
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
