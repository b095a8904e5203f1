"""``enroll_with_cp``: the agent puts itself into the Control Plane's registry."""

from __future__ import annotations

from typing import Any, Literal

from aitp_playground.scenarios.models import AgentId
from aitp_playground.steps.base import Completed, Step, StepContext, StepOutcome
from aitp_playground.steps.control_plane import degraded, skipped


class EnrollWithCpStep(Step):
    """The service only pokes the agent, and takes the entry out of the registry after the linger time."""

    type: Literal["enroll_with_cp"] = "enroll_with_cp"
    agent: AgentId

    async def run(self, ctx: StepContext) -> StepOutcome:
        if not ctx.cp.enabled:
            return skipped({"enrolled": False})
        agent = ctx.agent(self.agent)
        await ctx.record("cp.enroll_started", aid=agent.aid)
        await ctx.leave_at_cp("agent", agent.aid)
        answer: dict[str, Any] = await agent.post("enroll-with-cp", {})
        if not answer.get("enrolled"):
            reason = str(answer.get("error", "bad_shape"))
            await degraded(ctx, "enroll_with_cp", reason)
            return Completed({"enrolled": False, "error": reason}, degraded_by_cp=True)
        output = {name: answer[name] for name in ("enrolled", "aid", "registered_at", "token_expires_in")}
        await ctx.record("cp.enroll_complete", aid=agent.aid, result=output)
        return Completed(output)
