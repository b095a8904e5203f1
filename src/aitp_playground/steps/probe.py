"""``capability_probe``: try a door with the newest key one holds."""

from __future__ import annotations

from typing import Literal

from aitp_playground.scenarios.models import AgentId, Capability
from aitp_playground.steps.base import StepContext, StepOutcome
from aitp_playground.steps.calls import JudgedCall, invoke, invoke_tolerantly
from aitp_playground.steps.faults import FaultableStep


class CapabilityProbeStep(JudgedCall, FaultableStep):
    """Presents the newest TCT that ``agent`` got from ``target_agent``, under whatever AID.

    Holding none fails the step: a 403 for want of a token would prove nothing about the token.
    """

    type: Literal["capability_probe"] = "capability_probe"
    agent: AgentId
    target_agent: AgentId
    capability: Capability

    async def run(self, ctx: StepContext) -> StepOutcome:
        caller, target = self.agent, self.target_agent
        await ctx.record("step.probing_with_held_tct", agent=caller, target=target, capability=self.capability)
        fault = ctx.fault(self.fault, target)
        if fault is not None:
            return await self.run_faulted(
                ctx,
                fault,
                caller,
                target,
                lambda url: invoke(ctx, caller, target, self.capability, present="held", manifest_url=url),
            )
        answer = await invoke_tolerantly(ctx, caller, target, self.capability, present="held")
        return await self.judge(ctx, caller, target, self.capability, answer)
