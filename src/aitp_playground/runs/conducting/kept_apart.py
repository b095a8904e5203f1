"""Agents of a run that do not trust each other although its scenario says that they shall: by an injected fault, or for
want of a feature."""

from __future__ import annotations

from collections.abc import Collection

from aitp_playground.scenarios.models import AgentRef
from aitp_playground.scenarios.references import named
from aitp_playground.steps import Step

#: What an agent says that holds, or gave, nothing.
NOTHING_GIVEN = frozenset({"no_tct_held", "no_tct_issued", "no_voucher_held"})


class KeptApart:
    """Pairs, and for each the sentence that says why."""

    def __init__(self) -> None:
        self._pairs: dict[frozenset[str], str] = {}
        self._lacking: dict[frozenset[str], str] = {}

    @property
    def lacking(self) -> str | None:
        """What the SDK of an agent lacks, as a sentence, if that keeps anybody apart."""
        return next(iter(self._lacking.values()), None)

    @property
    def for_want(self) -> Collection[frozenset[str]]:
        """The pairs that are kept apart by that."""
        return frozenset(self._lacking)

    def by_fault(self, first: str, second: str, fault: str) -> None:
        """An injected fault kept them from shaking hands."""
        self._pairs[frozenset((first, second))] = f"it needs the trust that the injected fault {fault} prevented"

    def for_want_of(self, first: str, second: str, lacking: str) -> None:
        """The SDK of one of both lacks what it takes."""
        pair = frozenset((first, second))
        self._lacking[pair] = lacking
        self._pairs[pair] = f"it needs the trust of {first} and {second}: {lacking}"

    def met(self, first: str, second: str) -> None:
        """They have shaken hands after all."""
        pair = frozenset((first, second))
        self._pairs.pop(pair, None)
        self._lacking.pop(pair, None)

    def why_not(self, step: Step, partner: str | None) -> str | None:
        """Why those who take part in this step may hold nothing of each other, or have given nothing. ``partner``: who
        takes part beside those that the step names."""
        agents = {agent_id for _, agent_id in named(step, AgentRef)} | ({partner} if partner is not None else set())
        alone = len(agents) == 1
        return next((why for pair, why in self._pairs.items() if pair <= agents or (alone and pair & agents)), None)
