"""A finished span, and who takes it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from aitp_playground.observability.trace_context import Parent

Attributes = Mapping[str, str | int | float | bool]


@dataclass(frozen=True, slots=True, kw_only=True)
class FinishedSpan:
    """A span to be exported. Times are nanoseconds since 1970; ``agent``: whose it is, None for the service's own."""

    trace_id: str
    span_id: str
    parent_id: str | None
    name: str
    kind: str
    start: int
    end: int
    attributes: Attributes
    agent: str | None = None
    error: str | None = None
    link: Parent | None = None
    events: Sequence[tuple[str, int, Attributes]] = ()


class Sink(Protocol):
    """Where spans go."""

    def samples(self, trace_id: str) -> bool:
        """Whether this trace is wanted."""

    def export(self, span: FinishedSpan) -> None:
        """Hand over a span. Never waits."""

    def shutdown(self) -> None:
        """Send what waits. Blocks."""
