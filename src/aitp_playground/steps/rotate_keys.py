"""``rotate_keys``: an agent gets a new key, and with it is somebody else."""

from __future__ import annotations

import json
from typing import Any, Literal

import aitp

from aitp_playground.errors import StepError
from aitp_playground.scenarios.models import AgentId
from aitp_playground.steps.base import Completed, Step, StepContext, StepOutcome


class RotateKeysStep(Step):
    """The agent signs with its new key at once, drops what hung on the old one, and is introduced anew to all others.

    Tokens that it had issued are refused from then on; whoever wants to go on shakes hands again.
    """

    type: Literal["rotate_keys"] = "rotate_keys"
    agent: AgentId

    async def run(self, ctx: StepContext) -> StepOutcome:
        rotated = await ctx.agent(self.agent).post("rotate-keys", {})
        old_aid, new_aid = str(rotated["old_aid"]), str(rotated["new_aid"])
        await ctx.rotated(self.agent, new_aid)
        await ctx.record("identity.key.rotated", aid=new_aid, old_aid=old_aid, new_aid=new_aid)
        await self._look_at_manifest(ctx, new_aid)
        return Completed({"old_aid": old_aid, "new_aid": new_aid})

    async def _look_at_manifest(self, ctx: StepContext, aid: str) -> None:
        """Raises StepError when what the agent publishes is not its new key's."""
        url = ctx.agent(self.agent).manifest_url
        text = await ctx.fetch_text(url)
        try:
            aitp.verify_manifest_json(text)
            named: Any = json.loads(text)["manifest"]["aid"]
        except (RuntimeError, ValueError, KeyError, TypeError) as failure:
            cause = str(getattr(failure, "code", None) or "malformed")
            await ctx.record("manifest.verify_failed", cause=cause, source_url=url)
            raise StepError(f"the manifest of {self.agent} does not verify: {cause}") from failure
        if named != aid:
            raise StepError(f"{self.agent} has a new key, and its manifest still names the old one")
