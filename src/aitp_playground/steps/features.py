"""Steps whose feature the SDK of an agent lacks are skipped, and say so."""

from __future__ import annotations

from collections.abc import Awaitable

from aitp_playground.errors import AgentCallError
from aitp_playground.steps.base import Skipped, StepOutcome

_MISSING = "feature_unavailable"


async def unless_missing(work: Awaitable[StepOutcome]) -> StepOutcome:
    """What the step comes to; skipped, and so unproven, when an agent says that its SDK has no such feature."""
    try:
        return await work
    except AgentCallError as failure:
        told = failure.details if isinstance(failure.details, dict) else {}
        if _MISSING not in (failure.refusal, told.get("reason")):  # its own, or that of the peer which it asked
            raise
        return Skipped(notes=f"feature not available: {failure.message}", unproven=True)
