"""The mark of the step in which something happens: it comes with a request and goes along with the calls made for it.

The service signs marks and alone can tell whether one is good; to an agent it is a word to be passed on.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar

HEADER = "X-AITP-Step"
LONGEST = 512

_current: ContextVar[str | None] = ContextVar("step_mark", default=None)


def take(headers: Mapping[str, str]) -> None:
    """From now on, in this request's context, its mark is the current one; none when it bears none."""
    mark = headers.get(HEADER)
    _current.set(mark if mark and len(mark) <= LONGEST else None)


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


def to_pass_on() -> dict[str, str]:
    """The header for a call to a peer."""
    mark = _current.get()
    return {} if mark is None else {HEADER: mark}
