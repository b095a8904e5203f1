"""What an agent answers when it does not do what was asked: codes, statuses and the one error shape.

Fault                a status and a code
├── Refusal          403: a decision about trust; reported in the log
├── PeerFailed       502: another agent did not answer as it should
└── CapabilityError  400: a capability's own word for bad input
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any, Literal

RefusalCode = Literal[
    "tct_missing",
    "tct_invalid",
    "tct_expired",
    "tct_revoked",
    "wrong_issuer",
    "wrong_audience",
    "grant_missing",
    "pop_required",
    "pop_invalid",
    "peer_unknown",
    "replay",
    "stale",
    "revocation_unknown",
    "delegation_redeemed",
    "handshake_refused",
]
Source = Literal["local", "cp-snapshot", "issuer-list", "lineage"]
FailureClass = Literal["refused", "timeout", "http_4xx", "http_5xx", "not_json", "truncated", "protocol"]

#: A message that quotes what another party sent must not grow with it.
MAX_MESSAGE = 300


class Fault(Exception):
    """An answer that is an error. ``details`` is JSON-ready and holds no secret."""

    def __init__(self, status: int, code: str, message: str, details: Mapping[str, Any] | None = None) -> None:
        super().__init__(message)
        self.status = status
        self.code = code
        self.details = dict(details or {})

    def body(self) -> dict[str, Any]:
        """The error document: ``{"error": {"code", "message", "details"?}}``."""
        error: dict[str, Any] = {"code": self.code, "message": str(self)[:MAX_MESSAGE]}
        if self.details:
            error["details"] = self.details
        return {"error": error}


class Refusal(Fault):
    """No, and why. ``source`` says who revoked; ``sdk_code`` is the protocol library's own word, where it has one."""

    def __init__(
        self, code: RefusalCode, message: str, *, source: Source | None = None, sdk_code: str | None = None
    ) -> None:
        details = {name: value for name, value in (("source", source), ("sdk_code", sdk_code)) if value}
        super().__init__(403, code, message, details)


class PeerFailed(Fault):
    """A peer could not be reached or broke the protocol. ``peer_code`` is its error code or the SDK's."""

    def __init__(
        self,
        failure: FailureClass,
        message: str,
        *,
        url: str,
        status: int | None = None,
        peer_code: str | None = None,
    ) -> None:
        details: dict[str, Any] = {"class": failure, "url": url}
        if status is not None:
            details["status"] = status
        if peer_code:
            details["code"] = peer_code
        super().__init__(502, "peer_failed", message, details)
        self.failure = failure
        self.peer_code = peer_code


class CapabilityError(Fault):
    """Raised by a capability for input it cannot work with."""

    def __init__(self, message: str, *, status: int = 400, code: str = "invalid_request") -> None:
        super().__init__(status, code, message)


def malformed(message: str) -> Fault:
    """400: the request itself is broken."""
    return Fault(400, "invalid_request", message)


def sdk_code(error: Exception) -> str:
    """The SDK's code, or ``MALFORMED`` for the errors that a hostile document causes and that carry none."""
    return getattr(error, "code", None) or ("MALFORMED" if isinstance(error, ValueError) else "REFUSED")


@contextmanager
def protocol_errors(url: str) -> Iterator[None]:
    """What the SDK says about a peer's answer becomes ``PeerFailed``; hostile documents raise more than one type."""
    try:
        yield
    except (RuntimeError, ValueError, KeyError, TypeError) as error:
        raise PeerFailed("protocol", first_line(error), url=url, peer_code=sdk_code(error)) from error


def first_line(error: Exception) -> str:
    """The first line of an error's text, or its type's name when it says nothing."""
    return str(error).partition("\n")[0] or type(error).__name__
