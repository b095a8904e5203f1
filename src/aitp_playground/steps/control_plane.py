"""What the steps that need the Control Plane share: being without one, and being failed by one."""

from __future__ import annotations

from typing import Any

from aitp_playground.events.proof import NO_CONTROL_PLANE
from aitp_playground.steps.base import Skipped, StepContext

NO_CP = "no cp"


def skipped(what: dict[str, Any]) -> Skipped:
    """The outcome of a step that needs a Control Plane where none is configured."""
    return Skipped(notes=NO_CONTROL_PLANE, output={**what, "skipped": NO_CP}, unproven=True)


async def degraded(ctx: StepContext, operation: str, reason: str, detail: str = "") -> None:
    """Record that the Control Plane did not do its part."""
    await ctx.record("cp.degraded", operation=operation, cause=reason, error=detail or None)
