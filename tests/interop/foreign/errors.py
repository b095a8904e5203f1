"""Errors as agents tell them one another, in either form (RFC-AITP-0001 5.6, and the HTTP binding's body)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from aitp_verifier.errors import AitpError

from tests.interop.foreign.envelopes import opened


@dataclass(frozen=True)
class Told:
    """A refusal, read. ``form`` is ``envelope``, ``body`` or ``none``; ``whole`` is all there was of it."""

    status: int
    form: str
    code: str | None
    reason: str | None
    retryable: bool | None
    whole: Any


class Refused(Exception):
    """The other side refused."""

    def __init__(self, told: Told) -> None:
        super().__init__(f"{told.status} {told.code}: {told.reason}")
        self.told = told


def read(status: int, body: Any, sender: str, now: int) -> Told:
    """What an answer that is no success says. An envelope counts only if ``sender`` signed it."""
    if isinstance(body, dict) and "message_type" in body:
        try:
            payload = opened(body, sender, "error", now)
        except (AitpError, ValueError):
            return Told(status, "none", None, None, None, body)
        return Told(status, "envelope", payload.get("code"), payload.get("reason"), payload.get("retryable"), payload)
    if isinstance(body, dict) and isinstance(body.get("error"), dict):
        error = body["error"]
        return Told(status, "body", error.get("code"), error.get("message"), error.get("retryable"), error)
    return Told(status, "none", None, None, None, body)


def payload(code: str, reason: str, *, retryable: bool = False) -> dict[str, Any]:
    """What an ``error`` envelope carries: these three and nothing else (0001 5.6)."""
    return {"code": code, "reason": reason, "retryable": retryable}
