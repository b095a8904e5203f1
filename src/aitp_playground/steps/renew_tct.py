"""``renew_tct``: a token that goes on, in-band (RFC-AITP-0013)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, ClassVar, Literal

from pydantic import Field

from aitp_playground.scenarios.findings import KeyPath
from aitp_playground.scenarios.models import AgentId, AgentManifest
from aitp_playground.steps.base import Completed, Step, StepContext, StepOutcome, same_agent
from aitp_playground.steps.features import unless_missing


class RenewTctStep(Step):
    """``agent`` has ``via_peer`` renew the newest token that it gave; what is presented from then on is the new one.

    The old one stays good until it expires or is revoked (RFC-AITP-0004, section 8).
    """

    gives: ClassVar[Mapping[str, str] | None] = {
        "jti": "the new token's id",
        "expires_at": "its end, in seconds since 1970",
        "issuer": "the AID of who gave it",
        "subject": "the AID of who holds it",
        "previous_jti": "the id of the token before it",
        "extended_by_secs": "by how much it outlives that one",
    }
    causes: ClassVar[tuple[str, ...]] = (
        "tct.renewal.requested",
        "tct.renewal.issued",
        "tct.renewal.refused",
        "tct.received",
        "tct.renewed",
        "revocation.list_fetched",
        "revocation.refresh_failed",
        "revocation.verify_failed",
    )
    feature: ClassVar[str | None] = "tct_renewal"

    type: Literal["renew_tct"] = "renew_tct"
    agent: AgentId = Field(description="who holds the token")
    via_peer: AgentId = Field(description="who issued it")
    new_ttl_secs: int | None = Field(
        default=None,
        ge=1,
        le=24 * 3600,
        strict=True,
        description=(
            "how long the new one is to live, no longer than its issuer's manifest (`aitp.ttl_secs`, an hour unless "
            "written); when not written, an hour"
        ),
    )

    def doubts(self, manifests: Mapping[str, AgentManifest]) -> Iterator[tuple[KeyPath, str]]:
        yield from same_agent(self, "agent", "via_peer", "nobody issues itself a token")
        issuer = manifests.get(self.via_peer)
        if issuer is not None and (self.new_ttl_secs or 0) > issuer.spec.aitp.ttl_secs:
            life = f"that of {self.via_peer} lives {issuer.spec.aitp.ttl_secs} s (aitp.ttl_secs)"
            yield ("new_ttl_secs",), f"no token outlives its issuer's manifest, and {life}: so long it will be"

    async def run(self, ctx: StepContext) -> StepOutcome:
        return await unless_missing("tct_renewal", self._renew(ctx))

    async def _renew(self, ctx: StepContext) -> Completed:
        body: dict[str, Any] = {"peer": self.via_peer}
        if self.new_ttl_secs is not None:
            body["ttl_secs"] = self.new_ttl_secs
        try:
            renewed = await ctx.agent(self.agent).post("renew-tct", body)
        finally:
            await ctx.hear(self.via_peer)
        await ctx.record(
            "tct.renewed",
            initiator=self.agent,
            target=self.via_peer,
            jti=renewed["jti"],
            grants=renewed["grants"],
            previous_jti=renewed["previous_jti"],
        )
        told = ("jti", "expires_at", "issuer", "subject", "previous_jti", "extended_by_secs")
        return Completed({name: renewed[name] for name in told})
