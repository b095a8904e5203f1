"""What a step will do, said before it is done."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

from aitp_playground.scenarios.expectations import Expectation
from aitp_playground.scenarios.models import AgentManifest, AgentRef, Scenario, StepRef, StepSpec
from aitp_playground.scenarios.providers import provider
from aitp_playground.scenarios.references import named

#: Fields that name steps, of which a line of their own tells, or the input.
_TOLD_ELSEWHERE = {"requires", "input_from"}


def step_action(step: StepSpec, scenario: Scenario, manifests: Mapping[str, AgentManifest]) -> str:
    """Who does what to whom, in a few words."""
    capability = getattr(step, "capability", None)
    agent, target = getattr(step, "agent", None), getattr(step, "target_agent", None)
    if step.type == "workflow" and isinstance(agent, str) and isinstance(capability, str):
        target = provider(scenario, manifests, agent, capability)
        if target == agent:
            return f"{agent} does {capability} itself"
    if agent and target and capability:
        how = {"workflow": "under the TCT it holds", "capability_call_no_trust": "without a TCT"}
        return f"{agent} calls {target} for {capability} {how.get(step.type, 'with the newest TCT it got from it')}"
    if step.type == "handshake":
        return f"{getattr(step, 'initiator', '?')} shakes hands with {getattr(step, 'responder', '?')}"
    if (pins := getattr(step, "pins", None)) is not None:
        return f"looks for the key of a certificate among {len(pins)} that are pinned"
    taken_from = ((path, name) for path, name in named(step, StepRef) if path[0] not in _TOLD_ELSEWHERE)
    roles = [f"{'.'.join(map(str, path))} {name}" for path, name in (*named(step, AgentRef), *taken_from)]
    return ", ".join(roles) or "nothing is done; it explains"


def step_lines(
    number: int, step: StepSpec, scenario: Scenario, manifests: Mapping[str, AgentManifest]
) -> Iterator[str]:
    """A step for a reader: its place, type and action, then what it requires and checks."""
    yield f"{number:>3}. {step.id} ({step.type}): {step_action(step, scenario, manifests)}"
    if step.description:
        yield f"       {step.description}"
    if step.fault is not None:
        yield f"       fault: {step.fault.kind}"
    if step.requires:
        yield f"       requires: {', '.join(step.requires)}"
    if getattr(step, "expect_status", None) is not None:
        yield f"       expects status {getattr(step, 'expect_status', None)}"
    for expectation in step.expect:
        yield f"       expects {expectation_text(expectation)}"


def expectation_text(expectation: Expectation) -> str:
    """``$.status_code equals 403``; ``event capability.denied (agent_id writer), min 1``."""
    operators = expectation.model_dump(by_alias=True, exclude={"path", "event", "where"})
    checks = ", ".join(f"{name} {_shown(value)}" for name, value in operators.items())
    if expectation.path is not None:
        return f"{expectation.path} {checks}"
    where = ", ".join(f"{name} {_shown(value)}" for name, value in expectation.where.items())
    subject = f"event {expectation.event}" + (f" ({where})" if where else "")
    return f"{subject}, {checks}" if checks else subject


def _shown(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
