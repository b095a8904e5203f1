"""``verify_session_bundle``: whether every participant of a session still has its token (RFC-AITP-0010, section 5)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, ClassVar, Literal

from pydantic import Field

from aitp_playground.errors import StepError
from aitp_playground.scenarios.models import AgentId, StepId
from aitp_playground.scenarios.names import MadeBy
from aitp_playground.steps.base import Completed, Step, StepContext, StepOutcome
from aitp_playground.steps.export_session_bundle import ExportSessionBundleStep
from aitp_playground.steps.features import unless_missing


class VerifySessionBundleStep(Step):
    """``verifier``, one of the participants, fetches the bundle that the step ``via_step`` exported, and verifies it
    against the coordinator's own revocation list.

    ``clear``: all tokens are good; ``degraded``: those of ``dropped_aids`` are revoked. The coordinator gives the
    bundle to whoever shows a good token of its own: a verifier whose token was revoked gets no verdict but a 403
    (``TCT_REVOKED``), which fails the step. After a new handshake it has a token that opens, and is itself among those
    that are dropped.
    """

    gives: ClassVar[Mapping[str, str] | None] = {
        "kind": "`clear` or `degraded`",
        "active_aids": "whose tokens are good",
        "dropped_aids": "whose are not",
    }
    causes: ClassVar[tuple[str, ...]] = (
        "session.bundle.verified",
        "capability.denied",
        "revocation.list_fetched",
        "revocation.refresh_failed",
        "revocation.verify_failed",
    )
    feature: ClassVar[str | None] = "session_bundle"

    type: Literal["verify_session_bundle"] = "verify_session_bundle"
    verifier: AgentId = Field(description="who verifies it")
    via_step: Annotated[StepId, MadeBy("export_session_bundle")] = Field(
        description="the `export_session_bundle` step that made it"
    )

    async def run(self, ctx: StepContext) -> StepOutcome:
        return await unless_missing("session_bundle", self._verify(ctx))

    async def _verify(self, ctx: StepContext) -> Completed:
        made = next((step for step in ctx.scenario.spec.workflow.steps if step.id == self.via_step), None)
        exported = ctx.outputs.get(self.via_step)
        if not isinstance(made, ExportSessionBundleStep) or exported is None:
            raise StepError(f"via_step: step {self.via_step} exported no session bundle")
        body = {
            "coordinator": made.coordinator,
            "bundle_ref": exported["bundle_ref"],
            "sha256": exported["sha256"],
        }
        try:
            answer = await ctx.agent(self.verifier).post("verify-session-bundle", body)
        finally:
            await ctx.hear(made.coordinator)
        output = {name: answer[name] for name in ("kind", "active_aids", "dropped_aids")}
        await ctx.record(
            "session.bundle.verified",
            session_id=exported["session_id"],
            result=output,
            verifier=self.verifier,
            kind=output["kind"],
        )
        return Completed(output)
