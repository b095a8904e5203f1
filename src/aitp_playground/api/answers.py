"""Answers: JSON, plain text, and the one error shape."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from aiohttp import hdrs, web

from aitp_playground.errors import Overloaded, PlaygroundError, Unauthorized
from aitp_playground.events.codec import encode_json

#: RFC 6750, section 3.
BEARER_CHALLENGE = 'Bearer realm="aitp-playground"'


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


def _shape(code: str, message: str, details: Any = None) -> dict[str, Any]:
    return {"error": {"code": code, "message": message} | ({} if details is None else {"details": details})}


def _headers(fault: PlaygroundError) -> dict[str, str]:
    if isinstance(fault, Overloaded):
        return {hdrs.RETRY_AFTER: str(fault.retry_after)}
    if isinstance(fault, Unauthorized):
        return {hdrs.WWW_AUTHENTICATE: BEARER_CHALLENGE}
    return {}
