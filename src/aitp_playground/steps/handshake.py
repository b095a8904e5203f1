"""``handshake``: one direction of trust, established by the real four messages."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any, ClassVar, Literal

from pydantic import Field

from aitp_playground.errors import AgentCallError, StepError
from aitp_playground.scenarios.findings import KeyPath
from aitp_playground.scenarios.models import AgentId, AgentManifest, Capability
from aitp_playground.steps.base import Completed, StepContext, StepOutcome, not_offered, same_agent
from aitp_playground.steps.faults import FaultableStep
from aitp_playground.steps.features import MISSING, feature_lacking, unless_missing

#: What a handshake takes beyond the core of the SDK, with a peer that is known by an ID token.
FEATURE = "oidc"


class HandshakeStep(FaultableStep):
    """``initiator`` gets a TCT from ``responder`` and gives none. No ``requested_grants``: all that is offered.

    A responder may grant less than it is asked for (RFC-AITP-0004, section 4.1): what it did not grant is ``missing``,
    for the scenario to judge.
    """

    gives: ClassVar[Mapping[str, str] | None] = {
        "trust": "`established`",
        "granted": "the capabilities that the token is good for",
        "missing": "what was asked for and not granted",
    }
    causes: ClassVar[tuple[str, ...]] = (
        "trust.establishing",
        "trust.established",
        "trust.failed",
        "manifest.verify_failed",
        "handshake.started",
        "handshake.complete",
        "handshake.answered",
        "handshake.failed",
        "tct.dropped",
        "tct.revoked",
        "revocation.list_fetched",
        "revocation.refresh_failed",
        "revocation.verify_failed",
    )
    feature: ClassVar[str | None] = FEATURE
    feature_when: ClassVar[str | None] = "with a peer that is known by an ID token"

    type: Literal["handshake"] = "handshake"
    initiator: AgentId = Field(description="who gets a token")
    responder: AgentId = Field(description="who issues it")
    requested_grants: tuple[Capability, ...] = Field(default=(), description="what for; nothing written asks for all")

    def aimed_at(self, provider: Callable[[str, str], str | None]) -> str | None:  # noqa: ARG002 - named in the step
        return self.responder

    def doubts(self, manifests: Mapping[str, AgentManifest]) -> Iterator[tuple[KeyPath, str]]:
        yield from same_agent(self, "initiator", "responder", "nobody shakes hands with itself")
        yield from not_offered("requested_grants", self.requested_grants, self.responder, manifests)

    async def run(self, ctx: StepContext) -> StepOutcome:
        return await unless_missing(FEATURE, self._run(ctx))

    async def _run(self, ctx: StepContext) -> StepOutcome:
        fault = ctx.fault(self.fault, self.responder)
        if fault is not None:
            return await self.run_faulted(
                ctx, fault, self.initiator, self.responder, lambda url: self._handshake(ctx, url)
            )
        answer = await self._handshake(ctx)
        return Completed(
            {"trust": "established", "granted": answer["received"]["grants"], "missing": answer["missing"]}
        )

    async def _handshake(self, ctx: StepContext, manifest_url: str | None = None) -> dict[str, Any]:
        body: dict[str, Any] = {
            "peer": self.responder,
            "requested_grants": list(self.requested_grants),
            "direction": "one",
        }
        if manifest_url is not None:
            body["manifest_url"] = manifest_url
        return await establish(ctx, self.initiator, self.responder, body)


async def establish(ctx: StepContext, initiator: str, responder: str, body: dict[str, Any]) -> dict[str, Any]:
    """Have the initiator perform a handshake with the responder (RFC-AITP-0004), and record what came of it.

    ``body`` is that of ``POST /admin/initiate-handshake`` (docs/agents.md): ``{"peer", "requested_grants"?,
    "direction"?, "manifest_url"?}``. A ``manifest_url`` is one that a fault put there; the log says where the initiator
    was sent. Returns the agent's answer: ``{"session_id", "peer_aid", "received": {"jti", "grants", "expires_at"},
    "missing": [names], "issued": the same or None}``, ``expires_at`` in seconds since 1970.

    Records ``trust.establishing``, then ``trust.established`` or ``trust.failed``; before the latter
    ``manifest.verify_failed`` where the manifest was the cause. Raises :class:`~aitp_playground.errors.AgentCallError`
    after ``trust.failed``, whose ``cause`` is ``feature_unavailable`` when the SDK of one of both lacks what it takes.
    """
    pair = {"initiator": initiator, "target": responder}
    await ctx.record("trust.establishing", **pair, source_url=body.get("manifest_url"))
    try:
        try:
            answer = await ctx.agent(initiator).post("initiate-handshake", body)
        finally:
            await ctx.hear(responder)
    except AgentCallError as failure:
        cause = (failure.details or {}).get("code") if isinstance(failure.details, dict) else None
        if isinstance(cause, str) and (cause.startswith("MANIFEST_") or cause == "aid_mismatch"):
            await ctx.record("manifest.verify_failed", **pair, cause=cause, source_url=failure.details.get("url"))
        lacking = feature_lacking(FEATURE, failure) is not None
        needed = "oidc" in (ctx.known_by(initiator), ctx.known_by(responder))
        await ctx.record("trust.failed", **pair, error=failure.message, cause=MISSING if lacking and needed else None)
        if lacking and not needed:
            raise StepError(
                f"a handshake of {initiator} and {responder} needs no feature of the SDK beyond its core, and one of "
                f"them says that it lacks one: {failure.message}"
            ) from failure
        raise
    received = answer["received"]
    less = {"missing": answer["missing"]} if answer["missing"] else {}
    await ctx.record("trust.established", **pair, grants=received["grants"], jti=received["jti"], **less)
    return answer
