"""Spans, and a sink that keeps them."""

from __future__ import annotations

from typing import Any

from aitp_playground.observability.spans import FinishedSpan


class Kept:
    """Samples every trace and keeps what it is given."""

    def __init__(self) -> None:
        self.spans: list[FinishedSpan] = []

    def samples(self, _trace_id: str) -> bool:
        return True

    def export(self, span: FinishedSpan) -> None:
        self.spans.append(span)

    def shutdown(self) -> None:
        pass


def told(**fields: Any) -> dict[str, Any]:
    """A span as an agent tells it."""
    span = {"name": "x", "kind": "server", "span_id": "1" * 16, "parent_id": "2" * 16, "start": 1, "end": 2}
    return span | fields
