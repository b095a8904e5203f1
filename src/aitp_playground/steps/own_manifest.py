"""What an agent publishes must be of the key that it has."""

from __future__ import annotations

import json

import aitp

from aitp_playground.errors import StepError
from aitp_playground.steps.base import AgentHandle, StepContext


async def require_own_manifest(ctx: StepContext, agent: AgentHandle) -> None:
    """The key is known from the agent's launch, or the rotation that the run asked for; the manifest served on the
    network must say the same. Raises StepError, after ``manifest.verify_failed``."""
    raw = await ctx.fetch_text(agent.manifest_url)
    try:
        aitp.verify_manifest_json(raw)
        served = json.loads(raw)["manifest"]["aid"]
    except (RuntimeError, ValueError, KeyError, TypeError) as failure:
        cause = getattr(failure, "code", None) or "malformed"
        await ctx.record("manifest.verify_failed", cause=str(cause), source_url=agent.manifest_url)
        raise StepError(f"the manifest of {agent.agent_id} does not verify: {cause}") from failure
    if served != agent.aid:
        await ctx.record("manifest.verify_failed", cause="aid_mismatch", source_url=agent.manifest_url)
        raise StepError(f"the manifest of {agent.agent_id} names another AID than the agent has")
