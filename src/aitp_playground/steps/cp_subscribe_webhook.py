"""``cp_subscribe_webhook``: have the Control Plane call this run back."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar, Literal

from pydantic import Field

from aitp_playground.steps.base import Completed, Step, StepContext, StepOutcome
from aitp_playground.steps.control_plane import degraded, skipped


class CpSubscribeWebhookStep(Step):
    """Has the Control Plane call this run back, at ``<PLAYGROUND_BASE_URL>/webhooks/cp/{run_id}``."""

    gives: ClassVar[Mapping[str, str] | None] = {
        "subscribed": "whether it will",
        "webhook_id?": "by what the Control Plane knows the subscription",
        "url?": "where it will call",
        "events?": "what `events` says",
        "error?": "why it did not: a reason class, or a sentence",
        "skipped?": "`no cp`, where there is no Control Plane",
    }
    causes: ClassVar[tuple[str, ...]] = ("cp.webhook.subscribed", "cp.webhook.subscribe_failed", "cp.degraded")
    control_plane: ClassVar[Literal["always", "sometimes", "never"]] = "always"

    type: Literal["cp_subscribe_webhook"] = "cp_subscribe_webhook"
    events: tuple[str, ...] = Field(default=(), description="the types to be told of; nothing written asks for all")

    async def run(self, ctx: StepContext) -> StepOutcome:
        if not ctx.cp.enabled:
            return skipped({"subscribed": False})
        made = await ctx.subscribe_webhook(self.events)
        if made.reason is not None or made.value is None:
            reason = made.reason or "bad_shape"
            await ctx.record("cp.webhook.subscribe_failed", cause=reason, error=made.detail or None)
            await degraded(ctx, "cp_subscribe_webhook", reason, made.detail)
            return Completed({"subscribed": False, "error": reason}, degraded_by_cp=True)
        output = {
            "subscribed": True,
            "webhook_id": made.value["id"],
            "url": made.value["url"],
            "events": list(self.events),
        }
        await ctx.record("cp.webhook.subscribed", source_url=made.value["url"], result=output)
        return Completed(output)
