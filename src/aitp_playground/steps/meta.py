"""``meta``: a remark in the workflow, or claims about what came before it."""

from __future__ import annotations

from typing import ClassVar, Literal

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
        if ctx.lacking is not None and any(_is_about_trust(expectation.event) for expectation in self.expect):
            return Skipped(notes=ctx.lacking, unproven=True)
        if any(expectation.within_ms for expectation in self.expect) and ctx.cp.enabled:
            # What is waited for may be the Control Plane's word on what this run did: it has to be told first.
            trouble = await ctx.flush_to_cp()
            if trouble is not None:
                await degraded(ctx, "ingest", trouble)
                return Completed({}, degraded_by_cp=True)
        registry = ctx.scenario.spec.trust.discovery == "cp_registry"
        # A registry that was not there, or listed nobody, is no fault of the run: what is claimed of it was not tried.
        about_peers = any(expectation.event == "trust.peers_resolved" for expectation in self.expect)
        return Completed({}, degraded_by_cp=registry and about_peers and "static_fallback" in ctx.sources)


def _is_about_trust(event: str | None) -> bool:
    return event is not None and event.startswith(("trust.established", "handshake.", "tct."))
