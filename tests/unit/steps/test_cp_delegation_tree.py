"""The walk down a delegation tree whose rows are not all as they should be."""

from __future__ import annotations

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any, cast

import pytest

from aitp_playground.cp_client.reasons import Outcome, Reason
from aitp_playground.steps.base import Completed, StepContext
from aitp_playground.steps.cp_delegation_tree import CpDelegationTreeStep

ROOT = {"jti": "r", "parentJti": "t", "delegator": "A", "delegatee": "B"}
BELOW = {"jti": "b", "parentJti": "r", "delegator": "B", "delegatee": "C"}


class Context:
    """A run with a Control Plane that answers ``own`` for the agent and ``below`` for a root."""

    def __init__(self, own: Outcome[Any], below: Callable[[str], Outcome[Any]]) -> None:
        self.recorded: list[str] = []
        self.walked: list[Any] = []

        async def outcome(*, delegator: str = "", root_jti: Any = None) -> Outcome[Any]:
            if delegator:
                return own
            self.walked.append(root_jti)
            return below(root_jti)

        self.cp = SimpleNamespace(enabled=True, fetch_delegations=SimpleNamespace(outcome=outcome))

    def agent(self, _: str) -> Any:
        return SimpleNamespace(aid="A")

    async def flush_to_cp(self) -> None:
        return None

    async def record(self, event_type: str, **_: Any) -> None:
        self.recorded.append(event_type)


async def walk(context: Context) -> Completed:
    step = CpDelegationTreeStep(id="tree", agent="a")
    outcome = await step.run(cast("StepContext", context))
    assert isinstance(outcome, Completed)
    return outcome


ODD = [{}, {"jti": None}, {"jti": 7}, {"jti": ["r"]}, {"jti": {}}, {"jti": ""}]


@pytest.mark.parametrize("odd", ODD, ids=str)
async def test_a_row_that_names_no_delegation_is_passed_over(odd: dict[str, Any]) -> None:
    context = Context(Outcome([odd, ROOT, odd]), lambda _: Outcome([odd, ROOT, BELOW]))
    outcome = await walk(context)
    assert outcome.output == {"delegator": "A", "delegations": [ROOT, BELOW], "count": 2}
    assert context.walked == ["r"]
    assert context.recorded == ["cp.delegation.tree"]


@pytest.mark.parametrize("reason", ["timeout", "bad_shape"])
async def test_a_walk_that_breaks_off_is_degraded_with_what_was_found(reason: Reason) -> None:
    context = Context(Outcome([ROOT]), lambda _: Outcome([], reason))
    outcome = await walk(context)
    assert outcome.degraded_by_cp
    assert (outcome.output["error"], outcome.output["count"]) == (reason, 1)
    assert context.recorded == ["cp.degraded"]
