"""How the Control Plane speaks: JSON answers, two dialects of time, queries and bodies."""

from __future__ import annotations

import asyncio
import json
import math
import re
from collections.abc import Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any

import orjson
from aiohttp import web

from aitp_playground.control_plane.wire.errors import Broken, Refused, Unparseable

#: Bytes of an event batch; the other routes' bodies get room for any manifest.
MAX_BATCH = 262_144
MAX_BODY = 1024 * 1024
BODY_SECONDS = 60.0

REQUEST_ID = web.RequestKey("request_id", str)
#: ``apikey:`` and the beginning of the presented key's SHA-256; set once the key was found good.
CALLER = web.RequestKey("caller", str)

__all__ = [
    "CALLER",
    "MAX_BATCH",
    "REQUEST_ID",
    "Broken",
    "Refused",
    "answer",
    "body",
    "body_object",
    "is_uuid",
    "iso_time",
    "number",
    "parse_body",
    "parse_json",
    "parse_when",
    "pg_time",
    "query",
    "read_body",
    "refusal",
    "text_or_none",
    "to_millisecond",
]

_UUID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", re.IGNORECASE)
_ISO = re.compile(
    r"(\d{4})-(\d\d)(?:-(\d\d))?(?:[T ](\d\d):(\d\d)(?::(\d\d)(?:\.(\d{1,9}))?)?(?: ?(Z|[+-]\d\d(?::?\d\d)?))?)?"
)


# -- answers ----------------------------------------------------------------------------------------------------------


def answer(data: Any, status: int = 200, headers: Mapping[str, str] | None = None) -> web.Response:
    """``data`` as JSON."""
    return web.Response(body=orjson.dumps(data), status=status, headers=headers, content_type="application/json")


def refusal(refused: Refused) -> web.Response:
    """A refusal as JSON."""
    return answer(refused.body, refused.status, refused.headers)


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


# -- times ------------------------------------------------------------------------------------------------------------


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


# -- requests ---------------------------------------------------------------------------------------------------------


def query(request: web.Request, name: str, *aliases: str) -> str | None:
    """The first value of the first of these names that has one; an empty value counts as absent."""
    return next((value for key in (name, *aliases) if (value := request.query.get(key))), None)


def number(request: web.Request, name: str, default: int, most: int, *, least: int = 1) -> int:
    """``limit`` and ``offset``: what is no number is the default, what is out of bounds the bound."""
    try:
        return int(min(max(float(query(request, name) or "nan"), least), most))
    except ValueError:
        return default


def is_uuid(text: str) -> bool:
    """Hyphenated, of any version. Postgres fails on others in a path: raise :class:`Broken` there."""
    return _UUID.fullmatch(text) is not None


async def read_body(request: web.Request, limit: int = MAX_BODY) -> bytes:
    """The raw body. Raises 413 ``PAYLOAD_TOO_LARGE`` beyond ``limit`` bytes, 408 when it does not come."""
    try:
        async with asyncio.timeout(BODY_SECONDS):
            return await _read_bounded(request, limit)
    except TimeoutError:
        raise Refused(408, f"the body took longer than {BODY_SECONDS:.0f} s", "BODY_INVALID") from None


async def _read_bounded(request: web.Request, limit: int) -> bytes:
    chunks: list[bytes] = []
    size = 0
    async for chunk in request.content.iter_any():
        size += len(chunk)
        if size > limit:
            raise Refused(413, f"body exceeds {limit} bytes", "PAYLOAD_TOO_LARGE")
        chunks.append(chunk)
    return b"".join(chunks)


async def body(request: web.Request, limit: int = MAX_BODY) -> Any:
    """The parsed body. Raises 400 ``BODY_INVALID``; what the literal ``null`` leads to is the handler's affair."""
    return parse_body(await read_body(request, limit))


async def body_object(request: web.Request) -> dict[str, Any]:
    """The parsed body, an object (400 otherwise). ``null`` breaks the service, as it breaks a Control Plane."""
    given = await body(request)
    if given is None:
        raise Broken("the body is null")
    if not isinstance(given, dict):
        raise Refused(400, "body must be an object", "BODY_INVALID")
    return given


def text_or_none(value: object) -> str | None:
    """What a field of the wrong type counts as: nothing."""
    return value if isinstance(value, str) else None


def parse_body(raw: bytes, complaint: str = "body must be JSON") -> Any:
    """``raw`` as JSON. Raises 400 ``BODY_INVALID`` with this complaint."""
    try:
        return parse_json(raw)
    except (ValueError, RecursionError):
        raise Unparseable(400, complaint, "BODY_INVALID") from None


def parse_json(raw: bytes) -> Any:
    """RFC 8259 as JavaScript reads it: lone surrogates are let through, large integers become floats."""
    try:
        return orjson.loads(raw)
    except orjson.JSONDecodeError:
        return json.loads(raw.decode("utf-8", "replace"), parse_constant=_not_json, parse_int=_integer)


def _not_json(name: str) -> Any:
    raise ValueError(f"{name} is not JSON")


def _integer(digits: str) -> int | float:
    value = int(digits)
    return value if abs(value) < 2**63 else float(digits)
