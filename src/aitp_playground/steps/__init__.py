"""The step types. A new one is a new file here: a :class:`~aitp_playground.steps.base.Step` with a ``type`` Literal."""

from __future__ import annotations

from collections.abc import Mapping
from importlib import import_module
from pkgutil import iter_modules
from types import MappingProxyType
from typing import get_args

from aitp_playground.scenarios.models import Scenario
from aitp_playground.scenarios.vacuous import causes_of, vacuous
from aitp_playground.steps.base import Step


def _discover() -> Mapping[str, type[Step]]:
    found: dict[str, type[Step]] = {}
    for module in iter_modules(__path__):
        for candidate in vars(import_module(f"{__name__}.{module.name}")).values():
            if isinstance(candidate, type) and issubclass(candidate, Step):
                for name in get_args(candidate.model_fields["type"].annotation):
                    found[name] = candidate
    return MappingProxyType(found)


#: Step type name → its class.
STEP_TYPES: Mapping[str, type[Step]] = _discover()

_CAUSES = causes_of(STEP_TYPES)


def vacuous_claims(scenario: Scenario) -> Mapping[str, frozenset[int]]:
    """Step id → the numbers of its expectations that hold whatever happens, where it has any."""
    found: dict[str, frozenset[int]] = {}
    for index, number in vacuous(scenario, _CAUSES):
        step_id = scenario.spec.workflow.steps[index].id
        found[step_id] = found.get(step_id, frozenset()) | {number}
    return found


__all__ = ["STEP_TYPES", "Step", "vacuous_claims"]
