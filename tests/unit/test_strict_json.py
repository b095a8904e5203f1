"""What can be read in two ways is not read at all, whoever hands it in."""

from __future__ import annotations

import json
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from aitp_playground import strict_json

AMBIGUOUS = [
    "NaN",
    "[-Infinity]",
    "1e999",
    "-1e400",
    "1" * 40,
    '{"n": -' + "9" * 40 + "}",
    "1" * 5000,
    '{"a": 1, "a": 1}',
    '{"a": {"b": 1, "\\u0062": 2}}',
    '"\\ud800"',
    '{"\\udfff": 1}',
    '"\ud800"',
    "",
    "1 2",
    "\ufeff{}",
    "'x'",
    "[" * 201 + "]" * 201,
    '{"a":' * 300 + "1" + "}" * 300,
    "[" * 100_000,
    b"\xff",
    "{}".encode("utf-16"),
]


@pytest.mark.parametrize("text", AMBIGUOUS, ids=lambda text: repr(text)[:20])
def test_what_is_no_exact_json_is_refused_in_a_sentence(text: bytes | str) -> None:
    with pytest.raises(strict_json.NotExact) as refused:
        strict_json.loads(text)
    assert str(refused.value)
    assert len(str(refused.value)) < 200


@pytest.mark.parametrize("depth", [1, 199, 200])
def test_what_is_deep_but_within_the_limit_can_still_be_stored(depth: int) -> None:
    document = strict_json.loads("[" * depth + "]" * depth)
    assert orjson.dumps(strict_json.buried(document))


TEXT = st.text(st.characters(exclude_categories=["Cs"]))
NUMBERS = st.integers(-(2**63), 2**64 - 1) | st.floats(allow_nan=False, allow_infinity=False)
VALUES = st.recursive(
    st.none() | st.booleans() | NUMBERS | TEXT,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXT, inner, max_size=3),
    max_leaves=8,
)


@given(VALUES)
def test_everything_else_reads_back_as_it_was(value: Any) -> None:
    assert strict_json.loads(json.dumps(value)) == value
    assert strict_json.loads(orjson.dumps(value)) == value
