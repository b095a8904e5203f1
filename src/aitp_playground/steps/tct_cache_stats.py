"""``tct_cache_stats``: what an agent's verification cache has counted."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar, Literal

from pydantic import Field

from aitp_playground.scenarios.models import AgentId
from aitp_playground.steps.base import Completed, Step, StepContext, StepOutcome
from aitp_playground.steps.features import unless_missing


class TctCacheStatsStep(Step):
    """Reports the counters of an agent's verification cache.

    One look-up is counted for each capability call that presents a token, and none for a renewal or a session bundle; a
    hit is one that was verified before and is kept.
    """

    gives: ClassVar[Mapping[str, str] | None] = {
        "enabled": "whether it has such a cache",
        "hits": "look-ups that found the token, since the agent was started or got its key",
        "misses": "look-ups that did not",
        "size": "tokens that are kept",
    }
    causes: ClassVar[tuple[str, ...]] = ("tct.cache.stats",)
    feature: ClassVar[str | None] = "tct_cache"

    type: Literal["tct_cache_stats"] = "tct_cache_stats"
    agent: AgentId = Field(description="whose cache")

    async def run(self, ctx: StepContext) -> StepOutcome:
        return await unless_missing("tct_cache", self._run(ctx))

    async def _run(self, ctx: StepContext) -> StepOutcome:
        answer = await ctx.agent(self.agent).post("tct-cache-stats", {})
        stats = {name: answer[name] for name in ("enabled", "hits", "misses", "size")}
        await ctx.record("tct.cache.stats", result=stats, hits=stats["hits"], misses=stats["misses"])
        return Completed(stats)
