"""``enroll_with_cp``: the agent puts itself into the Control Plane's registry."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar, Literal

import aitp
from pydantic import Field

from aitp_playground.errors import StepError
from aitp_playground.scenarios.models import AgentId
from aitp_playground.steps.base import Completed, Step, StepContext, StepOutcome
from aitp_playground.steps.control_plane import degraded, skipped


class EnrollWithCpStep(Step):
    """The agent puts itself into the Control Plane's registry, which must then list it under a manifest that verifies.

    The service only asks the agent to, and takes the entry out of the registry after the linger time.
    """

    gives: ClassVar[Mapping[str, str] | None] = {
        "enrolled": "whether it did",
        "aid?": "under which AID",
        "registered_at?": "when, as the Control Plane says",
        "token_expires_in?": "how many seconds the token that it registered with was good",
        "error?": "why it did not: a reason class, or a sentence",
        "skipped?": "`no cp`, where there is no Control Plane",
    }
    causes: ClassVar[tuple[str, ...]] = (
        "cp.enroll_started",
        "cp.enroll_succeeded",
        "cp.enroll_failed",
        "cp.enroll_complete",
        "manifest.verify_failed",
        "cp.degraded",
    )
    control_plane: ClassVar[Literal["always", "sometimes", "never"]] = "always"

    type: Literal["enroll_with_cp"] = "enroll_with_cp"
    agent: AgentId = Field(description="who")

    async def run(self, ctx: StepContext) -> StepOutcome:
        if not ctx.cp.enabled:
            return skipped({"enrolled": False})
        # Looked at first with our own bounded call: one that is away then costs no agent its own time-outs.
        capability = ctx.offers(self.agent)[0]
        before = await ctx.cp.discover_by_capability.outcome(capability, limit=1)
        if before.reason is not None:
            await degraded(ctx, "enroll_with_cp", before.reason, before.detail)
            return Completed({"enrolled": False, "error": before.reason}, degraded_by_cp=True)
        agent = ctx.agent(self.agent)
        await ctx.record("cp.enroll_started", aid=agent.aid)
        await ctx.leave_at_cp("agent", agent.aid)
        answer: dict[str, Any] = await agent.post("enroll-with-cp", {})
        if not answer.get("enrolled"):
            reason = str(answer.get("error", "bad_shape"))
            await degraded(ctx, "enroll_with_cp", reason)
            return Completed({"enrolled": False, "error": reason}, degraded_by_cp=True)
        output = {name: answer[name] for name in ("enrolled", "aid", "registered_at", "token_expires_in")}
        trouble = await self._look_it_up(ctx, agent.aid, capability)
        if trouble is not None:
            await degraded(ctx, "discover_by_capability", trouble)
            return Completed(output, degraded_by_cp=True)
        await ctx.record("cp.enroll_complete", aid=agent.aid, result=output)
        return Completed(output)

    async def _look_it_up(self, ctx: StepContext, aid: str, capability: str) -> str | None:
        """The reason class when the registry could not be read. Raises StepError when it does not show the agent.

        A Control Plane verifies what enrolls and then takes what registers as it comes: only its own copy tells.
        """
        listed = await ctx.cp.discover_by_capability.outcome(capability, include_manifest=True, limit=1000)
        if listed.reason is not None:
            return listed.reason
        row = next((row for row in listed.value if row.get("aid") == aid), None)
        if row is None:
            raise StepError(f"{self.agent} enrolled, but the registry does not list it under {capability}")
        try:
            aitp.verify_manifest_json(str(row.get("manifestJson")))
        except (RuntimeError, ValueError) as failure:
            cause = str(getattr(failure, "code", None) or "malformed")
            await ctx.record("manifest.verify_failed", cause=cause, source_url=str(row.get("manifestUrl")))
            raise StepError(f"the registry holds a manifest of {self.agent} that does not verify: {cause}") from failure
        return None
