"""Merging a template into its scenario."""

from __future__ import annotations

from aitp_playground.scenarios.models import Scenario, ScenarioTemplate


def merge(scenario: Scenario, template: ScenarioTemplate) -> Scenario:
    """``scenario`` with the fields of ``trust`` that the template writes, and its agents and workflow as a whole.

    Both arguments stay as they are; the ref stays the scenario's.
    """
    change = template.spec
    update: dict[str, object] = {}
    if change.trust is not None:
        written = {name: getattr(change.trust, name) for name in change.trust.model_fields_set}
        update["trust"] = scenario.spec.trust.model_copy(update=written)
    if change.agents is not None:
        update["agents"] = change.agents
    if change.workflow is not None:
        update["workflow"] = change.workflow
    return scenario.model_copy(update={"spec": scenario.spec.model_copy(update=update)})
