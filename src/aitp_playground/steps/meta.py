"""``meta``: a remark in the workflow, or claims about what came before it."""

from __future__ import annotations

from collections.abc import Collection
from typing import ClassVar, Literal

from aitp_playground.events.vocabulary import NAMING_AGENTS
from aitp_playground.scenarios.expectations import Expectation
from aitp_playground.steps.base import Completed, Skipped, Step, StepContext, StepOutcome
from aitp_playground.steps.control_plane import degraded


class MetaStep(Step):
    """Does nothing. Without ``expect`` its description becomes the notes of ``step.skipped``; with it, the events that
    are looked at are those of the whole run so far: where peers were found, the eager trust, what came meanwhile."""

    causes: ClassVar[tuple[str, ...]] = ("cp.degraded",)
    looks_back: ClassVar[bool] = True

    type: Literal["meta"] = "meta"

    async def run(self, ctx: StepContext) -> StepOutcome:
        if not self.expect:
            return Skipped(notes=self.description or "")
        untried = frozenset(
            number for number, expectation in enumerate(self.expect) if _hangs_on_trust_of(expectation, ctx.apart)
        )
        if len(untried) == len(self.expect):
            return Skipped(notes=str(ctx.lacking), unproven=True, lacking=True)
        if any(expectation.within_ms for expectation in self.expect) and ctx.cp.enabled:
            # What is waited for may be the Control Plane's word on what this run did: it has to be told first.
            trouble = await ctx.flush_to_cp()
            if trouble is not None:
                await degraded(ctx, "ingest", trouble)
                return Completed({}, degraded_by_cp=True)
        registry = ctx.scenario.spec.trust.discovery == "cp_registry"
        # A registry that was not there, or listed nobody, is no fault of the run: what is claimed of it was not tried.
        about_peers = any(expectation.event == "trust.peers_resolved" for expectation in self.expect)
        fallen_back = registry and about_peers and "static_fallback" in ctx.sources
        doubt = ctx.lacking if untried else None
        return Completed({}, degraded_by_cp=fallen_back, doubt=doubt, untried=untried)


def _hangs_on_trust_of(expectation: Expectation, apart: Collection[frozenset[str]]) -> bool:
    """Whether it wants an event that agents would bring about who do not trust each other for want of a feature. That
    something does not happen can always be judged."""
    event = expectation.event
    if event is None or not event.startswith(("trust.established", "handshake.", "tct.")):
        return False
    if expectation.max is not None and not expectation.min:
        return False
    named = {str(value) for name, value in expectation.where.items() if name in NAMING_AGENTS}
    return any(named <= pair for pair in apart)
