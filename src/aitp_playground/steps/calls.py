"""What the steps that call a capability share: their input, the call itself, and how an answer is judged."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar, Literal

from pydantic import Field

from aitp_playground.errors import AgentCallError, ExpectationFailed
from aitp_playground.scenarios.models import Capability, StepId
from aitp_playground.scenarios.strict import Strict
from aitp_playground.steps.base import Completed, Step, StepContext


class InputFields(Strict):
    """Where a call's input comes from: an earlier step's whole output, or a template over the run's inputs."""

    input_from: StepId | None = Field(default=None, description="the step whose whole output is the input")
    input_template: dict[str, Any] | str | None = Field(
        default=None,
        description="the input, with `{{ inputs.key }}` for inputs of the run; with neither, all inputs are the input",
    )


class JudgedCall(InputFields, Step):
    """A call whose refusal is an answer, not an accident."""

    gives: ClassVar[Mapping[str, str] | None] = {
        "status_code": "the HTTP status of the answer; null when none came",
        "rejected": "whether it is 403",
        "expected_status": "what `expect_status` says; null when it is not written",
        "matched": "whether the two are the same; null likewise",
        "body": "the JSON of the answer; of a refusal `{error: {code, message, retryable, details?}}`",
        "error?": "why no answer came",
    }

    expect_status: int | None = Field(
        default=None, ge=100, le=599, strict=True, description="the HTTP status that the answer must have"
    )

    async def judge(
        self, ctx: StepContext, caller: str, target: str, capability: str, answer: dict[str, Any]
    ) -> Completed:
        """Record what the answer means and compare it with ``expect_status``."""
        status = answer["status_code"]
        matched = None if self.expect_status is None else status == self.expect_status
        output = {
            "status_code": status,
            "rejected": status == 403,
            "expected_status": self.expect_status,
            "matched": matched,
            "body": answer.get("body"),
        }
        for name in ("error", "presented_jti"):
            if name in answer:
                output[name] = answer[name]
        about = {"agent": caller, "target": target, "capability": capability}
        if status == 403:
            await ctx.record("step.access_denied", **about, error=refusal_text(answer.get("body")), status_code=status)
        if matched is False:
            seen = answer.get("error") or f"status {status}"
            message = f"{target} answered {capability} with {seen}, expected status {self.expect_status}"
            await ctx.record("step.unexpected_status", **about, error=message, status_code=status)
            if self.on_mismatch == "fail":
                fault = {
                    "path": "$.status_code",
                    "operator": "equals",
                    "expected": self.expect_status,
                    "actual": status,
                }
                raise ExpectationFailed(message, details=[fault], output=output)
            return Completed(output, doubt=f"{message} (on_mismatch: record)")
        return Completed(output, checked=0 if matched is None else 1)


def refusal_text(body: Any) -> str:
    """``code: message`` of an agent's refusal, or a plain word when the body is not one."""
    error = body.get("error") if isinstance(body, dict) else None
    if isinstance(error, dict):
        return f"{error.get('code', 'refused')}: {error.get('message', '')}"
    return "refused"


async def invoke(
    ctx: StepContext,
    caller: str,
    target: str,
    capability: Capability,
    *,
    present: Literal["held", "none"],
    manifest_url: str | None = None,
) -> dict[str, Any]:
    """Have ``caller`` call ``target``: ``{"status_code", "body", "presented_jti"?}`` whatever the status.

    Raises :class:`~aitp_playground.errors.AgentCallError` when no answer came, or the caller holds no token to present.
    """
    body: dict[str, Any] = {"peer": target, "capability": capability, "input": ctx.step_input(), "present": present}
    if manifest_url is not None:
        body["manifest_url"] = manifest_url
    try:
        answer = await ctx.agent(caller).post("invoke", body)
    finally:
        await ctx.hear(target)
    return {name: answer[name] for name in ("status_code", "body", "presented_jti") if name in answer}


async def invoke_tolerantly(
    ctx: StepContext, caller: str, target: str, capability: Capability, *, present: Literal["held", "none"]
) -> dict[str, Any]:
    """:func:`invoke`, with a connection that fails as an answer too: ``status_code`` None and ``error``."""
    try:
        return await invoke(ctx, caller, target, capability, present=present)
    except AgentCallError as failure:
        if not failure.transport:
            raise
        return {"status_code": None, "error": failure.message}
