"""Lint sees claims that no run can meet, and those that allow for nothing having happened."""

from __future__ import annotations

import pytest

from .conftest import HELLO, Tree

CLAIM = "path: $.status_code\n            equals: 200"
EXPECT = "spec.workflow.steps.1.expect.0"


def claimed(tree: Tree, claim: str) -> list[tuple[str, str]]:
    """``(field, message)`` of what lint says about the scenario with this claim."""
    tree.edit(CLAIM, claim.replace("\n", "\n            "))
    findings = tree.lint()
    assert {(finding.level, finding.file) for finding in findings} <= {("warning", HELLO)}
    return [(finding.field, finding.message) for finding in findings]


@pytest.mark.parametrize(
    ("claim", "place", "said"),
    [
        ("event: capability.denied\nwhere: { code: tct_mising }", "where.code", "did you mean 'tct_missing'?"),
        ("event: capability.denied\nwhere: { payload.code: 403 }", "where.payload.code", "no code 403"),
        (
            "event: capability.denied\nwhere: { code: delegation_redeemed }",
            "where.code",
            "no code 'delegation_redeemed'",
        ),
        (
            "path: $.body.error.code\nequals: POLICY_VIOLATION",
            "equals",
            "for capability_unknown, grant_missing and tct_missing: say which, by an event capability.denied",
        ),
        ("path: $.body.error.code\nequals: TCT_REVOKED", "equals", "for revocation_unknown and tct_revoked"),
        ("event: delegation.rejected\nmax: 0", "event", "nothing here brings about delegation.rejected"),
        ("event: handshake.failed\nmin: 0\nmax: 3", "event", "is not counted as a claim"),
        ("path: $.body.error.code\nequals: POLICY_VIOLATON", "equals", "did you mean 'POLICY_VIOLATION'?"),
        ("path: $.body.error.code\nequals: grant_missing", "equals", "answers with POLICY_VIOLATION"),
        ("path: $.body.error.code\nnot: tct_revoked", "not", "answers with TCT_REVOKED"),
        ("path: $.body.error.code\nnot: no_such_thing", "not", "no code 'no_such_thing'"),
        ("path: $.status_code\nequals: 4003", "equals", "there is no status 4003: they go from 100 to 599"),
        ('path: $.status_code\nequals: "403"', "equals", "never '403'; write it without quotes"),
        ("path: $.status_code\nnot: 99", "not", "there is no status 99"),
        ("path: $.status_code\nmax: 600", "max", "there is no status 600"),
        ("event: capability.invoked\nwhere: { status_code: true }", "where.status_code", "never True"),
        ('event: capability.invoked\nwhere: { status_code: "200" }', "where.status_code", "without quotes"),
        ("event: capability.denied\nwhere: { code: tct_mising }\nmax: 0", "where.code", "no code"),
        ("event: handshake.failed\nwhere: { status: 1000 }", "where.status", "there is no status 1000"),
        ("event: capability.invoked\nmax: 1", "max", "holds also when no capability.invoked comes"),
    ],
)
def test_a_claim_that_nothing_meets_is_doubtful_at_its_place(tree: Tree, claim: str, place: str, said: str) -> None:
    ((field, message),) = claimed(tree, claim)
    assert field == f"{EXPECT}.{place}"
    assert said in message


@pytest.mark.parametrize(
    "claim",
    [
        "event: capability.denied\nwhere: { code: pop_invalid, status_code: 403 }",
        "path: $.body.error.code\nequals: REPLAY_DETECTED",
        "event: handshake.failed\nwhere: { code: A_CODE_OF_THE_LIBRARY }",
        "event: capability.invoked\nwhere: { code: own_code_of_a_worker }",
        "path: $.body.error.code\nequals: DELEGATION_EXPIRED",
        "path: $.body.error.details.reason\nequals: grant_missing",
        "path: $.body.error.code\nequals: '{{ outputs.meet.code }}'",
        "path: $.status_code\nequals: null",
        "path: $.status_code\nmin: 200\nmax: 299",
        "path: $.body.status_code\nequals: done",
        "event: capability.invoked\nmin: 0\nmax: 1",
        "event: capability.invoked\nmax: 0",
        "event: capability.invoked\nmin: 1\nmax: 1",
        "event: trust.peers_resolved\nmax: 0",  # not of a step
        "event: cp.degraded\nmax: 0",  # at any time
    ],
)
def test_a_claim_that_can_be_met_is_none(tree: Tree, claim: str) -> None:
    assert claimed(tree, claim) == []


@pytest.mark.parametrize(
    "reason",
    [
        "event: capability.denied\nwhere: { code: tct_revoked }",
        "path: $.body.error.details.reason\nequals: tct_revoked",
    ],
)
def test_a_code_of_several_refusals_is_none_with_the_reason_beside_it(tree: Tree, reason: str) -> None:
    beside = reason.replace("\n", "\n            ")
    tree.edit(CLAIM, f"path: $.body.error.code\n            equals: TCT_REVOKED\n          - {beside}")
    assert tree.lint() == []


def test_a_capability_may_answer_with_a_code_of_its_own(tree: Tree) -> None:
    tree.edit("target_agent: host", "target_agent: host\n        expect_status: 409")
    assert claimed(tree, "path: $.body.error.code\nequals: already_greeted") == []


@pytest.mark.parametrize(
    ("organisation", "discovery", "event", "doubts"),
    [
        ("external", "cp_registry", "event: capability.invoked\nwhere: { agent_id: host }", 1),
        ("external", "cp_registry", "event: capability.denied\nwhere: { agent_id: host }\nmax: 0", 1),
        ("external", "cp_registry", "event: capability.invoked\nwhere: { agent_id: guest }", 0),
        ("external", "cp_registry", "event: trust.established\nwhere: { target: host }", 0),
        ("internal", "cp_registry", "event: capability.invoked\nwhere: { agent_id: host }", 0),
        ("external", "did_web", "event: capability.invoked\nwhere: { agent_id: host }", 0),
    ],
)
def test_what_an_agent_found_in_the_registry_says_does_not_come_to_this_run(
    tree: Tree, organisation: str, discovery: str, event: str, doubts: int
) -> None:
    tree.edit("- id: host\n", f"- id: host\n      org: {organisation}\n")
    tree.edit("eager: false", f"eager: false\n    discovery: {discovery}")
    found = [each for each in claimed(tree, event) if each[0] != "spec.trust.discovery"]
    assert [field for field, _ in found] == [f"{EXPECT}.where.agent_id"] * doubts
    assert all("does not report to this run" in message for _, message in found)
