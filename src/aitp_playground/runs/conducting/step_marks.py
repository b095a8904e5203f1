"""How telemetry is attributed to a step: the call that it reports carries the step's mark.

A step's admin commands bear the mark in a header, agents pass it on to the peers they call and report it with what they
emit meanwhile. Whoever calls an agent from outside has none, and a mark cannot be made up: it is signed with a key that
this process makes for itself. No event and no answer shows one.
"""

from __future__ import annotations

import hashlib
import hmac
import secrets
import time
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

HEADER = "X-AITP-Step"
#: Goes with a mark: how many seconds the step has left.
SECONDS_HEADER = "X-AITP-Step-Seconds"
_KEY = secrets.token_bytes(32)
_current: ContextVar[tuple[str, float] | None] = ContextVar("step_mark", default=None)


@contextmanager
def marked(step_id: str, seconds: float) -> Iterator[None]:
    """Commands to agents bear the mark of this step meanwhile, which has so many seconds from now."""
    token = _current.set((mark_of(step_id), time.monotonic() + seconds))
    try:
        yield
    finally:
        _current.reset(token)


def headers() -> dict[str, str]:
    """What a command to an agent bears now; nothing outside of a step."""
    current = _current.get()
    if current is None:
        return {}
    mark, until = current
    return {HEADER: mark, SECONDS_HEADER: f"{max(0.0, until - time.monotonic()):.3f}"}


def mark_of(step_id: str) -> str:
    """A mark; another one each time."""
    signed = f"{secrets.token_hex(8)}.{step_id.encode().hex()}"
    return f"{signed}.{_signature(signed)}"


def step_of(mark: object) -> str | None:
    """The id of the step whose mark this is; None when this process made no such mark."""
    if not isinstance(mark, str) or not mark.isascii():
        return None
    signed, _, signature = mark.rpartition(".")
    if not hmac.compare_digest(_signature(signed), signature):
        return None
    return bytes.fromhex(signed.partition(".")[2]).decode()


def _signature(signed: str) -> str:
    return hmac.new(_KEY, signed.encode(), hashlib.sha256).hexdigest()
