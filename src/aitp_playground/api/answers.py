"""Answers: JSON, plain text, and the one error shape."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, NotRequired

from aiohttp import hdrs, web
from pydantic import Field, WithJsonSchema
from typing_extensions import TypedDict

from aitp_playground import errors
from aitp_playground.errors import Overloaded, PlaygroundError, Unauthorized
from aitp_playground.events.codec import encode_json

#: RFC 6750, section 3.
BEARER_CHALLENGE = 'Bearer realm="aitp-playground"'
#: What the connection itself answers before there is a request (:mod:`aitp_playground.bounded_server`), and a path that
#: has no such method.
_OF_THE_CONNECTION = ("method_not_allowed", "request_timeout")


class PointedFault(TypedDict):
    """What is wrong with a body. `pointer` is a JSON Pointer (RFC 6901) into it; the inputs' begins at the inputs."""

    pointer: str
    message: str


class ParameterFault(TypedDict):
    """What is wrong with a parameter."""

    parameter: str
    message: str


class FileFault(TypedDict):
    """What is wrong with a scenario file. `field` is dotted, and empty for the file as a whole."""

    file: str
    line: int
    field: str
    message: str


class LogReference(TypedDict):
    """Where the service's log says more."""

    reference: str


class UnknownRuns(TypedDict):
    """The ids of which there is no run."""

    unknown: list[str]


class UnfinishedRun(TypedDict):
    """The run that is not over yet."""

    run_id: str
    status: str


class OtherRun(TypedDict):
    """The run for which an `Idempotency-Key` was used."""

    run_id: str


#: Every ``code`` of an answer.
ERROR_CODES = tuple(sorted({*(kind.code for kind in errors.KINDS), *_OF_THE_CONNECTION}))


class Fault(TypedDict):
    """What went wrong."""

    code: Annotated[
        str, Field(description="For programs; it does not change."), WithJsonSchema({"enum": list(ERROR_CODES)})
    ]
    message: Annotated[str, Field(description="For people: what is wrong, where, and what to do next.")]
    details: NotRequired[
        list[PointedFault]
        | list[ParameterFault]
        | list[FileFault]
        | LogReference
        | OtherRun
        | UnknownRuns
        | UnfinishedRun
    ]


class Error(TypedDict):
    """Every refusal and every failure looks like this."""

    error: Fault


def answer(document: Any, *, status: int = 200, headers: Mapping[str, str] | None = None) -> web.Response:
    """A JSON answer."""
    return json_bytes(encode_json(document), status=status, headers=headers)


def json_bytes(body: bytes, *, status: int = 200, headers: Mapping[str, str] | None = None) -> web.Response:
    """A JSON answer that is already encoded."""
    return web.Response(body=body, status=status, headers=headers, content_type="application/json", charset="utf-8")


def text(body: str) -> web.Response:
    """A plain text answer. Lone surrogates, which a process may print, become question marks."""
    return web.Response(body=body.encode("utf-8", "replace"), content_type="text/plain", charset="utf-8")


def refusal(fault: PlaygroundError) -> web.Response:
    """``{"error": {"code", "message", "details"?}}`` with the fault's status and the headers that belong to it."""
    return error(fault.code, fault.message, status=fault.status, details=fault.details, headers=_headers(fault))


def error(
    code: str, message: str, *, status: int, details: Any = None, headers: Mapping[str, str] | None = None
) -> web.Response:
    """The one error shape."""
    return answer(_shape(code, message, details), status=status, headers=headers)


def refusal_text(_status: int, code: str, message: str) -> str:
    """The one error shape as text, for what the connection refuses before there is a request."""
    return encode_json(_shape(code, message)).decode()


def _shape(code: str, message: str, details: Any = None) -> Error:
    fault: Fault = {"code": code, "message": message}
    if details is not None:
        fault["details"] = details
    return {"error": fault}


def _headers(fault: PlaygroundError) -> dict[str, str]:
    if isinstance(fault, Overloaded):
        return {hdrs.RETRY_AFTER: str(fault.retry_after)}
    if isinstance(fault, Unauthorized):
        return {hdrs.WWW_AUTHENTICATE: BEARER_CHALLENGE}
    return {}
