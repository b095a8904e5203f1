"""``capability_call_no_trust``: what a stranger gets."""

from __future__ import annotations

from typing import ClassVar, Literal

from pydantic import Field

from aitp_playground.scenarios.models import AgentId, Capability
from aitp_playground.steps.base import StepContext, StepOutcome
from aitp_playground.steps.calls import JudgedCall, invoke_tolerantly


class CapabilityCallNoTrustStep(JudgedCall):
    """Calls ``target_agent`` without presenting any TCT."""

    causes: ClassVar[tuple[str, ...]] = (
        "step.probing_no_trust",
        "capability.denied",
        "capability.invoked",
        "step.access_denied",
        "step.unexpected_status",
    )

    type: Literal["capability_call_no_trust"] = "capability_call_no_trust"
    agent: AgentId = Field(description="who calls")
    target_agent: AgentId = Field(description="who is called")
    capability: Capability = Field(description="what for")

    async def run(self, ctx: StepContext) -> StepOutcome:
        await ctx.record(
            "step.probing_no_trust", agent=self.agent, target=self.target_agent, capability=self.capability
        )
        answer = await invoke_tolerantly(ctx, self.agent, self.target_agent, self.capability, present="none")
        return await self.judge(ctx, self.agent, self.target_agent, self.capability, answer)
