"""What of a run's steps has been tried so far, and what each of them claims."""

from __future__ import annotations

from aitp_playground.scenarios.models import Scenario, StepRef
from aitp_playground.scenarios.references import named
from aitp_playground.steps import Step, vacuous_claims
from aitp_playground.steps.base import Completed, Skipped, StepOutcome


class Tried:
    """Goes through a run with it, step by step."""

    def __init__(self, scenario: Scenario) -> None:
        #: Step id → whether an agent's SDK lacks what it takes; of the steps that did not do their part.
        self._left_out: dict[str, bool] = {}
        #: Step id → which of its claims no run could contradict: these are judged, and count for nothing.
        self._vacuous = vacuous_claims(scenario)

    def conclude(self, step: Step, outcome: StepOutcome) -> None:
        """Remember what became of it."""
        if isinstance(outcome, Skipped):
            self._left_out[step.id] = outcome.lacking
        elif outcome.degraded_by_cp or outcome.doubt is not None:
            self._left_out[step.id] = False

    def unproven(self, step: Step) -> Skipped | None:
        """Why the step is not to be tried: something that it requires was not, or that it takes was not made."""
        taken = (made_by for _, made_by in named(step, StepRef) if self._left_out.get(made_by))
        missing = [name for name in dict.fromkeys((*step.requires, *taken)) if name in self._left_out]
        if not missing:
            return None
        return Skipped(notes=f"unproven: it requires {', '.join(missing)}, which could not be tried", unproven=True)

    def claims(self, step: Step, outcome: Completed) -> int:
        """How many claims of the step were checked, those of its own included."""
        if outcome.degraded_by_cp:
            return outcome.checked
        vacuous = self._vacuous.get(step.id, frozenset())
        return outcome.checked + len(set(range(len(step.expect))) - outcome.untried - vacuous)
