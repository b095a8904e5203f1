"""Request bodies: bounded in size, depth and time, JSON objects, checked against a strict model."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from functools import partial
from typing import Any, ClassVar, Generic, TypeVar

import orjson
from aiohttp import HttpVersion11, hdrs, web
from pydantic import BaseModel, ConfigDict, ValidationError
from pydantic_core import ErrorDetails

from aitp_playground import strict_json
from aitp_playground.api.encodings import encoding_of, plain
from aitp_playground.errors import InvalidRequest, MalformedRequest, PayloadTooLarge
from aitp_playground.events.codec import decode_json
from aitp_playground.json_pointers import escaped
from aitp_playground.misfits import said
from aitp_playground.net import BodyTooLong, read_stream
from aitp_playground.runs.concurrency import READING
from aitp_playground.scenarios.findings import nearest
from aitp_playground.scenarios.shape import keys_of, model_at
from aitp_playground.strict_json import MAX_DEPTH

MIB = 1 << 20
#: Bytes from which a body is read in a thread.
_LARGE = 32 * 1024
#: A body that trickles in must not hold its handler for ever.
BODY_SECONDS = 30.0
_TOO_DEEP = f"the body is nested deeper than {MAX_DEPTH} levels"
_MAX_FAULTS = 50
#: JSON has another word for a mapping than files have.
_AN_OBJECT = frozenset({"dict_type", "model_type"})


class Body(BaseModel):
    """A request body: no unknown keys, no coercion. ``exact``: JSON that could be misread is refused."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)
    exact: ClassVar[bool] = True


BodyT = TypeVar("BodyT", bound=Body)


@dataclass(frozen=True)
class JsonBody(Generic[BodyT]):
    """The body of a route: ``model`` in at most ``limit`` bytes; with ``optional`` no body stands for ``{}``."""

    model: type[BodyT]
    limit: int = MIB
    optional: bool = False

    async def read(self, request: web.Request) -> BodyT:
        """The body. Raises as :func:`read_model`."""
        return await read_model(request, self.model, self.limit, optional=self.optional)


async def hold_continue(_request: web.Request) -> None:
    """An ``expect_handler`` that promises nothing yet: ``100 Continue`` goes out when the body is wanted."""


async def read_body(request: web.Request, limit: int) -> bytes:
    """The body, at most ``limit`` bytes as received and decoded. Raises as :func:`read_received`."""
    encoding = encoding_of(request)
    return plain(await read_received(request, limit), encoding, limit)


async def read_received(request: web.Request, limit: int) -> bytes:
    """The body's bytes as they came, still encoded; at most ``limit``. Raises PayloadTooLarge, MalformedRequest."""
    too_large = PayloadTooLarge(f"the body is larger than {limit} bytes")
    if (request.content_length or 0) > limit:
        raise too_large
    await _send_continue(request)
    try:
        async with asyncio.timeout(BODY_SECONDS):
            return await read_stream(request.content, limit)
    except BodyTooLong:
        raise too_large from None
    except TimeoutError:
        raise MalformedRequest(f"the body did not arrive within {BODY_SECONDS:g} s") from None


async def read_model(request: web.Request, model: type[BodyT], limit: int = MIB, *, optional: bool = False) -> BodyT:
    """The body as ``model``; with ``optional`` no body stands for ``{}``.

    Raises MalformedRequest (not JSON), InvalidRequest (``details``: ``{"pointer", "message"}`` per fault).
    """
    raw = await read_body(request, limit)
    if optional and not raw.strip():
        raw = b"{}"
    # A large one takes tens of milliseconds to read, and others wait for the loop meanwhile.
    read = partial(_read, raw, request.charset, model)
    return await READING.do(read) if len(raw) > _LARGE else read()


def _read(raw: bytes, charset: str | None, model: type[BodyT]) -> BodyT:
    document = _object(raw, charset, exact=model.exact)
    try:
        return model.model_validate(document)
    except ValidationError as failure:
        raise _misfit(_faults(failure, model)) from None


async def _send_continue(request: web.Request) -> None:
    """RFC 9110, section 10.1.1. Other expectations are ignored."""
    if request.headers.get(hdrs.EXPECT, "").lower() == "100-continue" and request.version >= HttpVersion11:
        await request.writer.write(b"HTTP/1.1 100 Continue\r\n\r\n")
        # What was written is no part of the answer, whose size is counted from here.
        request.writer.output_size = 0


def _object(raw: bytes, charset: str | None, *, exact: bool) -> dict[str, Any]:
    if (charset or "utf-8").lower() not in {"utf-8", "utf8"}:
        raise MalformedRequest("the body must be UTF-8")
    try:
        document = strict_json.loads(raw) if exact else _lenient(raw)
    except (RecursionError, strict_json.TooDeep):
        raise MalformedRequest(_TOO_DEEP) from None
    except (ValueError, orjson.JSONEncodeError) as fault:
        raise MalformedRequest(f"the body is not usable JSON: {fault}") from None
    if not isinstance(document, dict):
        raise _misfit([{"pointer": "", "message": "must be a JSON object"}])
    return document


def _lenient(raw: bytes) -> Any:
    """What the event log can hold; a worker's odd text or number must not cost its events."""
    document = decode_json(raw)
    try:
        orjson.dumps(strict_json.buried(document))
    except orjson.JSONEncodeError:
        _refuse_depth(document)
    return document


def _refuse_depth(document: Any) -> None:
    level = [document]
    for _ in range(MAX_DEPTH):
        nested = [item for item in level if isinstance(item, dict | list)]
        level = [part for item in nested for part in (item.values() if isinstance(item, dict) else item)]
        if not level:
            return
    raise RecursionError


def _misfit(faults: list[dict[str, str]]) -> InvalidRequest:
    """The first fault stands in the message: many clients show nothing else."""
    first = " ".join(filter(None, faults[0].values()))
    more = f" (and {len(faults) - 1} more)" if len(faults) > 1 else ""
    return InvalidRequest(f"the body does not fit this route: {first}{more}", details=faults)


def _faults(failure: ValidationError, model: type[Body]) -> list[dict[str, str]]:
    """Where and what, never the value."""
    errors = failure.errors(include_url=False, include_context=False, include_input=False)[:_MAX_FAULTS]
    return [{"pointer": _pointer(error["loc"]), "message": _words(error, model)} for error in errors]


def _words(error: ErrorDetails, model: type[Body]) -> str:
    if error["type"] == "extra_forbidden":
        return "is no key of this body" + nearest(
            str(error["loc"][-1])[:100], keys_of(model_at(model, error["loc"][:-1]))
        )
    return "must be an object" if error["type"] in _AN_OBJECT else said(error)


def _pointer(location: tuple[str | int, ...]) -> str:
    """RFC 6901."""
    return "".join("/" + escaped(str(part)[:100]) for part in location)
