"""``cp_delegation_tree``: what the Control Plane knows of the delegations that began with an agent."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, ClassVar, Literal

from pydantic import Field

from aitp_playground.scenarios.models import AgentId
from aitp_playground.steps.base import Completed, Step, StepContext, StepOutcome
from aitp_playground.steps.control_plane import degraded, skipped

Row = dict[str, Any]


class CpDelegationTreeStep(Step):
    """Reports this run so far and waits for it; then walks from the agent's own delegations down.

    The Control Plane's descendant walk starts at a delegation's jti, not at a token's: first the agent's delegations,
    then the tree below each.
    """

    gives: ClassVar[Mapping[str, str] | None] = {
        "delegations": "the Control Plane's own rows",
        "delegator?": "the agent's AID",
        "count?": "how many rows",
        "error?": "why it did not: a reason class, or a sentence",
        "skipped?": "`no cp`, where there is no Control Plane",
    }
    causes: ClassVar[tuple[str, ...]] = ("cp.delegation.tree", "cp.degraded")
    control_plane: ClassVar[Literal["always", "sometimes", "never"]] = "always"

    type: Literal["cp_delegation_tree"] = "cp_delegation_tree"
    agent: AgentId = Field(description="with whom the delegations began")

    async def run(self, ctx: StepContext) -> StepOutcome:
        if not ctx.cp.enabled:
            return skipped({"delegations": []})
        delegator = ctx.agent(self.agent).aid
        trouble = await ctx.flush_to_cp()
        if trouble is not None:
            await degraded(ctx, "ingest", trouble)
            return self._output(delegator, {}, trouble)
        found: dict[str, Row] = {}
        own = await ctx.cp.fetch_delegations.outcome(delegator=delegator)
        trouble = own.reason
        detail = own.detail
        for jti, row in _by_jti(own.value).items():
            below = await ctx.cp.fetch_delegations.outcome(root_jti=jti)
            if trouble is None and below.reason is not None:
                trouble, detail = below.reason, below.detail
            found |= {jti: row} | _by_jti(below.value)
        if trouble is not None:
            await degraded(ctx, "fetch_delegations", trouble, detail)
        else:
            await ctx.record("cp.delegation.tree", aid=delegator, count=len(found))
        return self._output(delegator, found, trouble)

    @staticmethod
    def _output(delegator: str, found: dict[str, Row], trouble: str | None) -> Completed:
        output: dict[str, Any] = {"delegator": delegator, "delegations": list(found.values()), "count": len(found)}
        if trouble is not None:
            output["error"] = trouble
        return Completed(output, degraded_by_cp=trouble is not None)


def _by_jti(rows: Iterable[Row]) -> dict[str, Row]:
    """The rows that say which delegation they are about; nothing can be said of the others."""
    named = ((row.get("jti"), row) for row in rows)
    return {jti: row for jti, row in named if isinstance(jti, str) and jti}
