"""For whose want of trust a step, or a claim, is excused, and for whose it is not."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any, cast

import pytest

from aitp_playground.runs.conducting.kept_apart import KeptApart
from aitp_playground.steps.base import Completed, Skipped, StepContext
from aitp_playground.steps.meta import MetaStep
from aitp_playground.steps.probe import CapabilityProbeStep

LACKING = "feature not available: b has none"


@pytest.fixture
def apart() -> KeptApart:
    kept_apart = KeptApart()
    kept_apart.for_want_of("a", "b", LACKING)
    return kept_apart


def probe(agent: str, target: str) -> CapabilityProbeStep:
    return CapabilityProbeStep.model_validate(
        {"id": "probe", "agent": agent, "target_agent": target, "capability": "x.y"}
    )


def test_a_step_of_both_is_excused_and_one_with_a_third_is_not(apart: KeptApart) -> None:
    assert LACKING in str(apart.why_not(probe("a", "b"), None))
    assert LACKING in str(apart.why_not(probe("b", "a"), None))
    assert apart.why_not(probe("a", "c"), None) is None
    assert apart.why_not(probe("c", "b"), None) is None


def test_who_answers_counts_as_one_that_is_named(apart: KeptApart) -> None:
    alone = MetaStep.model_validate({"id": "call", "description": "none"})
    assert apart.why_not(alone, "c") is None
    assert apart.why_not(probe("a", "a"), "b") is not None
    assert apart.why_not(probe("a", "a"), "c") is None
    assert apart.why_not(probe("a", "a"), None) is not None


def test_who_have_met_after_all_are_excused_no_longer(apart: KeptApart) -> None:
    apart.for_want_of("b", "c", "another")
    apart.met("b", "a")
    assert apart.why_not(probe("a", "b"), None) is None
    assert (apart.lacking, set(apart.for_want)) == ("another", {frozenset("bc")})
    apart.met("b", "c")
    assert apart.lacking is None


def test_an_injected_fault_is_no_want(apart: KeptApart) -> None:
    apart.met("a", "b")
    apart.by_fault("a", "b", "bad_sig on b")
    assert "bad_sig on b" in str(apart.why_not(probe("a", "b"), None))
    assert (apart.lacking, set(apart.for_want)) == (None, set())


async def outcome_of(apart: KeptApart, *expect: dict[str, Any]) -> Completed | Skipped:
    context = SimpleNamespace(
        scenario=SimpleNamespace(spec=SimpleNamespace(trust=SimpleNamespace(discovery="static"))),
        cp=SimpleNamespace(enabled=False),
        sources=(),
        lacking=apart.lacking,
        apart=apart.for_want,
    )
    return await MetaStep.model_validate({"id": "claims", "expect": list(expect)}).run(cast("StepContext", context))


WANTS = {"event": "trust.established", "where": {"initiator": "a", "target": "b"}}
OF_ONE = {"event": "handshake.answered", "where": {"agent_id": "b"}, "min": 1, "max": 1}
OF_ANYBODY = {"event": "tct.stored"}


@pytest.mark.parametrize("claim", [WANTS, OF_ONE, OF_ANYBODY], ids=["both", "one", "anybody"])
async def test_a_claim_that_only_they_could_make_true_is_not_tried(apart: KeptApart, claim: dict[str, Any]) -> None:
    assert await outcome_of(apart, claim) == Skipped(notes=LACKING, unproven=True, lacking=True)


@pytest.mark.parametrize(
    "claim",
    [
        {"event": "trust.established", "where": {"initiator": "a", "target": "c"}},
        {"event": "handshake.failed", "max": 0},
        {"event": "tct.revoked", "where": {"agent_id": "b"}, "max": 0},
        {"event": "oidc.issuer_minted"},
    ],
    ids=["a-third", "none-failed", "none-revoked", "no-trust"],
)
async def test_what_does_not_hang_on_their_trust_is_judged(apart: KeptApart, claim: dict[str, Any]) -> None:
    outcome = await outcome_of(apart, WANTS, claim)
    assert isinstance(outcome, Completed)
    assert (outcome.untried, outcome.doubt) == ({0}, LACKING)
    assert [
        one.event for one in outcome.judged(MetaStep.model_validate({"id": "claims", "expect": [WANTS, claim]}).expect)
    ] == [claim["event"]]
    alone = await outcome_of(apart, claim)
    assert isinstance(alone, Completed)
    assert (alone.untried, alone.doubt) == (set(), None)
