"""Times, queries and JSON, as a service written in JavaScript over Postgres has them."""

from __future__ import annotations

import pytest
from aiohttp.test_utils import make_mocked_request

from aitp_playground.control_plane.wire.errors import Unparseable
from aitp_playground.control_plane.wire.requests import number, parse_body, parse_json, query
from aitp_playground.control_plane.wire.times import iso_time, parse_when, pg_time, to_millisecond
from aitp_playground.uuids import is_uuid

NOON = 1795362518.796


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (NOON, "2026-11-22 15:48:38.796+00"),
        (1795362518, "2026-11-22 15:48:38+00"),
        (1795362518.5, "2026-11-22 15:48:38.5+00"),
        (1795362518.072497, "2026-11-22 15:48:38.072497+00"),
        (-1.0, "1969-12-31 23:59:59+00"),
        (None, None),
    ],
)
def test_rows_show_postgres_text_without_trailing_zeros(seconds: float | None, text: str | None) -> None:
    assert pg_time(seconds) == text


@pytest.mark.parametrize(
    ("seconds", "text"), [(NOON, "38.796Z"), (1795362518, "38.000Z"), (1795362518.0699, "38.069Z")]
)
def test_streams_show_iso_with_milliseconds(seconds: float, text: str) -> None:
    assert iso_time(seconds) == f"2026-11-22T15:48:{text}"


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("2026-11-22T15:48:38.796Z", NOON),
        ("2026-11-22T15:48:38.7969Z", NOON),
        ("2026-11-22 15:48:38.796+00", NOON),
        ("2026-11-22T16:48:38.796+01:00", NOON),
        ("2026-11-22T16:48:38.796+0100", NOON),
        ("2026-11-22T15:48:38.796", NOON),
        ("2026-11-22T15:48", 1795362480.0),
        ("2026-11-22", 1795305600.0),
        ("2026-11", 1793491200.0),
        ("2026", 1767225600.0),
        ("Sun, 22 Nov 2026 15:48:38 GMT", 1795362518.0),
        ("5", 988675200.0),
        ("70", 0.0),
    ],
)
def test_date_texts_are_understood(text: str, seconds: float) -> None:
    assert parse_when(text) == seconds


@pytest.mark.parametrize(
    "value",
    ["", "soon", "1795362518", "1795362518796", "2026-13-01", "2026-02-30", "2026-11-22T15:48:38 00:00", "20261122",
     "2026-W47", "12-11-2026 x", "0000", "abc def", 1795362518, 5.0, None, True, {}, []],
)  # fmt: skip
def test_everything_else_is_no_date(value: object) -> None:
    assert parse_when(value) is None


@pytest.mark.parametrize(("seconds", "cut"), [(1.001999, 1.001), (1.9999, 1.999), (NOON, NOON), (-0.0005, -0.001)])
def test_milliseconds_are_cut_not_rounded(seconds: float, cut: float) -> None:
    assert to_millisecond(seconds) == cut


@pytest.mark.parametrize(
    ("text", "limit"),
    [("", 1), ("7", 7), ("0", 1), ("-5", 1), ("5000", 1000), ("1e2", 100), ("x", 100), ("nan", 100), ("inf", 1000),
     ("7.9", 7)],
)  # fmt: skip
def test_a_limit_is_brought_into_its_bounds(text: str, limit: int) -> None:
    assert number(make_mocked_request("GET", f"/?limit={text}"), "limit", 100, 1000) == limit


def test_an_offset_may_be_nothing() -> None:
    assert number(make_mocked_request("GET", "/?offset=-3"), "offset", 5, 10, least=0) == 0


def test_a_parameter_is_its_first_value_under_its_first_name_and_nothing_when_empty() -> None:
    request = make_mocked_request("GET", "/?a=&b=1&b=2&c=3")
    assert query(request, "a") is None
    assert query(request, "a", "b", "c") == "1"
    assert query(request, "c", "b") == "3"


@pytest.mark.parametrize(
    ("raw", "parsed"),
    [(b'"\\ud800"', "\ud800"), (b"123456789012345678901234567890", 123456789012345678901234567890.0), (b"null", None),
     (b'"\xff"', "�")],
)  # fmt: skip
def test_json_is_taken_as_javascript_takes_it(raw: bytes, parsed: object) -> None:
    assert parse_json(raw) == parsed


@pytest.mark.parametrize("raw", [b"", b"{", b"NaN", b"[Infinity]", b"\xef\xbb\xbf[]", b"[" * 100_000, b"1 2"])
def test_what_is_no_json_is_refused_however_deep(raw: bytes) -> None:
    with pytest.raises(Unparseable) as refused:
        parse_body(raw, "words")
    assert refused.value.body == {"error": "words", "code": "BODY_INVALID"}


@pytest.mark.parametrize(
    ("text", "good"),
    [("9a12be2d-0e1c-4953-8351-17ed8c8406f8", True), ("9A12BE2D-0E1C-7953-0351-17ED8C8406F8", True),
     ("9a12be2d0e1c4953835117ed8c8406f8", False), ("x", False), ("", False)],
)  # fmt: skip
def test_uuids_are_hyphenated_and_of_any_version(text: str, good: bool) -> None:
    assert is_uuid(text) is good
