"""``meta``: a remark in the workflow."""

from __future__ import annotations

from typing import Literal

from aitp_playground.steps.base import Skipped, Step, StepContext, StepOutcome


class MetaStep(Step):
    """Does nothing; its description becomes the notes of ``step.skipped``."""

    type: Literal["meta"] = "meta"

    async def run(self, ctx: StepContext) -> StepOutcome:  # noqa: ARG002 - it looks at nothing
        return Skipped(notes=self.description or "")
