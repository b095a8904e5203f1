"""What a scenario of the right shape can still have wrong: names that lead nowhere. Each of these is an error."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from aitp_playground.events.vocabulary import ANYWHERE, FROM_AGENTS, NAMING_AGENTS, TYPES, payload_fields
from aitp_playground.scenarios.expectations import Expectation
from aitp_playground.scenarios.findings import Finding, KeyPath, Marks, nearest
from aitp_playground.scenarios.models import AgentManifest, AgentRef, Scenario, StepRef, StepSpec
from aitp_playground.scenarios.references import named, takes_from
from aitp_playground.scenarios.render import (
    declared_inputs,
    has_placeholder,
    input_key,
    output_step,
    placeholders,
    unfinished,
)
from aitp_playground.scenarios.schemas import schema_faults
from aitp_playground.scenarios.shape import STEPS

AGENTS: KeyPath = ("spec", "agents")
MAX_AGENTS = 16
MAX_STEPS = 200
_UNFINISHED = "{!r} begins a placeholder and does not end it: write {{{{ name }}}}, with two braces on both sides"

Fault = tuple[KeyPath, str]


def check(scenario: Scenario, manifests: Mapping[str, AgentManifest], marks: Marks) -> list[Finding]:
    """The errors in ``scenario``; ``manifests`` by agent id (those that could be read)."""
    rules: tuple[Callable[[Scenario, Mapping[str, AgentManifest]], Iterator[Fault]], ...] = (
        _sizes,
        _inputs,
        _agents,
        _step_ids,
        _names,
        _capabilities,
        _input_placeholders,
        _expectations,
        _faults,
    )
    return [marks.finding(path, message) for rule in rules for path, message in rule(scenario, manifests)]


def _sizes(scenario: Scenario, _: Mapping[str, AgentManifest]) -> Iterator[Fault]:
    for at, entries, most in (
        (AGENTS, scenario.spec.agents, MAX_AGENTS),
        (STEPS, scenario.spec.workflow.steps, MAX_STEPS),
    ):
        if len(entries) > most:
            yield at, f"a scenario has at most {most} {at[-1]}, this one {len(entries)}"


def _inputs(scenario: Scenario, _: Mapping[str, AgentManifest]) -> Iterator[Fault]:
    for path, message in schema_faults(scenario.spec.inputs.json_schema):
        yield ("spec", "inputs", "schema", *path), message


def _agents(scenario: Scenario, _: Mapping[str, AgentManifest]) -> Iterator[Fault]:
    yield from _duplicates([agent.id for agent in scenario.spec.agents], AGENTS, "agent")


def _step_ids(scenario: Scenario, _: Mapping[str, AgentManifest]) -> Iterator[Fault]:
    yield from _duplicates([step.id for step in scenario.spec.workflow.steps], STEPS, "step")


def _duplicates(ids: list[str], at: KeyPath, what: str) -> Iterator[Fault]:
    for index, name in enumerate(ids):
        if name in ids[:index]:
            yield (*at, index, "id"), f"{what} {name!r} is already there as number {ids.index(name) + 1}"


def _names(scenario: Scenario, _: Mapping[str, AgentManifest]) -> Iterator[Fault]:
    agents = {agent.id for agent in scenario.spec.agents}
    types = {step.id: step.type for step in scenario.spec.workflow.steps}
    for at, step, earlier in _steps(scenario):
        for path, name in named(step, AgentRef):
            if name not in agents:
                yield (*at, *path), f"no agent {name!r}{nearest(name, agents)}"
        for path, name in named(step, StepRef):
            if name not in earlier:
                yield (*at, *path), f"no earlier step {name!r}{nearest(name, earlier)}"
        for field, name, wanted in takes_from(step):
            if name in earlier and types[name] != wanted:
                yield (*at, field), f"the step {name!r} is of type {types[name]}; {field} takes one of type {wanted}"


def _capabilities(scenario: Scenario, manifests: Mapping[str, AgentManifest]) -> Iterator[Fault]:
    if len(manifests) < len({agent.id for agent in scenario.spec.agents}):
        return
    offered = {capability for manifest in manifests.values() for capability in manifest.spec.aitp.offered_caps}
    for at, step, _ in _steps(scenario):
        capability = getattr(step, "capability", None)
        if isinstance(capability, str) and capability not in offered:
            yield (*at, "capability"), f"no agent offers {capability!r}{nearest(capability, offered)}"


def _input_placeholders(scenario: Scenario, _: Mapping[str, AgentManifest]) -> Iterator[Fault]:
    declared = declared_inputs(scenario.spec.inputs.json_schema)
    for at, step, _earlier in _steps(scenario):
        for path, begun in unfinished(getattr(step, "input_template", None)):
            yield (*at, "input_template", *path), _UNFINISHED.format(begun)
        for path, expression in placeholders(getattr(step, "input_template", None)):
            key = input_key(expression)
            if key is None:
                yield (*at, "input_template", *path), f"{{{{ {expression} }}}} is {_no_input(expression)}"
            elif key not in declared:
                yield (*at, "input_template", *path), f"no input {key!r} is declared{nearest(key, declared)}"


def _no_input(expression: str) -> str:
    if output_step(expression) is not None:
        return "of a step's output, and an input_template takes {{ inputs.key }}; input_from hands on a whole output"
    return "no placeholder; write {{ inputs.key }}"


def _no_output(expression: str) -> str:
    if input_key(expression) is not None:
        return "of the inputs, and what is expected takes {{ outputs.step.path }}, of a step that gives the input back"
    return "no placeholder; write {{ outputs.step.path }}"


def _expectations(scenario: Scenario, _: Mapping[str, AgentManifest]) -> Iterator[Fault]:
    agents = {agent.id for agent in scenario.spec.agents}
    for at, step, earlier in _steps(scenario):
        known = {*earlier, step.id}
        for index, expectation in enumerate(step.expect):
            for place, message in (*expectation.unknown_names(), *_named_in(expectation, agents, known)):
                yield (*at, "expect", index, *place), message
            own = f"outputs.{step.id}{(expectation.path or '')[1:]}"
            written: dict[str, Any] = expectation.model_dump(by_alias=True)
            for path, begun in unfinished(written):
                yield (*at, "expect", index, *path), _UNFINISHED.format(begun)
            for path, expression in placeholders(written):
                name = output_step(expression)
                where = (*at, "expect", index, *path)
                if (dotted := _dotted_step(expression, known)) is not None:
                    better = re.sub(r"\.+", "_", dotted)
                    yield where, f"a placeholder reads the dot in step {dotted!r} as a field; call the step {better!r}"
                elif name is None:
                    yield where, f"{{{{ {expression} }}}} is {_no_output(expression)}"
                elif name not in known:
                    yield where, f"no earlier step {name!r}{nearest(name, known)}"
                elif expression == own:
                    yield where, f"{{{{ {expression} }}}} is what stands at {expectation.path} itself"


def _dotted_step(expression: str, steps: set[str]) -> str | None:
    """The step with a dot in its id that a placeholder means, or may mean."""
    starts = [(name, f"outputs.{name}") for name in sorted(steps) if "." in name]
    return next((name for name, start in starts if f"{expression}.".startswith((f"{start}.", f"{start}["))), None)


def _named_in(expectation: Expectation, agents: set[str], steps: set[str]) -> Iterator[Fault]:
    """Steps and agents in ``where`` that no event so far can name: with ``max: 0`` they would hold for ever."""
    for name, value in expectation.where.items():
        field = name.removeprefix("payload.")
        kind, _, inside = field.partition(".")
        if kind == "peers" and (peer := inside.partition(".")[0]) and peer not in agents:
            yield ("where", name), f"no agent is called {peer!r}{nearest(peer, agents)}"
        if has_placeholder(value) or not (name == "step_id" or _names_an_agent(expectation.event, field)):
            continue
        known = steps if name == "step_id" else agents
        # An agent from outside the run is told by its AID, which has colons.
        outside = known is agents and isinstance(value, str) and ":" in value
        if not outside and value not in tuple(known):
            what = "step so far" if known is steps else "agent"
            yield ("where", name), f"no {what} is called {value!r}{nearest(str(value), known)}"


def _names_an_agent(event: str | None, field: str) -> bool:
    if field not in NAMING_AGENTS or event not in TYPES:
        return False
    # What a payload from outside calls by these names is its own affair.
    return field in ANYWHERE | FROM_AGENTS or field in (payload_fields(event) or ())


def _faults(scenario: Scenario, _: Mapping[str, AgentManifest]) -> Iterator[Fault]:
    for at, step, _earlier in _steps(scenario):
        if step.fault is not None and not type(step).faultable:
            yield (*at, "fault"), f"a {step.type} step takes no fault"


def _steps(scenario: Scenario) -> Iterator[tuple[KeyPath, StepSpec, set[str]]]:
    """Each step with its place and the ids before it."""
    earlier: set[str] = set()
    for index, step in enumerate(scenario.spec.workflow.steps):
        yield (*STEPS, index), step, set(earlier)
        earlier.add(step.id)
