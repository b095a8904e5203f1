"""Differences of JSON have a path and both values."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aitp_playground.recording.alignment import Budget
from aitp_playground.recording.values import LONGEST, MOST, differences

documents = st.recursive(
    st.none() | st.booleans() | st.integers(-3, 3) | st.text("ab", max_size=3),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text("xy", max_size=2), inner, max_size=3),
    max_leaves=12,
)


def told(a: Any, b: Any) -> list[dict[str, Any]]:
    return [one.as_dict() for one in differences(a, b, Budget())[0]]


@pytest.mark.parametrize(
    ("a", "b", "expected"),
    [
        ({"x": 1}, {"x": 2}, [{"path": "$.x", "a": 1, "b": 2}]),
        ({"x": 1}, {}, [{"path": "$.x", "a": 1}]),
        ({}, {"x": None}, [{"path": "$.x", "b": None}]),
        ({"x": 1}, {"x": True}, [{"path": "$.x", "a": 1, "b": True}]),
        ([1, 2, 3], [1, 3], [{"path": "$[1]", "a": 2}]),
        ([1, 3], [1, 2, 3], [{"path": "$[1]", "b": 2}]),
        ([{"a": 1}, 2], [{"a": 9}, 2], [{"path": "$[0].a", "a": 1, "b": 9}]),
        ({"a b": {"c": [1]}}, {"a b": {"c": [2]}}, [{"path": '$["a b"].c[0]', "a": 1, "b": 2}]),
        ({"x": [1]}, {"x": {"y": 1}}, [{"path": "$.x", "a": [1], "b": {"y": 1}}]),
        ("a", "b", [{"path": "$", "a": "a", "b": "b"}]),
    ],
)
def test_what_differs(a: Any, b: Any, expected: list[dict[str, Any]]) -> None:
    assert told(a, b) == expected


@given(documents)
def test_the_same_has_none(document: Any) -> None:
    assert told(document, document) == []


@given(documents, documents)
def test_what_only_one_side_has_is_the_other_way_round_on_the_other(a: Any, b: Any) -> None:
    there, back = told(a, b), told(b, a)
    assert bool(there) == bool(back)
    assert sum("b" not in one for one in there) == sum("a" not in one for one in back)


def test_of_long_texts_the_part_that_differs_is_told() -> None:
    a, b = "x" * 5_000 + "one" + "y" * 5_000, "x" * 5_000 + "two" + "y" * 5_000
    (one,) = told({"body": a}, {"body": b})
    assert "xone" in one["a"]
    assert "xtwo" in one["b"]
    assert len(one["a"]) < 500
    (gone,) = told({"body": a, "z": 1}, {"z": 1})
    assert len(gone["a"]) < LONGEST + 100
    (large,) = told({"x": list(range(5_000))}, {})
    assert large["a"] == "<23891 bytes of JSON>"


def test_many_are_counted() -> None:
    found, more = differences({str(n): n for n in range(1_000)}, {}, Budget())
    assert (len(found), more) == (MOST, 1_000 - MOST)
