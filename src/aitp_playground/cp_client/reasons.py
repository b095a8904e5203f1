"""Why a call to the Control Plane came to nothing, in a closed vocabulary, and what a call yields."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Generic, Literal, TypeVar, get_args

#: The classes shared by ``cp_error``, ``cp.degraded``, logs and metrics.
Reason = Literal[
    "refused",  # nobody took the connection, or its TLS did not hold
    "timeout",  # CP_TIMEOUT_MS ran out, whether in connecting, waiting or reading
    "dns",  # the host name leads nowhere
    "unauthorized",  # 401
    "rate_limited",  # 429
    "http_4xx",
    "http_5xx",
    "redirect",  # any 3xx; none is followed
    "not_json",  # a success whose body is HTML, empty or otherwise no JSON
    "bad_shape",  # JSON, or a request of ours, that is not what the contract says
    "too_large",  # the body is longer than we are ready to hold
    "truncated",  # the connection or the document ended early
    "breaker_open",  # not tried, see :mod:`aitp_playground.cp_client.breaker`
    "list_unverified",  # a revocation list that does not verify, or is older than one already seen
]
REASONS: frozenset[Reason] = frozenset(get_args(Reason))

T_co = TypeVar("T_co", covariant=True)


@dataclass(frozen=True, slots=True)
class Outcome(Generic[T_co]):
    """What one call yields. ``value`` is the fallback unless ``reason`` is None.

    A disabled client yields the fallback without a reason; who must tell these apart asks ``CpClient.enabled``.
    ``detail`` is a sentence for people, ``status`` the HTTP status of a refusal, ``retry_after`` the seconds that a 429
    or 503 asked for. None of them holds a secret.
    """

    value: T_co
    reason: Reason | None = None
    detail: str = ""
    status: int | None = None
    retry_after: float | None = None


class Degraded(Exception):
    """How the inside of this package says that a call failed; it never leaves it.

    ``sent`` is False only if the request cannot have reached the Control Plane.
    """

    def __init__(
        self,
        reason: Reason,
        detail: str,
        *,
        status: int | None = None,
        retry_after: float | None = None,
        sent: bool = True,
    ) -> None:
        super().__init__(f"{reason}: {detail}")
        self.reason: Reason = reason
        self.detail = detail
        self.status = status
        self.retry_after = retry_after
        self.sent = sent


def unfit(detail: str) -> Degraded:
    """The arguments cannot be put into a request that the Control Plane takes well, so none is made."""
    return Degraded("bad_shape", detail, sent=False)
