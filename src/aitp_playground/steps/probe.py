"""``capability_probe``: try a door with the newest key one holds."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any, ClassVar, Literal

from pydantic import Field

from aitp_playground.scenarios.findings import KeyPath
from aitp_playground.scenarios.models import AgentId, AgentManifest, Capability
from aitp_playground.steps.base import StepContext, StepOutcome, same_agent
from aitp_playground.steps.calls import JudgedCall, invoke, invoke_tolerantly
from aitp_playground.steps.faults import FaultableStep


class CapabilityProbeStep(JudgedCall, FaultableStep):
    """Presents the newest TCT that ``agent`` got from ``target_agent``, under whatever AID.

    Holding none fails the step: a 403 for want of a token would prove nothing about the token.
    """

    gives: ClassVar[Mapping[str, str] | None] = {
        **(JudgedCall.gives or {}),
        "presented_jti?": "the id of the token that was shown",
    }
    causes: ClassVar[tuple[str, ...]] = (
        "step.probing_with_held_tct",
        "capability.invoked",
        "capability.denied",
        "step.access_denied",
        "step.unexpected_status",
    )

    type: Literal["capability_probe"] = "capability_probe"
    agent: AgentId = Field(description="who calls")
    target_agent: AgentId = Field(description="who is called, and gave the token")
    capability: Capability = Field(description="what for")

    def aimed_at(self, provider: Callable[[str, str], str | None]) -> str | None:  # noqa: ARG002 - named in the step
        return self.target_agent

    def doubts(self, manifests: Mapping[str, AgentManifest]) -> Iterator[tuple[KeyPath, str]]:  # noqa: ARG002
        yield from same_agent(self, "agent", "target_agent", "nobody holds a token of its own")

    async def run(self, ctx: StepContext) -> StepOutcome:
        caller, target = self.agent, self.target_agent
        fault = ctx.fault(self.fault, target)
        if fault is not None:
            return await self.run_faulted(
                ctx,
                fault,
                caller,
                target,
                lambda url: self._probe(ctx, url),
            )
        await self._announce(ctx)
        answer = await invoke_tolerantly(ctx, caller, target, self.capability, present="held")
        return await self.judge(ctx, caller, target, self.capability, answer)

    async def _probe(self, ctx: StepContext, manifest_url: str) -> dict[str, Any]:
        await self._announce(ctx)
        return await invoke(
            ctx, self.agent, self.target_agent, self.capability, present="held", manifest_url=manifest_url
        )

    async def _announce(self, ctx: StepContext) -> None:
        await ctx.record(
            "step.probing_with_held_tct", agent=self.agent, target=self.target_agent, capability=self.capability
        )
