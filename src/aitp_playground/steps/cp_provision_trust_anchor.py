"""``cp_provision_trust_anchor``: pin a launched agent's key at the Control Plane, and look whether it is there."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar, Literal

from pydantic import Field

from aitp_playground.scenarios.models import AgentId, Name
from aitp_playground.steps.base import Completed, Step, StepContext, StepOutcome
from aitp_playground.steps.control_plane import degraded, skipped
from aitp_playground.steps.own_manifest import require_own_manifest

_AID = "aid:pubkey:"
_P256 = "p256:"


class CpProvisionTrustAnchorStep(Step):
    """Pins the agent's key at the Control Plane and, with ``issuer_url``, adds an anchor.

    ``provisioned`` is true only when both are seen on reading back. The Control Plane pins Ed25519 keys only.
    """

    gives: ClassVar[Mapping[str, str] | None] = {
        "provisioned": "whether they are there",
        "namespace?": "in which namespace",
        "pinned_key?": "the Control Plane's own row of the key, or null",
        "trust_anchor?": "its own row of the anchor, or null",
        "pinned_key_count?": "how many keys it has in the namespace",
        "trust_anchor_count?": "how many anchors",
        "error?": "why it did not: a reason class, or a sentence",
        "skipped?": "`no cp`, where there is no Control Plane",
    }
    causes: ClassVar[tuple[str, ...]] = ("cp.trust_anchor.provisioned", "manifest.verify_failed", "cp.degraded")
    control_plane: ClassVar[Literal["always", "sometimes", "never"]] = "always"

    type: Literal["cp_provision_trust_anchor"] = "cp_provision_trust_anchor"
    agent: AgentId = Field(description="whose key")
    namespace: Name | None = Field(default=None, description="in which namespace; when not written, the pack's name")
    issuer_url: str | None = Field(default=None, description="the issuer to add as an anchor")

    async def run(self, ctx: StepContext) -> StepOutcome:
        if not ctx.cp.enabled:
            return skipped({"provisioned": False})
        agent = ctx.agent(self.agent)
        await require_own_manifest(ctx, agent)
        namespace = self.namespace or ctx.scenario.metadata.pack
        key = agent.aid.removeprefix(_AID)
        if key.startswith(_P256):
            reason = "the Control Plane pins Ed25519 keys only, and this agent signs with P-256"
            return Completed({"provisioned": False, "namespace": namespace, "error": reason}, degraded_by_cp=True)
        trouble = await self._write(ctx, agent.aid, key, namespace)
        if trouble is not None:
            return Completed({"provisioned": False, "namespace": namespace, "error": trouble}, degraded_by_cp=True)
        return await self._read_back(ctx, agent.aid, key, namespace)

    async def _write(self, ctx: StepContext, aid: str, key: str, namespace: str) -> str | None:
        pinned = await ctx.cp.upsert_pinned_key.outcome(aid, key, namespace=namespace, label=self.agent)
        if pinned.reason is not None:
            await degraded(ctx, "upsert_pinned_key", pinned.reason, pinned.detail)
            return pinned.reason
        if self.issuer_url is None:
            return None
        anchor = await ctx.cp.upsert_trust_anchor.outcome(self.issuer_url, namespace=namespace, label=self.agent)
        if anchor.reason is not None:
            await degraded(ctx, "upsert_trust_anchor", anchor.reason, anchor.detail)
        return anchor.reason

    async def _read_back(self, ctx: StepContext, aid: str, key: str, namespace: str) -> Completed:
        keys = await ctx.cp.list_pinned_keys.outcome(namespace)
        anchors = await ctx.cp.list_trust_anchors.outcome(namespace)
        for operation, seen in (("list_pinned_keys", keys), ("list_trust_anchors", anchors)):
            if seen.reason is not None:
                await degraded(ctx, operation, seen.reason, seen.detail)
        pinned = _first(keys.value, aid=aid, pubkey=key)
        anchor = None if self.issuer_url is None else _first(anchors.value, issuerUrl=self.issuer_url)
        provisioned = pinned is not None and (self.issuer_url is None or anchor is not None)
        output = {
            "provisioned": provisioned,
            "namespace": namespace,
            "pinned_key": pinned,
            "trust_anchor": anchor,
            "pinned_key_count": len(keys.value),
            "trust_anchor_count": len(anchors.value),
        }
        if provisioned:
            await ctx.record(
                "cp.trust_anchor.provisioned", agent=self.agent, aid=aid, namespace=namespace, result=output
            )
        return Completed(output, degraded_by_cp=keys.reason is not None or anchors.reason is not None)


def _first(rows: list[dict[str, Any]], **wanted: str) -> dict[str, Any] | None:
    return next((row for row in rows if all(row.get(name) == value for name, value in wanted.items())), None)
