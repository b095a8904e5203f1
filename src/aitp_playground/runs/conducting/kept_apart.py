"""Agents of a run that do not trust each other although its scenario says that they shall: by an injected fault, or for
want of a feature."""

from __future__ import annotations

from aitp_playground.scenarios.models import AgentRef
from aitp_playground.scenarios.references import named
from aitp_playground.steps import Step

#: What an agent says that holds, or gave, nothing.
NOTHING_GIVEN = frozenset({"no_tct_held", "no_tct_issued", "no_voucher_held"})


class KeptApart:
    """Pairs, and for each the sentence that says why."""

    def __init__(self) -> None:
        self._pairs: dict[frozenset[str], str] = {}
        #: What the SDK of an agent lacks, as a sentence, if that kept anybody apart.
        self.lacking: str | None = None

    def by_fault(self, first: str, second: str, fault: str) -> None:
        self._pairs[frozenset((first, second))] = f"it needs the trust that the injected fault {fault} prevented"

    def for_want_of(self, first: str, second: str, lacking: str) -> None:
        self.lacking = lacking
        self._pairs[frozenset((first, second))] = f"it needs the trust of {first} and {second}: {lacking}"

    def why_not(self, step: Step) -> str | None:
        """Why an agent that takes part in this step may hold nothing, or have given nothing."""
        agents = {agent_id for _, agent_id in named(step, AgentRef)}
        return next((why for pair, why in self._pairs.items() if pair & agents), None)
