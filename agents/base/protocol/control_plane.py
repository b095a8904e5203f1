"""What goes wrong with a Control Plane, in the reason classes that the whole project uses for it."""

from __future__ import annotations

from base.http.peer_client import Answer
from base.refusals import PeerFailed

#: Seconds for one exchange: nothing an agent asks of a Control Plane is worth a longer wait.
EXCHANGE_TIMEOUT = 5.0
_BY_STATUS = {401: "unauthorized", 429: "rate_limited"}


def failure_of(failed: PeerFailed) -> str:
    """The reason class of an exchange that failed below HTTP, or of an answer that was not read."""
    if failed.failure == "protocol":
        return "too_large" if failed.peer_code == "too_large" else "bad_shape"
    return failed.failure


def refusal_of(answer: Answer, *expected: int) -> str | None:
    """The reason class of an answer with another status than those expected; None for one of them."""
    if answer.status in expected:
        return None
    if answer.status in _BY_STATUS:
        return _BY_STATUS[answer.status]
    kinds = {3: "redirect", 4: "http_4xx", 5: "http_5xx"}
    return kinds.get(answer.status // 100, "bad_shape")
