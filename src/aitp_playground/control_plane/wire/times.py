"""The two dialects of time: Postgres text in rows, ISO 8601 in streams and webhooks; and reading dates of any kind."""

from __future__ import annotations

import math
import re
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

_ISO = re.compile(
    r"(\d{4})-(\d\d)(?:-(\d\d))?(?:[T ](\d\d):(\d\d)(?::(\d\d)(?:\.(\d{1,9}))?)?(?: ?(Z|[+-]\d\d(?::?\d\d)?))?)?"
)


def pg_time(seconds: float | None) -> str | None:
    """Postgres text as rows show it: ``2026-11-22 15:48:38.796+00``, fraction without trailing zeros."""
    if seconds is None:
        return None
    moment = datetime.fromtimestamp(seconds, UTC)
    fraction = f".{moment.microsecond:06d}".rstrip("0").rstrip(".")
    return f"{moment:%Y-%m-%d %H:%M:%S}{fraction}+00"


def iso_time(seconds: float) -> str:
    """``2026-11-22T15:48:38.796Z``, always with milliseconds."""
    moment = datetime.fromtimestamp(seconds, UTC)
    return f"{moment:%Y-%m-%dT%H:%M:%S}.{moment.microsecond // 1000:03d}Z"


def to_millisecond(seconds: float) -> float:
    """Cut to the millisecond, which is all that a JavaScript date holds."""
    return math.floor(round(seconds * 1_000_000) / 1000) / 1000


def parse_when(value: object) -> float | None:
    """Epoch seconds of a date text, cut to the millisecond; None for everything that is not one, numbers included.

    ISO 8601 (with Z, an offset, or none: UTC), a date alone, Postgres text, RFC 5322 dates, and the short numerals
    that JavaScript takes for a month or a year.
    """
    if not isinstance(value, str):
        return None
    text = value.strip()
    try:
        moment = _iso(text) or _numeral(text) or _rfc5322(text)
    except (ValueError, OverflowError):
        return None
    return None if moment is None else to_millisecond(moment.timestamp())


def _iso(text: str) -> datetime | None:
    match = _ISO.fullmatch(text)
    if match is None:
        return None
    year, month, day, hour, minute, second, fraction, zone = match.groups()
    offset = "+00:00" if zone in (None, "Z") else zone
    stamp = f"{year}-{month}-{day or '01'}T{hour or '00'}:{minute or '00'}:{second or '00'}.{(fraction or '0')[:6]:0<6}"
    return datetime.fromisoformat(stamp + offset)


def _numeral(text: str) -> datetime | None:
    """One to twelve is a month of 2001; otherwise a year of two digits (1950 to 2049) or four."""
    if not re.fullmatch(r"\d{1,4}", text, re.ASCII):
        return None
    number = int(text)
    if len(text) == 4:
        return datetime(number, 1, 1, tzinfo=UTC)
    if 1 <= number <= 12:
        return datetime(2001, number, 1, tzinfo=UTC)
    if number > 99 or 13 <= number <= 31:
        return None
    return datetime(number + (2000 if number < 50 else 1900), 1, 1, tzinfo=UTC)


def _rfc5322(text: str) -> datetime | None:
    if not re.search("[A-Za-z]{3}", text):
        return None
    moment = parsedate_to_datetime(text)
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)
