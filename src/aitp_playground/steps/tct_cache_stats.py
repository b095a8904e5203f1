"""``tct_cache_stats``: what an agent's verification cache has counted."""

from __future__ import annotations

from typing import Literal

from aitp_playground.scenarios.models import AgentId
from aitp_playground.steps.base import Completed, Step, StepContext, StepOutcome
from aitp_playground.steps.features import unless_missing


class TctCacheStatsStep(Step):
    """One look-up is counted for each call that presents a token; a hit is one that was verified before and is kept."""

    type: Literal["tct_cache_stats"] = "tct_cache_stats"
    agent: AgentId

    async def run(self, ctx: StepContext) -> StepOutcome:
        return await unless_missing(self._run(ctx))

    async def _run(self, ctx: StepContext) -> StepOutcome:
        answer = await ctx.agent(self.agent).post("tct-cache-stats", {})
        stats = {name: answer[name] for name in ("enabled", "hits", "misses", "size")}
        await ctx.record("tct.cache.stats", result=stats, hits=stats["hits"], misses=stats["misses"])
        return Completed(stats)
