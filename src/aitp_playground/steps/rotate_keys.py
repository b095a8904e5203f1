"""``rotate_keys``: an agent gets a new key, and with it is somebody else."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar, Literal

from pydantic import Field

from aitp_playground.scenarios.models import AgentId
from aitp_playground.steps.base import Completed, Step, StepContext, StepOutcome
from aitp_playground.steps.own_manifest import require_own_manifest


class RotateKeysStep(Step):
    """The agent signs with its new key at once, drops what hung on the old one, and is introduced anew to all others.

    Tokens that it had issued are refused from then on; whoever wants to go on shakes hands again.
    """

    gives: ClassVar[Mapping[str, str] | None] = {"old_aid": "who it was", "new_aid": "who it is"}
    causes: ClassVar[tuple[str, ...]] = ("identity.key.rotated", "manifest.verify_failed")

    type: Literal["rotate_keys"] = "rotate_keys"
    agent: AgentId = Field(description="whose key")

    async def run(self, ctx: StepContext) -> StepOutcome:
        rotated = await ctx.agent(self.agent).post("rotate-keys", {})
        old_aid, new_aid = str(rotated["old_aid"]), str(rotated["new_aid"])
        await ctx.rotated(self.agent, new_aid)
        await ctx.record("identity.key.rotated", aid=new_aid, old_aid=old_aid, new_aid=new_aid)
        await require_own_manifest(ctx, ctx.agent(self.agent))
        return Completed({"old_aid": old_aid, "new_aid": new_aid})
