"""Steps whose feature the SDK of an agent lacks are skipped, and say so."""

from __future__ import annotations

from collections.abc import Awaitable

from aitp_playground.errors import AgentCallError
from aitp_playground.sdk import FEATURES
from aitp_playground.steps.base import Skipped, StepOutcome

#: An agent's word for it, and the ``cause`` of a ``trust.failed`` after which the run goes on.
MISSING = "feature_unavailable"


async def unless_missing(feature: str, work: Awaitable[StepOutcome]) -> StepOutcome:
    """What the step comes to; skipped, and so unproven, when an agent says that its SDK has no such feature."""
    try:
        return await work
    except AgentCallError as failure:
        lacking = feature_lacking(feature, failure)
        if lacking is None:
            raise
        return Skipped(notes=lacking, unproven=True, lacking=True)


def feature_lacking(feature: str, failure: AgentCallError) -> str | None:
    """What the SDK of an agent lacks, as a sentence; None when it is not that which an agent's answer says.

    ``feature``: what was asked for, a key of :data:`aitp_playground.sdk.FEATURES`. A peer that has not seen who asks
    says no more than that it lacks something.
    """
    told = failure.details if isinstance(failure.details, dict) else {}
    if failure.refusal == MISSING:
        return f"feature not available: {failure.message}"
    if told.get("reason") == MISSING:
        wanted = f"{feature} ({', '.join(FEATURES[feature])})"
        return f"feature not available: the SDK of the peer that was asked lacks {wanted}: {failure.message}"
    return None
