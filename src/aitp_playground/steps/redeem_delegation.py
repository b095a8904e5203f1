"""``redeem_delegation``: turn a delegation into a TCT of one's own."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Annotated, Any, ClassVar, Literal

from pydantic import Field

from aitp_playground.errors import StepError
from aitp_playground.scenarios.findings import KeyPath
from aitp_playground.scenarios.models import AgentId, AgentManifest, StepId
from aitp_playground.scenarios.names import MadeBy
from aitp_playground.steps.base import Completed, StepContext, StepOutcome, same_agent
from aitp_playground.steps.faults import FaultableStep


class RedeemDelegationStep(FaultableStep):
    """``delegatee`` redeems, at ``target``, the delegation that the step ``via_delegation`` made.

    It gets a token bound to its own key: one, however often it asks.
    The target need not know the delegatee. The token ends with the delegation at the latest.
    """

    gives: ClassVar[Mapping[str, str] | None] = {
        "ok": "true",
        "peer_aid": "the AID of the agent that issued the token",
        "grants": "the capabilities that the token is good for",
        "jti": "the token's id: the same each time one delegation is redeemed",
    }
    causes: ClassVar[tuple[str, ...]] = (
        "delegation.redeeming",
        "delegation.redeemed",
        "delegation.rejected",
        "tct.received",
        "revocation.list_fetched",
        "revocation.refresh_failed",
        "revocation.verify_failed",
    )

    type: Literal["redeem_delegation"] = "redeem_delegation"
    delegatee: AgentId = Field(description="for whom it was made")
    target: AgentId = Field(description="the owner of what was passed on")
    via_delegation: Annotated[StepId, MadeBy("delegate")] = Field(description="the `delegate` step that made it")

    def aimed_at(self, provider: Callable[[str, str], str | None]) -> str | None:  # noqa: ARG002 - named in the step
        return self.target

    def doubts(self, manifests: Mapping[str, AgentManifest]) -> Iterator[tuple[KeyPath, str]]:  # noqa: ARG002
        yield from same_agent(self, "delegatee", "target", "nobody redeems at itself")

    async def run(self, ctx: StepContext) -> StepOutcome:
        made = ctx.outputs.get(self.via_delegation)
        token = made.get("delegation_token") if isinstance(made, dict) else None
        if not isinstance(token, str):
            raise StepError(f"via_delegation: step {self.via_delegation} made no delegation")
        await ctx.record("delegation.redeeming", initiator=self.delegatee, target=self.target)
        fault = ctx.fault(self.fault, self.target)
        if fault is not None:
            return await self.run_faulted(
                ctx, fault, self.delegatee, self.target, lambda url: self._redeem(ctx, token, url)
            )
        redeemed = await self._redeem(ctx, token)
        return Completed({name: redeemed[name] for name in ("ok", "peer_aid", "grants", "jti")})

    async def _redeem(self, ctx: StepContext, token: str, manifest_url: str | None = None) -> dict[str, Any]:
        body: dict[str, Any] = {"target": self.target, "delegation_token": token}
        if manifest_url is not None:
            body["manifest_url"] = manifest_url
        try:
            return await ctx.agent(self.delegatee).post("redeem-delegation", body)
        finally:
            await ctx.hear(self.target)
