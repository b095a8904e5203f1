"""What goes through the codec comes back, and always as one line."""

from __future__ import annotations

import json
from types import MappingProxyType
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aitp_playground.events.codec import decode, decode_json, encode, encode_json
from aitp_playground.events.model import PROMOTED, RunEvent


def _joined(text: str) -> str:
    """JSON reads a high surrogate followed by a low one as one character, so texts are compared in that form."""
    return text.encode("utf-16", "surrogatepass").decode("utf-16", "surrogatepass")


# All code points, lone surrogates and NUL among them.
TEXT = st.text(st.characters(codec=None, categories=None)).map(_joined)
NUMBER = st.integers() | st.integers(min_value=-(2**200), max_value=2**200) | st.floats(allow_nan=False, width=64)
LEAF = st.none() | st.booleans() | NUMBER.filter(lambda n: n == n and abs(n) != float("inf")) | TEXT
JSON = st.recursive(LEAF, lambda inner: st.lists(inner) | st.dictionaries(TEXT, inner), max_leaves=20)


@given(fields=st.dictionaries(st.sampled_from(PROMOTED), JSON), ts=st.floats(min_value=0, max_value=4e9))
def test_any_event_survives_the_round_trip_on_one_line(fields: dict[str, Any], ts: float) -> None:
    event = RunEvent(seq=7, id="an-id", type="run.started", ts=ts, run_id="r1", fields=fields)
    body = encode(event)
    assert decode(body) == event
    assert b"\n" not in body
    assert body.startswith(b'{"seq":7,')


@pytest.mark.parametrize(
    "value",
    ["\ud800", "\udfff and text", "\0", 2**64, -(2**63) - 1, 10**40, "9" * 40, {"\udc00": [2**70, "\u2028"]}, -0.0],
)
def test_awkward_values_keep_their_exact_value(value: Any) -> None:
    assert decode_json(encode_json(value)) == value


@pytest.mark.parametrize("beside", ["plain", "\ud800", 2**80])
def test_numbers_json_has_no_word_for_become_null_in_both_encodings(beside: Any) -> None:
    value = {"a": float("nan"), "b": [float("inf"), -float("inf")], "beside": beside}
    assert json.loads(encode_json(value)) == {"a": None, "b": [None, None], "beside": beside}


def test_an_integer_too_long_to_print_becomes_null_instead_of_an_error() -> None:
    assert json.loads(encode_json({"n": 10**5000, "m": 1})) == {"n": None, "m": 1}


def test_deep_nesting_beyond_the_fast_encoder_is_still_encoded() -> None:
    value: Any = "bottom"
    for _ in range(300):
        value = [value]
    assert decode_json(encode_json(value)) == value


def test_read_only_mappings_are_objects_in_both_encodings() -> None:
    assert encode_json({"p": MappingProxyType({"a": 1})}) == b'{"p":{"a":1}}'
    assert json.loads(encode_json({"p": MappingProxyType({"a": 2**70})})) == {"p": {"a": 2**70}}


def test_what_is_no_json_at_all_is_refused_by_its_type_name() -> None:
    with pytest.raises(TypeError):
        encode_json({"a": object()})


@pytest.mark.parametrize("body", [b"", b"{", b"nonsense", b'{"n":1234567890123456789012,}'])
def test_a_body_that_is_no_json_is_a_value_error(body: bytes) -> None:
    with pytest.raises(ValueError):
        decode(body)
