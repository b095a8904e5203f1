"""``workflow``: a piece of work, done by the agent itself or by the peer that offers it, under the TCT it holds."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, ClassVar, Literal

from pydantic import Field

from aitp_playground.errors import StepError
from aitp_playground.scenarios.models import AgentId, Capability
from aitp_playground.steps.base import Completed, StepContext, StepOutcome
from aitp_playground.steps.calls import InputFields, invoke, refusal_text
from aitp_playground.steps.faults import FaultableStep


class WorkflowStep(InputFields, FaultableStep):
    """``agent`` executes ``capability`` itself when it offers it, else calls the first agent that does, with its token.

    A refusal fails the run. What an agent does itself presents no token, and proves nothing about trust.
    """

    gives: ClassVar[Mapping[str, str] | None] = None
    causes: ClassVar[tuple[str, ...]] = (
        "capability.self_execute",
        "capability.invoked",
        "capability.denied",
        "step.access_denied",
        "llm.started",
        "llm.complete",
        "llm.failed",
    )

    type: Literal["workflow"] = "workflow"
    agent: AgentId = Field(description="whose work it is")
    capability: Capability = Field(description="what is to be done")

    def aimed_at(self, provider: Callable[[str, str], str | None]) -> str | None:
        callee = provider(self.agent, self.capability)
        return None if callee == self.agent else callee

    async def run(self, ctx: StepContext) -> StepOutcome:
        callee = ctx.provider(self.agent, self.capability)
        if callee == self.agent:
            answer = await ctx.agent(self.agent).post(
                "self-execute", {"capability": self.capability, "input": ctx.step_input()}
            )
            if self.fault is not None:
                raise StepError(f"the fault {self.fault.kind} had no effect: {self.agent} did {self.capability} itself")
            return Completed(answer["result"])
        fault = ctx.fault(self.fault, callee)
        if fault is not None:
            return await self.run_faulted(ctx, fault, self.agent, callee, lambda url: self._call(ctx, callee, url))
        return Completed(await self._call(ctx, callee))

    async def _call(self, ctx: StepContext, callee: str, manifest_url: str | None = None) -> dict[str, Any]:
        answer = await invoke(ctx, self.agent, callee, self.capability, present="held", manifest_url=manifest_url)
        status, body = answer["status_code"], answer["body"]
        if status == 200 and isinstance(body, dict):
            return body
        text = refusal_text(body)
        if status == 403:
            await ctx.record(
                "step.access_denied",
                agent=self.agent,
                target=callee,
                capability=self.capability,
                error=text,
                status_code=status,
            )
        raise StepError(f"{callee} answered {self.agent}'s call of {self.capability} with status {status}: {text}")
