"""The mark of the step in which something happens: it comes with a request and goes along with the calls made for it.

The service signs marks and alone can tell whether one is good; to an agent it is a word to be passed on. Beside it goes
how many seconds the step has left: a caller's word, by which an agent may only take less time.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from time import monotonic

HEADER = "X-AITP-Step"
SECONDS_HEADER = "X-AITP-Step-Seconds"
LONGEST = 512
_SECONDS = re.compile(r"[0-9]{1,6}(?:\.[0-9]{1,6})?")

_current: ContextVar[str | None] = ContextVar("step_mark", default=None)
_until: ContextVar[float | None] = ContextVar("step_until", default=None)


def take(headers: Mapping[str, str]) -> None:
    """From now on, in this request's context, its mark is the current one; none when it bears none."""
    mark = headers.get(HEADER)
    _current.set(mark if mark and len(mark) <= LONGEST else None)
    seconds = headers.get(SECONDS_HEADER, "")
    _until.set(monotonic() + float(seconds) if _SECONDS.fullmatch(seconds) else None)


@contextmanager
def outside() -> Iterator[None]:
    """Meanwhile no mark is the current one: for what is told at an occasion that is not its cause."""
    token = _current.set(None)
    try:
        yield
    finally:
        _current.reset(token)


def current() -> str | None:
    """The mark of the request being worked on."""
    return _current.get()


def seconds_left() -> float | None:
    """How many seconds the step has left, 0 at the least; None when no request said."""
    until = _until.get()
    return None if until is None else max(0.0, until - monotonic())


def to_pass_on() -> dict[str, str]:
    """The headers for a call to a peer."""
    mark, left = _current.get(), seconds_left()
    if mark is None:
        return {}
    return {HEADER: mark} | ({} if left is None else {SECONDS_HEADER: f"{left:.3f}"})
