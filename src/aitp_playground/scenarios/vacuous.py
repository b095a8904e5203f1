"""Claims that an event does not come, where nothing could bring it about: no run contradicts them."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping

from aitp_playground.scenarios.models import Scenario, StepSpec

#: What comes of reports to a Control Plane, of lists that are looked at again and of books that are full.
_AT_ANY_TIME = frozenset(
    {
        "cp.degraded",
        "revocation.list_fetched",
        "revocation.refresh_failed",
        "revocation.verify_failed",
        "tct.dropped",
    }
)
Causes = Mapping[str, Collection[str]]


def causes_of(step_types: Mapping[str, type[StepSpec]]) -> Causes:
    """Step type → the event types that it brings about, beside those of every step."""
    return {name: getattr(model, "causes", ()) for name, model in step_types.items()}


def vacuous(scenario: Scenario, causes: Causes) -> Iterator[tuple[int, int]]:
    """``(step, expectation)``, by their numbers, of each such claim.

    What no step type is said to bring about may come at any time, and is no matter of this.
    """
    of_steps = frozenset().union(*causes.values()) - _AT_ANY_TIME
    so_far = set(causes.get("handshake", ()) if scenario.spec.trust.eager else ())
    for index, step in enumerate(scenario.spec.workflow.steps):
        own = set(causes.get(step.type, ()))
        so_far |= own
        possible = so_far if step.looks_back else own
        for number, expectation in enumerate(step.expect):
            if expectation.event in of_steps - possible and expectation.least == 0:
                yield index, number
