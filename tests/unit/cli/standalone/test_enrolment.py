"""When an agent enrols again."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest

from aitp_playground.cli.standalone.enrolment import LONGEST_PAUSE, Enrolment

URL = "http://127.0.0.1:8090"
GOOD = {"enrolled": True, "registered_at": "2026-01-01T00:00:00Z"}
BAD = {"enrolled": False, "error": "http_5xx", "stage": "enroll", "status": 503}


class Over(Exception):
    """The script is at its end."""


class Bench:
    """An enrolment whose answers are given and whose waits are only noted."""

    def __init__(self, *answers: Mapping[str, Any], ttl: float = 7200) -> None:
        self._answers = list(answers)
        self.waits: list[float] = []
        self.told: list[str] = []
        self.done_at_waits: list[bool] = []
        self.enrolment = Enrolment(self._enrol, URL, ttl, self.told.append, self._sleep)

    async def _enrol(self) -> Mapping[str, Any]:
        if not self._answers:
            raise Over
        return self._answers.pop(0)

    async def _sleep(self, seconds: float) -> None:
        self.waits.append(seconds)
        self.done_at_waits.append(self.enrolment.done)

    async def run(self) -> None:
        with pytest.raises(Over):
            await self.enrolment.keep()


async def test_an_entry_is_renewed_long_before_its_manifest_expires_and_told_of_once() -> None:
    bench = Bench(GOOD, GOOD, GOOD, ttl=600)
    await bench.run()
    assert bench.waits == [300, 300, 300]
    assert bench.told == ["enrolled at 2026-01-01T00:00:00Z"]


async def test_a_failure_is_told_with_its_reason_and_tried_again_ever_more_slowly() -> None:
    bench = Bench(*[BAD] * 8)
    await bench.run()
    assert bench.waits == [2, 4, 8, 16, 32, LONGEST_PAUSE, LONGEST_PAUSE, LONGEST_PAUSE]
    assert bench.told[0] == f"not enrolled at {URL} (http_5xx, enroll, 503); the next attempt is in 2 s"


async def test_after_a_success_failures_start_from_the_shortest_wait_and_the_return_is_told() -> None:
    bench = Bench(BAD, BAD, GOOD, BAD, GOOD, ttl=600)
    await bench.run()
    assert bench.waits == [2, 4, 300, 2, 300]
    assert [line.startswith("enrolled") for line in bench.told] == [False, False, True, False, True]


async def test_an_attempt_without_an_answer_may_have_left_an_entry() -> None:
    bench = Bench()
    assert bench.enrolment.done is False
    await bench.run()
    assert bench.enrolment.done is True


@pytest.mark.parametrize(
    ("reason", "said"),
    [("refused", f"nothing answers at {URL} (refused)"), ("timeout", f"{URL} does not answer in time (timeout)")],
)
async def test_silence_is_told_with_the_address_and_leaves_no_entry(reason: str, said: str) -> None:
    bench = Bench({"enrolled": False, "error": reason, "stage": "enroll"})
    await bench.run()
    assert said in bench.told[0]


@pytest.mark.parametrize(
    ("answers", "done"),
    [
        ([{"enrolled": False, "error": "refused", "stage": "enroll"}], False),
        ([{"enrolled": False, "error": "truncated", "stage": "register"}], True),
        ([{"error": "the agent did not answer"}], True),
        ([GOOD, {"enrolled": False, "error": "refused", "stage": "enroll"}], True),
    ],
)
async def test_an_entry_is_counted_on_unless_the_exchange_that_makes_it_was_not_begun(
    answers: list[Mapping[str, Any]], done: bool
) -> None:
    bench = Bench(*answers)
    await bench.run()
    assert bench.done_at_waits[-1] is done
