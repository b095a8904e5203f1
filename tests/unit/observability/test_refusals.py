"""Who is turned away is told, and a flood of them does not become a flood of lines."""

from __future__ import annotations

from typing import Any

from structlog.testing import capture_logs

from aitp_playground.observability.refusals import BURST, Refusals


class Clock:
    now = 1000.0

    def __call__(self) -> float:
        return self.now


REFUSAL: dict[str, Any] = {
    "status": 401,
    "code": "unauthorized",
    "method": "GET",
    "path": "/runs",
    "client": "192.0.2.1",
    "reason": "no key",
}


def test_a_refusal_is_a_line_with_the_path_and_the_client() -> None:
    with capture_logs() as lines:
        Refusals(Clock()).note(**REFUSAL)
    assert lines == [{"event": "request.refused", "log_level": "warning", **REFUSAL}]


def test_of_a_flood_a_line_a_second_says_how_many_there_were() -> None:
    clock = Clock()
    refusals = Refusals(clock)
    with capture_logs() as lines:
        for _ in range(1000):
            refusals.note(**REFUSAL)
        assert len(lines) == BURST
        for second in range(1, 4):
            clock.now = 1000.0 + second
            for _ in range(100):
                refusals.note(**REFUSAL)
    assert [line.get("untold") for line in lines[BURST:]] == [1000 - BURST, 99, 99]


def test_what_a_stranger_sends_is_bounded() -> None:
    with capture_logs() as (lines):
        Refusals(Clock()).note(**{**REFUSAL, "path": "/" + "x" * 100_000, "method": "Y" * 10_000})
    assert len(repr(lines)) < 1000
