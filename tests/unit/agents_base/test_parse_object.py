"""Parsing what anybody may post: only what can be written down again is taken."""

from __future__ import annotations

import pytest

from base.http.wire import parse_object
from base.refusals import Fault


@pytest.mark.parametrize(
    "text",
    [r'{"a": "\ud800"}', r'{"a": ["x\uDFFFy"]}', r'{"\udc00": 1}', r'{"a": "\ud83d and \ude00"}'],
    ids=["first half", "second half", "in a name", "halves apart"],
)
def test_half_a_surrogate_pair_is_no_text(text: str) -> None:
    with pytest.raises(Fault) as refused:
        parse_object(text)
    assert refused.value.status == 400


@pytest.mark.parametrize(
    ("text", "value"),
    [(r'{"a": "\ud83d\ude00"}', "😀"), (r'{"a": "\\ud800"}', r"\ud800"), (r'{"a": "\ud7ff"}', "\ud7ff")],
    ids=["a whole pair", "an escaped backslash", "the last before them"],
)
def test_what_only_looks_like_one_is_taken(text: str, value: str) -> None:
    assert parse_object(text) == {"a": value}
