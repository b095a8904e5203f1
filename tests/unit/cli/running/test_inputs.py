"""Inputs from the command line take the type that the scenario's schema gives them."""

from __future__ import annotations

import io
import sys
from pathlib import Path
from typing import Any

import pytest

from aitp_playground.cli.running.inputs import given_inputs, read_document
from aitp_playground.errors import InputsInvalid, MalformedRequest

SCHEMA: dict[str, Any] = {
    "type": "object",
    "properties": {
        "topic": {"type": "string"},
        "count": {"type": "integer"},
        "ratio": {"type": "number"},
        "deep": {"type": "boolean"},
        "sources": {"type": "array"},
        "filter": {"type": "object"},
        "either": {"type": ["string", "integer"]},
        "maybe": {"type": ["integer", "null"]},
        "level": {"enum": [1, 2, 3]},
        "mode": {"enum": ["fast", "slow"]},
        "fixed": {"const": 7},
        "shared": {"$ref": "#/$defs/size"},
        "choice": {"anyOf": [{"type": "integer"}, {"type": "boolean"}]},
        "anything": {},
    },
    "$defs": {"size": {"type": "integer"}},
}


@pytest.mark.parametrize(
    ("pair", "value"),
    [
        ("topic=42", "42"),
        ("topic=true", "true"),
        ("topic=", ""),
        ("topic=a=b=c", "a=b=c"),
        ("count=42", 42),
        ("ratio=0.5", 0.5),
        ("deep=true", True),
        ('sources=["a", 1]', ["a", 1]),
        ('filter={"a": null}', {"a": None}),
        ("either=42", "42"),
        ("maybe=null", None),
        ("level=2", 2),
        ("mode=fast", "fast"),
        ("fixed=7", 7),
        ("shared=3", 3),
        ("choice=false", False),
        ("anything=42", "42"),
    ],
)
def test_a_value_is_json_only_where_the_schema_takes_no_string(pair: str, value: object) -> None:
    given = given_inputs(SCHEMA, [pair], None)
    (found,) = given.values()
    assert found == value
    assert type(found) is type(value)


def test_a_pair_wins_over_the_document() -> None:
    assert given_inputs(SCHEMA, ["count=2"], '{"count": 1, "topic": "x"}') == {"count": 2, "topic": "x"}


def test_the_document_may_come_from_a_file(tmp_path: Path) -> None:
    file = tmp_path / "inputs.json"
    file.write_text('{"topic": "größer"}', encoding="utf-8")
    assert given_inputs(SCHEMA, [], read_document(f"@{file}")) == {"topic": "größer"}


def test_the_document_may_come_from_standard_input(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(b'{"count": 3}')))
    assert given_inputs(SCHEMA, [], read_document("@-")) == {"count": 3}


@pytest.mark.parametrize(
    ("pairs", "document", "named"),
    [
        (["topic"], None, "KEY=VALUE"),
        (["=x"], None, "KEY=VALUE"),
        ([], "{", "not JSON that can be used"),
        ([], "[1]", "JSON object"),
        ([], "@/no/such/file", "cannot be read"),
    ],
)
def test_what_is_no_input_at_all_is_refused_by_what_is_wrong(
    pairs: list[str], document: str | None, named: str
) -> None:
    with pytest.raises(MalformedRequest, match=named):
        given_inputs(SCHEMA, pairs, None if document is None else read_document(document))


def test_a_file_over_the_bound_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "inputs.json"
    file.write_bytes(b'{"topic": "' + b"x" * (1 << 20) + b'"}')
    with pytest.raises(MalformedRequest, match="larger than"):
        given_inputs(SCHEMA, [], read_document(f"@{file}"))


def test_a_word_where_a_number_belongs_is_refused_with_the_type_it_takes() -> None:
    with pytest.raises(InputsInvalid, match=r"'count' takes a JSON value \(integer\), not 'many'"):
        given_inputs(SCHEMA, ["count=many"], None)


def test_a_misspelt_input_is_refused_with_the_nearest_name() -> None:
    with pytest.raises(InputsInvalid, match="did you mean 'topic'"):
        given_inputs(SCHEMA, ["topci=x"], None)


def test_an_unknown_input_is_text_where_the_schema_is_open() -> None:
    assert given_inputs({**SCHEMA, "additionalProperties": True}, ["extra=1"], None) == {"extra": "1"}


AMBIGUOUS = [
    "NaN",
    "-Infinity",
    "1e999",
    "1" * 40,
    "-" + "9" * 40,
    '{"a": 1, "a": 2}',
    '"\\ud800"',
    "[" * 300 + "]" * 300,
]


@pytest.mark.parametrize("text", AMBIGUOUS)
def test_a_value_that_the_api_would_refuse_is_refused_here_too(text: str) -> None:
    for name in ("ratio", "filter", "sources"):
        with pytest.raises(InputsInvalid, match=f"'{name}' takes a JSON value"):
            given_inputs(SCHEMA, [f"{name}={text}"], None)
    with pytest.raises(MalformedRequest, match="--inputs is not JSON"):
        given_inputs(SCHEMA, [], f'{{"filter": {text}}}')


def test_arguments_that_are_no_utf8_are_refused() -> None:
    with pytest.raises(MalformedRequest, match="not UTF-8"):
        given_inputs(SCHEMA, ["topic=\udcff"], None)
    with pytest.raises(MalformedRequest, match="not UTF-8"):
        given_inputs(SCHEMA, [], '{"topic": "\udcff"}')


@pytest.mark.parametrize("stdin", [None, io.TextIOWrapper(io.BytesIO())])
def test_a_closed_standard_input_is_named(monkeypatch: pytest.MonkeyPatch, stdin: io.TextIOWrapper | None) -> None:
    if stdin is not None:
        stdin.close()
    monkeypatch.setattr(sys, "stdin", stdin)
    with pytest.raises(MalformedRequest, match="standard input is closed"):
        given_inputs(SCHEMA, [], read_document("@-"))


def test_standard_input_is_left_open_for_whoever_comes_next(monkeypatch: pytest.MonkeyPatch) -> None:
    stdin = io.TextIOWrapper(io.BytesIO(b'{"count": 3}'))
    monkeypatch.setattr(sys, "stdin", stdin)
    assert given_inputs(SCHEMA, [], read_document("@-")) == {"count": 3}
    assert not stdin.closed
