"""``expect`` holds exactly when it should: each operator has a case in which it fails."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError

from aitp_playground.errors import ExpectationFailed
from aitp_playground.events.model import RunEvent, draft
from aitp_playground.scenarios.expectations import Expectation
from aitp_playground.scenarios.paths import select
from aitp_playground.steps.expect import check, same

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


NESTED = {"flag": True, "count": 1, "list": [True, {"on": False}], "body": {"error": {"code": "x", "message": "m"}}}


def fails(expectation: dict[str, Any], outputs: dict[str, Any] | None = None) -> str:
    """What is told of an expectation that does not hold."""
    with pytest.raises(ExpectationFailed) as failure:
        check([Expectation.model_validate(expectation)], output=NESTED, events=EVENTS, outputs=outputs or {})
    return failure.value.message


@pytest.mark.parametrize(
    "expectation",
    [
        {"path": "$", "equals": {**NESTED, "flag": 1}},
        {"path": "$", "equals": {**NESTED, "count": True}},
        {"path": "$.list", "equals": [1, {"on": False}]},
        {"path": "$.list", "equals": [True, {"on": 0}]},
        {"path": "$.list", "contains": 1},
        {"path": "$.list", "contains": {"on": 0}},
        {"path": "$", "not": NESTED},
        {"event": "handshake.complete", "where": {"payload.direction": True}},
    ],
)
def test_json_tells_true_from_one_at_any_depth(expectation: dict[str, Any]) -> None:
    assert not holds(expectation) if "event" in expectation else fails(expectation)


def test_a_number_is_the_same_however_it_is_written_and_an_object_in_whatever_order() -> None:
    assert same({"a": 1, "b": [2.0]}, {"b": [2], "a": 1.0})
    assert not same({"a": 1}, {"a": 1, "b": None})
    assert not same([1], [1, 2])
    assert not same("1", 1)


def test_where_tells_true_from_one_too() -> None:
    flagged = [event(1, "capability.denied", agent_id="b", code="x", payload={"status_code": 1})]
    wanted = Expectation.model_validate({"event": "capability.denied", "where": {"status_code": True}})
    with pytest.raises(ExpectationFailed):
        check([wanted], output={}, events=flagged, outputs={})


def test_placeholders_are_filled_in_at_any_depth() -> None:
    outputs = {"one": {"code": "x"}}
    inside = {"code": "{{ outputs.one.code }}", "message": "m"}
    assert "not" in fails({"path": "$.body.error", "not": inside}, outputs)
    assert "equals" in fails({"path": "$.body.error", "equals": {**inside, "message": "other"}}, outputs)
    listed = {"path": "$.list", "not": [True, {"on": "{{ outputs.one.flag }}"}]}
    assert "not" in fails(listed, {"one": {"flag": False}})
    check(
        [Expectation.model_validate({"path": "$.body.error", "equals": inside})],
        output=NESTED,
        events=[],
        outputs=outputs,
    )


@pytest.mark.parametrize(
    ("expectation", "told"),
    [
        ({"path": "$.body", "contains": ["error"]}, "an object contains keys"),
        ({"path": "$.body.error.code", "contains": 1}, "a text contains only texts"),
        ({"path": "$.count", "contains": 1}, "only a text, a list or an object"),
        ({"path": "$.count", "min": "{{ outputs.one.text }}"}, "min takes a number"),
        ({"path": "$.count", "max": "{{ outputs.one.none }}"}, "max takes a number"),
        ({"path": "$.flag", "min": 0}, "no number is there"),
        ({"path": "$.body.error.code", "matches": "{{ outputs.one.bad }}"}, "not a regular expression"),
        ({"path": "$.absent", "matches": "x"}, "nothing is there"),
    ],
)
def test_an_operand_that_does_not_fit_is_shown_side_by_side(expectation: dict[str, Any], told: str) -> None:
    message = fails(expectation, {"one": {"text": "2", "none": None, "bad": "("}})
    assert told in message
    assert ", was " in message


@pytest.mark.parametrize(
    ("expectation", "told"),
    [
        ({"path": "$.n", "min": "1"}, "min of a path is a number"),
        ({"path": "$.n", "max": None}, "max of a path is a number"),
        ({"path": "$.n", "min": True}, "min of a path is a number"),
        ({"path": "$.n", "matches": "("}, "not a regular expression"),
        ({"path": "$.n", "matches": None}, "matches is a regular expression"),
        ({"path": "$.n", "matches": "a" * 3000}, "at most 2000"),
        ({"path": "$.n", "exists": None}, "exists is true or false"),
        ({"path": "body.error", "exists": True}, "did you mean '$.body.error'?"),
        ({"event": "tct.revoked", "where": {"a..b": 1}}, "names no field"),
        ({"event": "tct.revoked", "min": 2, "max": 1}, "no count is"),
        ({"event": "tct.revoked", "max": 0, "within_ms": 10}, "would prove nothing"),
        ({"event": "tct.revoked", "within_ms": 20_000}, "10000"),
        ({"path": "$.n", "exists": True, "within_ms": 5}, "belongs to an event"),
    ],
)
def test_what_can_be_known_to_be_wrong_is_refused_when_it_is_read(expectation: dict[str, Any], told: str) -> None:
    with pytest.raises(ValidationError) as refused:
        Expectation.model_validate(expectation)
    assert told in str(refused.value)
    assert "regular expression" in told or "$(" not in str(refused.value)


@pytest.mark.parametrize(
    ("operator", "told"),
    [("contains", "every text contains the empty one"), ("matches", "an empty pattern is found in every text")],
)
def test_an_operand_that_a_placeholder_leaves_empty_proves_nothing(operator: str, told: str) -> None:
    outputs = {"earlier": {"nothing": "", "something": "o"}}
    assert told in fails({"path": "$.body.error.message", operator: "{{ outputs.earlier.nothing }}"}, outputs)
    assert told not in fails({"path": "$.body.error.message", operator: "zz{{ outputs.earlier.something }}"}, outputs)


@pytest.mark.parametrize(
    ("expectation", "told"),
    [
        ({"path": "$.s", "contains": ""}, "every text contains the empty one"),
        ({"path": "$.s", "matches": ""}, "an empty pattern is found in every text"),
        ({"path": "$", "exists": True}, "an output is always there"),
        ({"path": "$", "exists": False}, "an output is always there"),
        ({"event": "tct.revoked", "min": 0}, "always holds"),
        ({"event": "run.failed", "max": 0}, "comes when no step can look"),
        ({"event": "run.complete"}, "comes when no step can look"),
    ],
)
def test_what_always_or_never_holds_is_refused_when_it_is_read(expectation: dict[str, Any], told: str) -> None:
    with pytest.raises(ValidationError) as refused:
        Expectation.model_validate(expectation)
    assert told in str(refused.value)


def test_a_path_over_elements_shows_something_only_when_it_finds_something() -> None:
    assert holds({"path": "$.list[*].n", "exists": True})
    assert not holds({"path": "$.list[*].absent", "exists": True})
    assert holds({"path": "$.list[*].absent", "exists": False})
    assert not holds({"path": "$.list[*].n", "exists": False})
    assert holds({"path": "$.list[*].n", "not": [1]})
    assert "nothing is there" in fails({"path": "$.list[*].absent", "not": [1]}, {})
    assert "nothing is there" in fails({"path": "$.pages[*].list[*].absent", "not": [[1]]}, {})


@pytest.mark.parametrize("operator", ["equals", "not"])
def test_a_placeholder_over_elements_that_finds_nothing_is_nothing_to_compare_with(operator: str) -> None:
    outputs = {"one": {"findings": [], "list": [{"n": 1}]}}
    for path in ("findings[*].source", "list[*].absent"):
        expectation = {"path": "$.list[*].absent", operator: f"{{{{ outputs.one.{path} }}}}"}
        message = fails(expectation, outputs)
        assert f"outputs.one.{path}" in message
        assert "compare" in message


def test_a_name_that_no_event_has_is_told_with_the_one_that_was_meant() -> None:
    misspelt = Expectation.model_validate({"event": "capability.denied", "where": {"capabilty": "x"}, "max": 0})
    [(place, message)] = misspelt.unknown_names()
    assert place == ("where", "capabilty")
    assert "did you mean 'capability'?" in message
    inside = Expectation.model_validate({"event": "capability.denied", "where": {"payload.cod": "x"}, "max": 0})
    [(place, message)] = inside.unknown_names()
    assert place == ("where", "payload.cod")
    assert "did you mean 'code'?" in message
    promoted = Expectation.model_validate({"event": "capability.denied", "where": {"payload.agent_id": 1}, "max": 0})
    assert list(promoted.unknown_names())
    deep = Expectation.model_validate({"event": "capability.denied", "where": {"payload.code": "x", "ts": 1}, "max": 0})
    assert not list(deep.unknown_names())


def test_a_pattern_that_backtracks_takes_no_time_and_one_that_must_backtrack_is_ended() -> None:
    text = "a" * 40 + "!"
    wrong = Expectation.model_validate({"path": "$.t", "matches": "^(a+)+$"})
    with pytest.raises(ExpectationFailed):
        check([wrong], output={"t": text}, events=[], outputs={})
    ahead = Expectation.model_validate({"path": "$.t", "matches": r"^(?=a)(a+)+$"})
    check([ahead], output={"t": "aaa"}, events=[], outputs={})
    with pytest.raises(ExpectationFailed, match=r"not matched within 0\.2 s of CPU"):
        check([ahead], output={"t": text}, events=[], outputs={})


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
        {
            "path": "event tct.revoked",
            "operator": "min",
            "expected": 1,
            "actual": 0,
            "reason": "no event of this type came",
        },
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
        'event tct.revoked (agent_id "a", deep true) min 1, was 0 (no event of this type came)'
    )


@pytest.mark.parametrize("path", ["status_code", "$status", "$.a..b", "$.a[x]"])
def test_what_is_no_path_is_an_error_and_not_an_absence(path: str) -> None:
    with pytest.raises(ValueError, match="is not a path"):
        select(path, {})


@pytest.mark.parametrize(
    ("expectation", "said", "nearest"),
    [
        (
            {"event": "capability.denied", "where": {"agent_id": "b", "code": "expired"}},
            'the nearest, seq 2, has code "tct_missing"',
            {"seq": 2, "field": "code"},
        ),
        (
            {"event": "capability.denied", "where": {"agent_id": "a", "code": "replay"}},
            'the nearest, seq 3, has agent_id "b"',
            {"seq": 3, "field": "agent_id"},
        ),
        (
            {"event": "capability.denied", "where": {"code": "replay", "caller": "a"}},
            "the nearest, seq 3, has no caller",
            {"seq": 3, "field": "caller"},
        ),
        ({"event": "tct.revoked", "where": {"target": "a"}}, "no event of this type came", None),
        (
            {"event": "trust.established", "where": {"grants": ["y"]}},
            'the nearest, seq 1, has grants ["x"]',
            {"seq": 1, "field": "grants"},
        ),
    ],
)
def test_too_few_events_name_the_nearest_and_what_it_has_instead(
    expectation: dict[str, Any], said: str, nearest: dict[str, Any] | None
) -> None:
    with pytest.raises(ExpectationFailed) as failure:
        check([Expectation.model_validate(expectation)], output=OUTPUT, events=EVENTS, outputs={})
    assert failure.value.message.endswith(f"was 0 ({said})")
    assert failure.value.details[0].get("nearest") == nearest


def test_events_that_all_count_and_are_too_few_have_none_that_is_nearest() -> None:
    expectation = Expectation.model_validate({"event": "capability.denied", "min": 3})
    with pytest.raises(ExpectationFailed, match=r"was 2$"):
        check([expectation], output=OUTPUT, events=EVENTS, outputs={})


def test_what_the_nearest_event_has_is_shown_in_bounds() -> None:
    events = [event(1, "trust.failed", initiator="a", target="b", error="x" * 100_000)]
    expectation = Expectation.model_validate({"event": "trust.failed", "where": {"error": "y"}})
    with pytest.raises(ExpectationFailed) as failure:
        check([expectation], output=OUTPUT, events=events, outputs={})
    assert len(failure.value.message) < 500
