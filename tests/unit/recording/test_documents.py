"""A normal form survives being written down, and can be read by a person."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aitp_playground.recording.documents import (
    as_document,
    from_document,
    from_lines,
    from_yaml,
    to_lines,
    to_yaml,
)
from tests.support.made_logs import made_log


@given(st.integers(0, 1000), st.booleans())
def test_it_is_read_back_as_it_was(seed: int, volatile: bool) -> None:
    form = made_log(seed).form(volatile=volatile)
    assert from_document(as_document(form)) == form
    assert from_lines(to_lines(form)) == form


def test_yaml_is_read_back_as_it_was_and_holds_short_events_on_a_line() -> None:
    form = made_log().form()
    text = to_yaml(form)
    assert from_yaml(text) == form
    assert "- {type: step.probing_no_trust, target: writer}\n" in text
    assert "exp: <+3600s>" in text


def test_another_version_is_refused() -> None:
    document = {**as_document(made_log().form()), "recording": 99}
    with pytest.raises(ValueError, match="version 99"):
        from_document(document)
