"""What an agent answers when it does not do what was asked: codes, statuses and the one error shape.

Fault                    a status and a code
├── Refusal              403: a decision about trust; reported in the log
│   └── RedemptionRefusal    the same about a delegation, which has codes of its own in the registry
├── Flooded              429: too much from one sender, or from strangers together
├── PeerFailed           502: another agent did not answer as it should
└── CapabilityError      400: a capability's own word for bad input

An admin is told all of it as it is; what a peer is told is made in :mod:`base.http.answers`.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any, ClassVar, Literal

from base.registry_codes import MALFORMED, OF_FAULT, OF_REDEMPTION, OF_REFUSAL, RefusalCode, registered

Source = Literal["local", "cp-snapshot", "issuer-list", "lineage"]
FailureClass = Literal["refused", "timeout", "http_4xx", "http_5xx", "not_json", "truncated", "protocol"]

#: A message that quotes what another party sent must not grow with it.
MAX_MESSAGE = 300


class Fault(Exception):
    """An answer that is an error. ``details`` is JSON-ready and holds no secret.

    ``disclosed`` says that the peer that is refused has proven who it is and was introduced, so it may be told why;
    ``confidential``, that no peer may be told more than our word for it.
    """

    def __init__(self, status: int, code: str, message: str, details: Mapping[str, Any] | None = None) -> None:
        super().__init__(message)
        self.status = status
        self.code = code
        self.details = dict(details or {})
        self.disclosed = False
        self.confidential = False

    @property
    def registry_code(self) -> str:
        """What it is called in the registry of AITP error codes."""
        return OF_FAULT.get(self.code, MALFORMED)

    def body(self) -> dict[str, Any]:
        """The whole of it: ``{"error": {"code", "message", "details"?}}``."""
        error: dict[str, Any] = {"code": self.code, "message": str(self)[:MAX_MESSAGE]}
        if self.details:
            error["details"] = self.details
        return {"error": error}


class Refusal(Fault):
    """No, and why. ``source`` says who revoked; ``sdk_code`` is the protocol library's own word, where it has one;
    ``registry`` is the registry's, where it is known better than the table does."""

    _table: ClassVar[Mapping[RefusalCode, str]] = OF_REFUSAL

    def __init__(
        self,
        code: RefusalCode,
        message: str,
        *,
        source: Source | None = None,
        sdk_code: str | None = None,
        registry: str | None = None,
        **details: Any,
    ) -> None:
        named = {"source": source, "sdk_code": sdk_code, **details}
        super().__init__(403, code, message, {name: value for name, value in named.items() if value is not None})
        self.refusal: RefusalCode = code
        self._registry = registry

    @property
    def registry_code(self) -> str:
        if self._registry is not None:
            return self._registry
        if self.refusal == "handshake_refused":
            return registered(self.details.get("sdk_code")) or OF_REFUSAL[self.refusal]
        return self._table.get(self.refusal, OF_REFUSAL[self.refusal])

    def told(self) -> dict[str, Any]:
        """What the log says of it: ``{"code", "registry_code", …details}``."""
        return {"code": self.code, "registry_code": self.registry_code, **self.details}


class RedemptionRefusal(Refusal):
    """No to a delegation."""

    _table = OF_REDEMPTION


class Flooded(Fault):
    """Too many messages: 429, with nothing in it but when to come again."""

    def __init__(self, retry_after: float) -> None:
        super().__init__(429, "rate_limited", "too many messages; come again later")
        self.retry_after = max(1, math.ceil(retry_after))


class PeerFailed(Fault):
    """A peer could not be reached or broke the protocol. ``peer_code`` is its error code, or ours for what it did;
    ``retryable`` is its word on whether to try again."""

    def __init__(
        self,
        failure: FailureClass,
        message: str,
        *,
        url: str,
        status: int | None = None,
        peer_code: str | None = None,
        retryable: bool | None = None,
        **details: Any,
    ) -> None:
        named = {"status": status, "code": peer_code or None, "retryable": retryable, **details}
        told = {"class": failure, "url": url, **{name: value for name, value in named.items() if value is not None}}
        super().__init__(502, "peer_failed", message, told)
        self.failure = failure
        self.peer_code = peer_code

    def again(self) -> PeerFailed:
        """The same for another who waited for the same answer: what may be disclosed is marked for each."""
        told = {name: value for name, value in self.details.items() if name not in ("class", "code")}
        return PeerFailed(self.failure, str(self), peer_code=self.peer_code, **told)


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
        code = registered(sdk_code(error)) or MALFORMED
        raise PeerFailed("protocol", first_line(error), url=url, peer_code=code) from error


def first_line(error: Exception) -> str:
    """The first line of an error's text, or its type's name when it says nothing."""
    return str(error).partition("\n")[0] or type(error).__name__
