"""``revoke_tct``: take back what was granted, at the issuer, through the Control Plane, or both."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, ClassVar, Literal

from pydantic import ConfigDict, Field, model_validator

from aitp_playground.errors import AgentCallError
from aitp_playground.events.proof import NO_CONTROL_PLANE
from aitp_playground.scenarios.findings import KeyPath
from aitp_playground.scenarios.models import AgentId, AgentManifest
from aitp_playground.steps.base import Completed, Skipped, Step, StepContext, StepOutcome, same_agent
from aitp_playground.steps.control_plane import NO_CP, degraded

#: The ways in which a file says no.
_NO: dict[str, Any] = {
    "anyOf": [
        {"enum": [False, 0]},
        {"type": "string", "pattern": "^(?:0|[Ff]|[Nn]|[Nn][Oo]|[Oo][Ff][Ff]|[Ff][Aa][Ll][Ss][Ee])$"},
    ]
}


class RevokeTctStep(Step):
    """Revokes the newest TCT that ``issuer`` gave ``audience``, what it was renewed from and what was made from these.

    ``local`` revokes it at the issuer. ``via_cp`` reports the run, then publishes the jti: order matters to a Control
    Plane, which shows a token as good when it hears of it after its revocation. Then the parties pull the signed list:
    the issuer's own, or the Control Plane's.
    """

    model_config = ConfigDict(
        json_schema_extra={
            "if": {"required": ["local"], "properties": {"local": _NO}},
            "then": {"required": ["via_cp"], "properties": {"via_cp": {"not": {"anyOf": [{"type": "null"}, _NO]}}}},
        }
    )

    gives: ClassVar[Mapping[str, str] | None] = {
        "revoked_jti?": "the token's id; not there where only the Control Plane was to be told and there is none",
        "published_to_cp?": "with `via_cp`: whether the Control Plane took it",
        "audience_revoked_count?": "with `via_cp`: how many entries the audience's copy of its list has",
        "audience_sees_jti?": "with `via_cp`: whether this one is among them",
        "error?": "with `via_cp`: why the Control Plane did not take it, a reason class",
        "skipped?": "with `via_cp`: `no cp`, where there is no Control Plane",
    }
    causes: ClassVar[tuple[str, ...]] = (
        "revocation.published",
        "tct.revoked",
        "revocation.list_fetched",
        "revocation.refresh_failed",
        "revocation.verify_failed",
        "cp.degraded",
    )
    control_plane: ClassVar[Literal["always", "sometimes", "never"]] = "sometimes"

    type: Literal["revoke_tct"] = "revoke_tct"
    issuer: AgentId = Field(description="who gave the token, and takes it back")
    audience: AgentId = Field(description="to whom")
    via_cp: bool = Field(default=False, description="the Control Plane is told, and publishes it")
    reason: str | None = Field(default=None, max_length=500, description="what the list says of it")
    local: bool = Field(
        default=True,
        description="the issuer revokes it itself; false leaves that to the Control Plane, and is skipped without one",
    )

    @model_validator(mode="after")
    def _somebody_is_told(self) -> RevokeTctStep:
        if not self.local and not self.via_cp:
            raise ValueError("local: false leaves it to the Control Plane, which hears of it with via_cp: true")
        return self

    def doubts(self, manifests: Mapping[str, AgentManifest]) -> Iterator[tuple[KeyPath, str]]:  # noqa: ARG002
        yield from same_agent(self, "issuer", "audience", "nobody issues itself a token")

    async def run(self, ctx: StepContext) -> StepOutcome:
        if not self.local and not ctx.cp.enabled:
            notes = f"only the Control Plane was to be told, and {NO_CONTROL_PLANE}"
            return Skipped(notes=notes, output={"published_to_cp": False, "skipped": NO_CP}, unproven=True)
        body: dict[str, Any] = {"audience": self.audience, "local": self.local}
        if self.reason is not None:
            body["reason"] = self.reason
        jti = (await ctx.agent(self.issuer).post("revoke-tct", body))["revoked_jti"]
        if not self.via_cp:
            await ctx.record("revocation.published", jti=jti, initiator=self.issuer, target=self.audience)
            await ctx.agent(self.audience).post("refresh-revocations", {"from": "issuer", "peer": self.issuer})
            return Completed({"revoked_jti": jti})
        return await self._through_cp(ctx, jti)

    async def _through_cp(self, ctx: StepContext, jti: str) -> Completed:
        output: dict[str, Any] = {
            "revoked_jti": jti,
            "published_to_cp": False,
            "audience_revoked_count": 0,
            "audience_sees_jti": False,
        }
        if not ctx.cp.enabled:
            return Completed(output | {"skipped": NO_CP}, degraded_by_cp=True)
        trouble = await ctx.flush_to_cp()
        if trouble is not None:
            await degraded(ctx, "ingest", trouble)
        published = await ctx.cp.publish_revocation.outcome(jti, self.reason)
        if published.reason is not None:
            await degraded(ctx, "publish_revocation", published.reason, published.detail)
            return Completed(output | {"error": published.reason}, degraded_by_cp=True)
        output["published_to_cp"] = True
        await ctx.record("revocation.published", jti=jti, initiator=self.issuer, target=self.audience, via="cp")
        seen = await self._pulled(ctx, self.audience, jti)
        await self._pulled(ctx, self.issuer, jti)
        output |= {"audience_revoked_count": seen["revoked_count"], "audience_sees_jti": bool(seen["sees_jti"])}
        return Completed(output, degraded_by_cp="cause" in seen)

    async def _pulled(self, ctx: StepContext, agent_id: str, jti: str) -> dict[str, Any]:
        """What the agent's list holds after a look at the Control Plane's; what hindered it is ``cause``."""
        try:
            seen = await ctx.agent(agent_id).post("refresh-revocations", {"from": "cp", "jti": jti})
        except AgentCallError as failure:
            if failure.refusal == "agent_unreachable":
                raise
            seen = {"revoked_count": 0, "sees_jti": False, "cause": failure.refusal}
        if "cause" in seen:
            await degraded(ctx, f"revocation list for {agent_id}", seen["cause"])
        return seen
