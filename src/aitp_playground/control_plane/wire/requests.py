"""Reading requests: query parameters, and bodies of bounded size."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import orjson
from aiohttp import web

from aitp_playground.control_plane.wire.errors import Broken, Refused, Unparseable
from aitp_playground.control_plane.wire.times import parse_when
from aitp_playground.net import BodyTooLong, read_stream

#: Bytes of an event batch; the other routes' bodies get room for any manifest.
MAX_BATCH = 262_144
MAX_BODY = 1024 * 1024
BODY_SECONDS = 60.0

_TAKEN = web.RequestKey("taken_body", bytes)


# -- queries ----------------------------------------------------------------------------------------------------------


def query(request: web.Request, name: str, *aliases: str) -> str | None:
    """The first value of the first of these names that has one; an empty value counts as absent."""
    return next((value for key in (name, *aliases) if (value := request.query.get(key))), None)


def number(request: web.Request, name: str, default: int, most: int, *, least: int = 1) -> int:
    """``limit`` and ``offset``: what is no number is the default, what is out of bounds the bound.

    An empty value is zero, as JavaScript reads it: ``limit=`` gives one row.
    """
    text = request.query.get(name)
    if text is None:
        return default
    try:
        return int(min(max(float(text.strip() or "0"), least), most))
    except ValueError:
        return default


def span(request: web.Request, code: str) -> tuple[float | None, float | None]:
    """``since`` and ``until``. Raises 400 with ``code`` for what is no date."""
    ends = []
    for name in ("since", "until"):
        text = query(request, name)
        moment = parse_when(text)
        if text is not None and moment is None:
            raise Refused(400, f"{name} must be a date", code)
        ends.append(moment)
    return ends[0], ends[1]


# -- bodies -----------------------------------------------------------------------------------------------------------


async def read_body(request: web.Request, limit: int = MAX_BODY) -> bytes:
    """The raw body; what :func:`take_body` has read is there at once.

    Raises 413 ``PAYLOAD_TOO_LARGE`` beyond ``limit`` bytes, 408 when it does not come.
    """
    taken: bytes | None = request.get(_TAKEN)
    if taken is not None:
        if len(taken) > limit:
            raise _too_large(limit)
        return taken
    try:
        async with asyncio.timeout(BODY_SECONDS):
            return await read_stream(request.content, limit)
    except BodyTooLong:
        raise _too_large(limit) from None
    except TimeoutError:
        raise Refused(408, f"the body took longer than {BODY_SECONDS:.0f} s", "BODY_INVALID") from None


async def take_body(request: web.Request) -> None:
    """Read the body now, for a handler that comes later: it is not to be had from a client that has gone by then."""
    request[_TAKEN] = await read_body(request)


def _too_large(limit: int) -> Refused:
    return Refused(413, f"body exceeds {limit} bytes", "PAYLOAD_TOO_LARGE")


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
