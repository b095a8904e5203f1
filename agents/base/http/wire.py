"""HTTP at the agent's edge: bounded reading, strict parsing, one error shape, no talkative headers."""

from __future__ import annotations

import asyncio
import json
import logging
import re
import sys
import traceback
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from aiohttp import web
from aiohttp.http_exceptions import HttpProcessingError

from base.http import step_mark, tracing
from base.http.bodies import (
    ENCODINGS,
    MAX_VALUES,
    encoding_of,
    is_crowded,
    is_json,
    parse_json,
    read_bounded,
    unpacked,
)
from base.refusals import Fault, malformed

READ_TIMEOUT = 10.0
LOOPBACK_NAMES = frozenset({"localhost", "127.0.0.1"})

#: As JSON escapes it; a text with half a pair cannot be encoded, and would fail wherever it is hashed or passed on.
_SURROGATE = re.compile(r"\\u[dD][89a-fA-F]")

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]
TRACER = web.AppKey("tracer", tracing.Tracer)


def json_response(
    body: Mapping[str, Any] | str, *, status: int = 200, headers: Mapping[str, str] | None = None
) -> web.Response:
    """A JSON answer; a ``str`` is JSON already."""
    text = body if isinstance(body, str) else json.dumps(body, separators=(",", ":"))
    return web.Response(text=text, status=status, headers=headers, content_type="application/json")


def fault_response(fault: Fault) -> web.Response:
    return json_response(fault.body(), status=fault.status)


def refusal_document(_status: int, code: str, message: str) -> str:
    """The error document of what never reached a route."""
    return json.dumps({"error": {"code": code, "message": message}})


async def read_text(request: web.Request, limit: int, *, packed: bool = False) -> str:
    """The body as text. Raises 413 beyond ``limit`` bytes, 408 when it does not come, 400 when it is not UTF-8, and 415
    when it is encoded: ``packed`` lets it be, in a way that is undone here. Undoing costs more than reading, so only
    those may who have shown who they are."""
    encoding = _encoding(request, ENCODINGS if packed else ENCODINGS[:1])
    try:
        async with asyncio.timeout(READ_TIMEOUT):
            body = await read_bounded(request.content, limit)
        if body and encoding is not None:
            body = await unpacked(body, encoding, limit)
        if body is None:
            raise Fault(413, "payload_too_large", f"the body is larger than {limit} bytes")
        return body.decode("utf-8")
    except TimeoutError:
        raise Fault(408, "invalid_request", "the body did not arrive in time") from None
    except UnicodeDecodeError:
        raise malformed("the body is not UTF-8") from None
    except ValueError:
        raise malformed(f"the body is not {encoding}, as its Content-Encoding says") from None
    except (ConnectionError, web.RequestPayloadError):
        raise malformed("the body could not be read to its end") from None


def _encoding(request: web.Request, taken: tuple[str, ...]) -> str | None:
    """What the body is encoded in. Raises 415 unless that is among those ``taken``."""
    try:
        encoding = encoding_of(request.headers.getall("Content-Encoding", ()))
        if encoding is None or len(taken) > 1:
            return encoding
    except LookupError:
        pass
    raise Fault(415, "invalid_request", f"Content-Encoding: none but {', '.join(taken)} is taken here")


def require_json(request: web.Request) -> None:
    """Refuse a body that does not say that it is JSON (RFC-AITP-0001, section 8): so a page in a browser cannot send
    one without asking first. Raises 400."""
    if not request.body_exists:
        return
    if not is_json(request.headers.get("Content-Type", "")):
        raise malformed("Content-Type: not application/json")


async def read_object(request: web.Request, limit: int, *, packed: bool = False) -> dict[str, Any]:
    """The body as a JSON object. Raises as :func:`read_text`, 413 for more values than anybody needs, and 400 when it
    is none."""
    text = await read_text(request, limit, packed=packed)
    if is_crowded(text):
        raise Fault(413, "payload_too_large", f"the body has more than {MAX_VALUES} values")
    return parse_object(text)


def parse_object(text: str) -> dict[str, Any]:
    """Parse a JSON object. NaN and Infinity are not JSON, and half a surrogate pair is no text. Raises 400."""
    try:
        value = parse_json(text, parse_constant=_refuse_constant)
        if _SURROGATE.search(text):
            _encode_texts(value)
    except (ValueError, RecursionError):
        raise malformed("the body is not JSON") from None
    if not isinstance(value, dict):
        raise malformed("the body is not a JSON object")
    return value


def _encode_texts(value: Any) -> None:
    """Raises ``UnicodeEncodeError`` for half a surrogate pair. (To write all of it down would take longer.)"""
    left = [value]
    while left:
        item = left.pop()
        if type(item) is str:
            item.encode()
        elif type(item) is list:
            left += item
        elif type(item) is dict:
            left += item
            left += item.values()


def _refuse_constant(name: str) -> None:
    raise ValueError(name)


def check_host(request: web.Request) -> None:
    """Refuse names that are not loopback: a page in a browser reaches this port under its own name (DNS rebinding)."""
    name, _, port = request.headers.get("Host", "").partition(":")
    if name.lower() not in LOOPBACK_NAMES or not (port.isdecimal() or not port):
        raise Fault(421, "forbidden", "this agent answers to localhost only")


def check_origin(request: web.Request) -> None:
    """Refuse what a page in a browser sends: it may post to any local port, and every refusal costs room in the log."""
    if "Origin" in request.headers:
        raise Fault(403, "forbidden", "this agent does not answer to web pages")


class Unquoted(logging.Filter):
    """Errors of the HTTP parser without their traces: those quote the header at fault, and tokens travel in headers."""

    def filter(self, record: logging.LogRecord) -> bool:
        error = record.exc_info[1] if record.exc_info else None
        if isinstance(error, HttpProcessingError):
            record.msg, record.args, record.exc_info = f"not HTTP: {type(error).__name__}", (), None
        return True


def unforeseen() -> Fault:
    """What is answered to the exception being handled; its trace goes to stderr and nowhere else."""
    traceback.print_exc(file=sys.stderr)
    return Fault(500, "internal_error", "the agent failed; its log says how")


@web.middleware
async def edge(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Check who may ask at all, and turn every error into the error document."""
    step_mark.take(request.headers)
    with request.app[TRACER].serving(request) as span:
        answer = await _answered(request, handler)
        tracing.answered(span, answer.status)
        return answer


async def _answered(request: web.Request, handler: Handler) -> web.StreamResponse:
    try:
        check_host(request)
        check_origin(request)
        return await handler(request)
    except Fault as fault:
        return fault_response(fault)
    except web.HTTPMethodNotAllowed as error:
        refused = Fault(405, "method_not_allowed", f"{request.method} is not for this route")
        return json_response(refused.body(), status=405, headers={"Allow": ", ".join(sorted(error.allowed_methods))})
    except web.HTTPException as error:
        code = "not_found" if error.status == 404 else "invalid_request"
        return fault_response(Fault(error.status, code, error.reason))
    except Exception:  # noqa: BLE001 - the last stop before the socket
        return fault_response(unforeseen())


async def quiet_headers(_request: web.Request, response: web.StreamResponse) -> None:
    """Nobody needs to know which server this is."""
    response.headers.popall("Server", None)
