"""Lint for fields that are taken and do nothing beside what else is written: whoever wrote them expects more."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from aitp_playground.scenarios.checks import Fault
from aitp_playground.scenarios.models import AgentManifest, Scenario, StepSpec
from aitp_playground.scenarios.shape import STEPS


def idle_fields(scenario: Scenario, manifests: Mapping[str, AgentManifest]) -> Iterator[Fault]:
    """Each with its place and why it does nothing there."""
    yield from _discovery(scenario, manifests)
    for index, step in enumerate(scenario.spec.workflow.steps):
        for field, why in _of_step(step):
            yield (*STEPS, index, field), why


def _discovery(scenario: Scenario, manifests: Mapping[str, AgentManifest]) -> Iterator[Fault]:
    spec = scenario.spec
    at = ("spec", "trust", "discovery")
    if spec.trust.discovery == "cp_registry" and not any(agent.org == "external" for agent in spec.agents):
        yield at, "only agents of org external are looked for in the registry, and there is none"
    if spec.trust.discovery == "did_web" and not any(
        agent.did_web_host or (agent.id in manifests and manifests[agent.id].spec.did_web) for agent in spec.agents
    ):
        yield at, "no agent has a did:web: give one a did_web_host, or have its manifest say did_web"


def _of_step(step: StepSpec) -> Iterator[tuple[str, str]]:
    judged = getattr(step, "expect_status", None) is not None
    if step.on_mismatch == "record" and not judged:
        yield "on_mismatch", "it is about an expect_status, and there is none here"
    if step.fault is not None and judged:
        yield "expect_status", "a step with a fault gets no answer, so no status is looked at"
    if getattr(step, "input_from", None) is not None and getattr(step, "input_template", None) is not None:
        yield "input_template", "the input is the output of the step that input_from names, and nothing else"
