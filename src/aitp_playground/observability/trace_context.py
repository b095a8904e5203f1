"""The trace of a run (W3C Trace Context): its id is the run's, and the ids of its spans follow from what they are of.

So nothing has to be remembered, and no event gains a field: whoever knows a run's id knows its trace.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Final, NamedTuple

HEADER: Final = "traceparent"
#: Later versions may have more behind the flags (section 3.2.4 of the recommendation).
_FORM: Final = re.compile(r"(?!ff)([0-9a-f]{2})-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})(-.*)?", re.DOTALL)
_SAMPLED: Final = 1


class Parent(NamedTuple):
    """Where a trace comes from: ids in lower-case hexadecimal digits, 32 and 16 of them."""

    trace_id: str
    span_id: str
    sampled: bool


def trace_id_of(run_id: str) -> str:
    """The trace of a run: its id without hyphens."""
    return run_id.replace("-", "")


def span_id_of(run_id: str, step_id: str | None = None) -> str:
    """The span of a run, or of one of its steps."""
    return hashlib.sha256(f"{run_id}\0{step_id or ''}".encode()).hexdigest()[:16]


def parent_of(header: str) -> Parent | None:
    """What a ``traceparent`` says; None where it is none."""
    found = _FORM.fullmatch(header.strip()) if len(header) <= 512 else None
    if found is None or (found[1] == "00" and found[5]) or not int(found[2], 16) or not int(found[3], 16):
        return None
    return Parent(found[2], found[3], bool(int(found[4], 16) & _SAMPLED))


_current: ContextVar[str | None] = ContextVar("traceparent", default=None)


@contextmanager
def within(run_id: str, step_id: str | None = None, *, sampled: bool = False) -> Iterator[None]:
    """Requests that are made meanwhile belong to this run, or to a step of it."""
    text = f"00-{trace_id_of(run_id)}-{span_id_of(run_id, step_id)}-{'01' if sampled else '00'}"
    token = _current.set(text)
    try:
        yield
    finally:
        _current.reset(token)


def headers() -> dict[str, str]:
    """What a request takes along now; nothing outside of a run."""
    current = _current.get()
    return {} if current is None else {HEADER: current}
