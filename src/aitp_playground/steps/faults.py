"""Fault injection: the caller is given a URL that really fails, and the failure it meets is what gets recorded."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from typing import Any, ClassVar

from aitp_playground.errors import AgentCallError, StepError
from aitp_playground.scenarios.models import Fault
from aitp_playground.steps.base import Completed, Step, StepContext


class FaultableStep(Step):
    """A step that calls a peer and can be told to meet a fault on the way."""

    faultable: ClassVar[bool] = True

    def aimed_at(self, provider: Callable[[str, str], str | None]) -> str | None:
        """The agent that a fault would be met at, None when nobody is called. ``provider`` says who executes a
        capability for a caller."""
        raise NotImplementedError

    async def run_faulted(
        self, ctx: StepContext, fault: Fault, caller: str, target: str, attempt: Callable[[str], Awaitable[Any]]
    ) -> Completed:
        """Run ``attempt(mutated_manifest_url)``; that it fails in transport is the outcome asked for.

        Anything else (success, or a refusal by the protocol) would demonstrate something other than the fault and fails
        the step. A fault that the run was started with, met by a step that expects nothing, is a doubt: what later
        steps claim may hang on what this one did not do.
        """
        url = ctx.faulted_url(fault.kind, target)
        await ctx.record(
            "step.fault_injected", agent=caller, target=target, source_url=url, kind=fault.kind, notes=fault.note
        )
        try:
            await attempt(url)
        except AgentCallError as failure:
            if failure.refusal not in FAULT_CLASSES[fault.kind]:
                raise
            error = failure.message
        else:
            raise StepError(f"the injected fault {fault.kind} on {target} had no effect: the step succeeded")
        await ctx.record("step.fault_complete", agent=caller, target=target, error=error, kind=fault.kind)
        doubt = f"the fault {fault.kind} on {target}, asked for with the run, took the place of what it is for"
        return Completed(
            {"fault_injected": True, "kind": fault.kind, "target": target, "mutated_url": url, "error": error},
            doubt=None if fault is self.fault or self.expect else doubt,
        )


#: What the output of a step that met its fault holds.
FAULT_OUTPUT: Mapping[str, str] = {
    "fault_injected": "true",
    "kind": "which",
    "target": "the agent that it was met at",
    "mutated_url": "where the caller was sent in its place",
    "error": "what it met there",
}

#: The transport classes each fault must produce to count as itself.
FAULT_CLASSES = {
    "manifest_404": frozenset({"http_4xx"}),
    "peer_offline": frozenset({"refused", "timeout"}),
}
