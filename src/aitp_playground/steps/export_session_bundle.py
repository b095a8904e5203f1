"""``export_session_bundle``: several agents' tokens, signed as one session (RFC-AITP-0010)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import ClassVar, Literal

from pydantic import Field

from aitp_playground.scenarios.findings import KeyPath
from aitp_playground.scenarios.models import AgentId, AgentManifest
from aitp_playground.steps.base import Completed, Step, StepContext, StepOutcome
from aitp_playground.steps.features import unless_missing


class ExportSessionBundleStep(Step):
    """``coordinator`` signs a bundle of the newest tokens that it issued to ``participants``.

    The bundle holds the tokens, so it stays with the coordinator; the output names it.
    """

    gives: ClassVar[Mapping[str, str] | None] = {
        "bundle_ref": "by what the coordinator knows it",
        "sha256": "its fingerprint",
        "session_id": "the session's id",
        "participant_aids": "who takes part",
    }
    causes: ClassVar[tuple[str, ...]] = ("session.bundle.exported",)
    feature: ClassVar[str | None] = "session_bundle"

    type: Literal["export_session_bundle"] = "export_session_bundle"
    coordinator: AgentId = Field(description="who issued the tokens, and signs the bundle")
    participants: tuple[AgentId, ...] = Field(min_length=1, max_length=16, description="who holds them")

    def doubts(self, manifests: Mapping[str, AgentManifest]) -> Iterator[tuple[KeyPath, str]]:  # noqa: ARG002
        for place, agent in enumerate(self.participants):
            if agent == self.coordinator:
                yield ("participants", place), f"{agent} is the coordinator as well: nobody holds a token of its own"
            elif agent in self.participants[:place]:
                yield ("participants", place), f"{agent} takes part already"

    async def run(self, ctx: StepContext) -> StepOutcome:
        return await unless_missing("session_bundle", self._export(ctx))

    async def _export(self, ctx: StepContext) -> Completed:
        participants = list(self.participants)
        answer = await ctx.agent(self.coordinator).post("export-session-bundle", {"participants": participants})
        output = {name: answer[name] for name in ("bundle_ref", "sha256", "session_id", "participant_aids")}
        await ctx.record(
            "session.bundle.exported",
            session_id=output["session_id"],
            result=output,
            coordinator=self.coordinator,
            participants=participants,
        )
        return Completed(output)
