"""``expect`` holds exactly when it should: each operator has a case in which it fails."""

from __future__ import annotations

from typing import Any

import pytest

from aitp_playground.errors import ExpectationFailed
from aitp_playground.events.model import RunEvent, draft
from aitp_playground.scenarios.models import Expectation
from aitp_playground.steps.expect import check, select

OUTPUT = {"status_code": 403, "body": {"error": {"code": "tct_missing"}}, "list": [{"n": 1}, {"n": 2}], "none": None}


def event(seq: int, kind: str, **fields: Any) -> RunEvent:
    return RunEvent(seq=seq, id=str(seq), type=kind, ts=0.0, run_id="r", fields=draft(kind, **fields).fields)


EVENTS = [
    event(1, "trust.established", initiator="a", target="b", grants=["x"]),
    event(2, "capability.denied", agent_id="b", code="tct_missing"),
    event(3, "capability.denied", agent_id="b", code="replay"),
]


def holds(expectation: dict[str, Any], outputs: dict[str, Any] | None = None) -> bool:
    try:
        check([Expectation.model_validate(expectation)], output=OUTPUT, events=EVENTS, outputs=outputs or {})
    except ExpectationFailed:
        return False
    return True


@pytest.mark.parametrize(
    ("expectation", "outcome"),
    [
        ({"path": "$.status_code", "equals": 403}, True),
        ({"path": "$.status_code", "equals": 200}, False),
        ({"path": "$.status_code", "equals": "403"}, False),
        ({"path": "$.status_code", "not": 200}, True),
        ({"path": "$.status_code", "not": 403}, False),
        ({"path": "$.absent", "not": 403}, False),
        ({"path": "$.body.error.code", "contains": "missing"}, True),
        ({"path": "$.body.error.code", "contains": "expired"}, False),
        ({"path": "$.list", "contains": {"n": 2}}, True),
        ({"path": "$.list", "contains": {"n": 3}}, False),
        ({"path": "$.body", "contains": "error"}, True),
        ({"path": "$.list[1].n", "min": 2, "max": 2}, True),
        ({"path": "$.list[1].n", "min": 3}, False),
        ({"path": "$.list[1].n", "max": 1}, False),
        ({"path": "$.body", "min": 0}, False),
        ({"path": "$.list[*].n", "equals": [1, 2]}, True),
        ({"path": "$.list[*].n", "equals": [1]}, False),
        ({"path": "$.list[*].absent", "equals": []}, True),
        ({"path": "$.body[*].n", "equals": []}, False),
        ({"path": "$.absent", "exists": True}, False),
        ({"path": "$.absent", "exists": False}, True),
        ({"path": "$.none", "exists": True}, True),
        ({"path": "$.none", "equals": None}, True),
        ({"path": "$.absent", "equals": None}, False),
        ({"path": "$.body.error.code", "matches": "^tct_"}, True),
        ({"path": "$.body.error.code", "matches": "^pop_"}, False),
        ({"path": "$.status_code", "matches": "403"}, False),
        ({"event": "capability.denied"}, True),
        ({"event": "capability.denied", "min": 3}, False),
        ({"event": "capability.denied", "max": 1}, False),
        ({"event": "capability.denied", "where": {"code": "replay"}, "max": 1}, True),
        ({"event": "capability.denied", "where": {"code": "expired"}}, False),
        ({"event": "tct.revoked", "max": 0}, True),
        ({"event": "tct.revoked"}, False),
        ({"event": "trust.established", "where": {"grants": ["x"], "initiator": "a"}}, True),
        ({"event": "trust.established", "where": {"grants": ["x", "y"]}}, False),
    ],
)
def test_an_expectation_holds_exactly_when_it_should(expectation: dict[str, Any], outcome: bool) -> None:
    assert holds(expectation) is outcome


def test_expected_values_may_come_from_earlier_outputs_with_their_type() -> None:
    outputs = {"probe-1": {"status": 403, "name": "tct"}}
    assert holds({"path": "$.status_code", "equals": "{{ outputs.probe-1.status }}"}, outputs)
    assert holds({"path": "$.body.error.code", "equals": "{{ outputs.probe-1.name }}_missing"}, outputs)
    assert not holds({"path": "$.status_code", "equals": "{{ outputs.probe-1.name }}"}, outputs)
    assert not holds({"path": "$.status_code", "equals": "{{ outputs.absent.status }}"}, outputs)


def test_every_check_that_fails_is_told_with_expected_and_actual() -> None:
    wrong = [
        Expectation.model_validate({"path": "$.status_code", "equals": 200}),
        Expectation.model_validate({"event": "tct.revoked"}),
    ]
    with pytest.raises(ExpectationFailed) as failure:
        check(wrong, output=OUTPUT, events=EVENTS, outputs={})
    assert failure.value.details == [
        {"path": "$.status_code", "operator": "equals", "expected": 200, "actual": 403},
        {"path": "event tct.revoked", "operator": "min", "expected": 1, "actual": 0},
    ]
    assert failure.value.output == OUTPUT
    assert "was 403" in failure.value.message


def test_values_are_told_as_the_author_wrote_them_in_json() -> None:
    wrong = [
        Expectation.model_validate({"path": "$.rejected", "exists": False, "equals": "yes"}),
        Expectation.model_validate({"event": "tct.revoked", "where": {"agent_id": "a", "deep": True}}),
    ]
    with pytest.raises(ExpectationFailed) as failure:
        check(wrong, output={"rejected": True}, events=[], outputs={})
    assert failure.value.message == (
        'expected $.rejected equals "yes", was true; $.rejected exists false, was true; '
        'event tct.revoked (agent_id "a", deep true) min 1, was 0'
    )


@pytest.mark.parametrize("path", ["status_code", "$status", "$.a..b", "$.a[x]"])
def test_what_is_no_path_is_an_error_and_not_an_absence(path: str) -> None:
    with pytest.raises(ValueError, match="is not a path"):
        select(path, {})
