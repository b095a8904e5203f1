"""A template patches trust field by field and replaces agents and workflow whole."""

from __future__ import annotations

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from aitp_playground.scenarios.models import Scenario, ScenarioTemplate
from aitp_playground.scenarios.templates import merge
from aitp_playground.steps.meta import MetaStep

FIELDS = {
    "boundary": st.sampled_from(["intra_org", "cross_org", "cross_cloud"]),
    "discovery": st.sampled_from(["static", "did_web", "cp_registry"]),
    "eager": st.booleans(),
}
trusts = st.fixed_dictionaries({}, optional=FIELDS)
names = st.from_regex(r"[a-z0-9][a-z0-9._-]{0,8}", fullmatch=True)
agents = st.lists(st.fixed_dictionaries({"id": names, "ref": st.just("_shared/agents/x")}), min_size=1, max_size=3)
workflows = st.lists(names, max_size=3).map(lambda ids: {"steps": [MetaStep(id=name) for name in ids]})
specs = st.fixed_dictionaries({}, optional={"trust": trusts, "agents": agents, "workflow": workflows})


def scenario(spec: dict[str, Any]) -> Scenario:
    return Scenario.model_validate(
        {
            "apiVersion": "aitp.dev/v1",
            "kind": "ScenarioVersion",
            "metadata": {"pack": "p", "scenario": "s", "version": "1", "name": "S"},
            "spec": {"agents": [{"id": "a", "ref": "_shared/agents/a"}], **spec},
        }
    )


def template(spec: dict[str, Any]) -> ScenarioTemplate:
    return ScenarioTemplate.model_validate(
        {"apiVersion": "aitp.dev/v1", "kind": "ScenarioTemplate", "metadata": {"name": "t"}, "spec": spec}
    )


@given(specs, specs)
def test_trust_is_patched_by_exactly_the_fields_that_the_template_writes(
    base: dict[str, Any], change: dict[str, Any]
) -> None:
    merged = merge(scenario(base), template(change)).spec.trust
    for field in FIELDS:
        source = change["trust"] if field in change.get("trust", {}) else base.get("trust", {})
        assert getattr(merged, field) == source.get(field, getattr(scenario({}).spec.trust, field))


@given(specs, specs)
def test_agents_and_workflow_are_the_templates_or_the_scenarios_never_a_mixture(
    base: dict[str, Any], change: dict[str, Any]
) -> None:
    before, changed = scenario(base), template(change).spec
    merged = merge(before, template(change)).spec
    assert merged.agents == (changed.agents if "agents" in change else before.spec.agents)
    assert merged.workflow == (changed.workflow if "workflow" in change else before.spec.workflow)


@given(specs, specs)
def test_merging_leaves_its_arguments_the_ref_and_the_inputs_alone_and_twice_is_once(
    base: dict[str, Any], change: dict[str, Any]
) -> None:
    before, variant = scenario(base), template(change)
    merged = merge(before, variant)
    assert (before, variant) == (scenario(base), template(change))
    assert (merged.metadata, merged.spec.inputs) == (before.metadata, before.spec.inputs)
    assert merge(merged, variant) == merged


@given(specs)
def test_an_empty_template_changes_nothing(base: dict[str, Any]) -> None:
    assert merge(scenario(base), template({})) == scenario(base)
