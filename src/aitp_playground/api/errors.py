"""Every failure leaves in the one error shape, and an unexpected one leaves without its text."""

from __future__ import annotations

import uuid

import structlog
from aiohttp import hdrs, web
from aiohttp.typedefs import Handler

from aitp_playground.actors import ActorStopped, AskTimeout, MailboxFull
from aitp_playground.api.answers import error, refusal
from aitp_playground.api.routing import template
from aitp_playground.errors import MalformedRequest, Overloaded, PlaygroundError

log = structlog.get_logger(__name__)

#: Codes of the statuses that the HTTP layer itself gives; other client errors are ``invalid_request``.
_CODES = {401: "unauthorized", 403: "forbidden", 404: "not_found", 405: "method_not_allowed", 413: "payload_too_large"}


@web.middleware
async def error_shape(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Turn what a handler raises into an answer. Cancellation and lost connections pass."""
    try:
        return await handler(request)
    except PlaygroundError as fault:
        return _unexpected(request, fault) if fault.status == 500 else refusal(fault)
    except web.HTTPException as answer:
        return _translated(request, answer)
    except (ActorStopped, MailboxFull, AskTimeout):
        return refusal(Overloaded("the service is busy or stopping; try again"))
    except web.RequestPayloadError:
        return refusal(MalformedRequest("the body could not be read to its end"))
    except Exception as fault:
        if isinstance(fault, ConnectionError) and request.transport is None:
            raise
        return _unexpected(request, fault)


def _translated(request: web.Request, answer: web.HTTPException) -> web.Response:
    if isinstance(answer, web.HTTPMethodNotAllowed):
        return _method_not_allowed(request, answer)
    if answer.status < 400:
        raise answer
    if answer.status >= 500:
        return _unexpected(request, answer)
    code = _CODES.get(answer.status, "invalid_request")
    message = f"nothing is at {request.path[:200]!r}" if answer.status == 404 else answer.reason.lower()
    return error(code, message, status=answer.status)


def _method_not_allowed(request: web.Request, answer: web.HTTPMethodNotAllowed) -> web.Response:
    """RFC 9110, sections 9.3.7 and 15.5.6: OPTIONS is told the methods, any other method is refused with them."""
    allow: dict[str, str] = {hdrs.ALLOW: ", ".join(sorted({*answer.allowed_methods, hdrs.METH_OPTIONS}))}
    if request.method == hdrs.METH_OPTIONS:
        return web.Response(status=204, headers=allow)
    message = f"{request.method[:20]} is not allowed here; see the Allow header"
    return error("method_not_allowed", message, status=405, headers=allow)


def _unexpected(request: web.Request, fault: BaseException) -> web.Response:
    """What went wrong is for the log; the caller gets a reference that finds it there."""
    reference = uuid.uuid4().hex
    log.error("api.internal_error", reference=reference, method=request.method, route=template(request), exc_info=fault)
    message = f"an internal error; the service's log has it under reference {reference}"
    return error("internal_error", message, status=500, details={"reference": reference})
