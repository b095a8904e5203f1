"""Who executes a capability: one rule, for runs, for lint and for the plan that the command line shows."""

from __future__ import annotations

from collections.abc import Mapping

from aitp_playground.scenarios.models import AgentManifest, Scenario


def provider(
    scenario: Scenario, manifests: Mapping[str, AgentManifest], caller: str | None, capability: str
) -> str | None:
    """The caller when it offers the capability, else the first agent in scenario order that does, if any.

    ``manifests`` by agent id; agents without one offer nothing.
    """
    order = [agent.id for agent in scenario.spec.agents]
    candidates = order if caller is None else [caller, *order]
    return next((one for one in candidates if one in manifests and _offers(manifests[one], capability)), None)


def _offers(manifest: AgentManifest, capability: str) -> bool:
    return capability in manifest.spec.aitp.offered_caps
