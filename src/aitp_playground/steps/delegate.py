"""``delegate``: pass on a part of what one was granted."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any, ClassVar, Literal

from pydantic import Field

from aitp_playground.scenarios.findings import KeyPath
from aitp_playground.scenarios.models import AgentId, AgentManifest, Capability
from aitp_playground.steps.base import Completed, StepContext, StepOutcome, not_offered, same_agent
from aitp_playground.steps.faults import FaultableStep


class DelegateStep(FaultableStep):
    """``delegator`` makes a delegation for ``delegatee`` from the grant voucher that ``via_peer`` gave it.

    The SDK refuses a ``scope`` beyond the voucher's. A token that was redeemed brings a voucher only where the owner's
    manifest allows it (``redelegation``).
    """

    gives: ClassVar[Mapping[str, str] | None] = {
        "delegation_token": "what `redeem_delegation` takes to the owner; bound to the delegatee's key",
        "delegatee_aid": "whose key that is",
        "scope": "the capabilities that were passed on",
    }
    causes: ClassVar[tuple[str, ...]] = ("delegation.issuing", "delegation.issued")

    type: Literal["delegate"] = "delegate"
    delegator: AgentId = Field(description="who passes on")
    delegatee: AgentId = Field(description="to whom")
    via_peer: AgentId = Field(description="whose grants: the owner, who gave the delegator a token with a voucher")
    scope: tuple[Capability, ...] = Field(min_length=1, description="which of them")
    ttl_secs: int | None = Field(
        default=None, ge=1, le=86_400, description="how long it is good, never beyond the voucher"
    )

    def aimed_at(self, provider: Callable[[str, str], str | None]) -> str | None:  # noqa: ARG002 - named in the step
        return self.delegatee

    def doubts(self, manifests: Mapping[str, AgentManifest]) -> Iterator[tuple[KeyPath, str]]:
        yield from same_agent(self, "delegator", "delegatee", "a delegation is for somebody else (RFC-AITP-0006)")
        yield from same_agent(self, "delegator", "via_peer", "what is its own is nothing that it was granted")
        yield from not_offered("scope", self.scope, self.via_peer, manifests)

    async def run(self, ctx: StepContext) -> StepOutcome:
        await ctx.record(
            "delegation.issuing",
            initiator=self.delegator,
            target=self.delegatee,
            grants=list(self.scope),
            via_peer=self.via_peer,
        )
        fault = ctx.fault(self.fault, self.delegatee)
        if fault is not None:
            return await self.run_faulted(
                ctx, fault, self.delegator, self.delegatee, lambda url: self._delegate(ctx, url)
            )
        made = await self._delegate(ctx)
        return Completed({name: made[name] for name in ("delegation_token", "delegatee_aid", "scope")})

    async def _delegate(self, ctx: StepContext, manifest_url: str | None = None) -> dict[str, Any]:
        body: dict[str, Any] = {"delegatee": self.delegatee, "via_peer": self.via_peer, "scope": list(self.scope)}
        if self.ttl_secs is not None:
            body["ttl_secs"] = self.ttl_secs
        if manifest_url is not None:
            body["manifest_url"] = manifest_url
        return await ctx.agent(self.delegator).post("delegate", body)
