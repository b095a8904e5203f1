"""What a peer is told of an error: the registry's code and sentence, and more only if it has proven who it is.

Two forms: the JSON body of the HTTP binding, ``{"error": {"code", "message", "retryable", "details"?}}``; and the
signed ``error`` envelope of RFC-AITP-0001, section 5.6, for what was posted to the one endpoint that a manifest names.
"""

from __future__ import annotations

import json
from typing import Any

import aitp
from aiohttp import web

from base.http.wire import json_response
from base.refusals import MAX_MESSAGE, Fault, Flooded
from base.registry_codes import RETRYABLE, SENTENCES

#: An error must not be found in a cache the next time.
NO_STORE = {"Cache-Control": "no-store"}
#: Seconds after which it is worth trying again what found no room.
_ROOM_AGAIN = 5


def told(fault: Fault) -> dict[str, Any]:
    """``{"code", "message", "retryable", "details"?}``; ``details`` has our finer word as ``reason``."""
    code = fault.registry_code
    told: dict[str, Any] = {"code": code, "message": SENTENCES[code], "retryable": _is_retryable(fault, code)}
    if fault.disclosed:
        told |= {"details": {"reason": fault.code}}
        if not fault.confidential:
            told |= {"message": str(fault)[:MAX_MESSAGE], "details": {"reason": fault.code, **fault.details}}
    return told


def _is_retryable(fault: Fault, code: str) -> bool:
    """What did not come in time, or found no room, may do so the next time, whatever it is called."""
    return code in RETRYABLE or fault.status in (408, 503)


def error_document(fault: Fault, status: int) -> web.Response:
    """The JSON body, as the HTTP binding has it."""
    if isinstance(fault, Flooded):
        return flooded(fault)
    return json_response({"error": told(fault)}, status=status, headers=_headers(status))


def error_envelope(fault: Fault, agent: aitp.AitpAgent, status: int) -> web.Response:
    """The same, signed: ``code``, ``reason`` (a sentence) and ``retryable``, and nothing else."""
    if isinstance(fault, Flooded):
        return flooded(fault)
    error = told(fault)
    payload = {"code": error["code"], "reason": error["message"], "retryable": error["retryable"]}
    return json_response(agent.sign_envelope("error", json.dumps(payload)), status=status, headers=_headers(status))


def _headers(status: int) -> dict[str, str]:
    return NO_STORE | ({"Retry-After": str(_ROOM_AGAIN)} if status == 503 else {})


def flooded(fault: Flooded) -> web.Response:
    """No body: an answer to a flood costs as little as it can."""
    return web.Response(status=fault.status, headers={"Retry-After": str(fault.retry_after), **NO_STORE})
