"""Times are told apart from other numbers, and lives are as long as was meant."""

from __future__ import annotations

import pytest

from aitp_playground.recording.clock import Clock, gained, lifetime, seconds_of

BEGAN = 1_800_000_000.0


@pytest.mark.parametrize(
    ("seconds", "exact", "told"),
    [
        (3600, True, "<+3600s>"),
        (3599, True, "<+3599s>"),
        (3599.7, True, "<+3600s>"),
        (599, False, "<+600s>"),
        (541, False, "<+600s>"),
        (600, False, "<+600s>"),
        (58, False, "<+60s>"),
        (29.2, False, "<+30s>"),
        (0, False, "<+0s>"),
        (-3, True, "<-3s>"),
    ],
)
def test_a_life(seconds: float, exact: bool, told: str) -> None:
    assert lifetime(seconds, exact=exact) == told


@pytest.mark.parametrize(("seconds", "told"), [(1800, "<+1800s>"), (1803, "<+1800s>"), (30, "<+30s>"), (0, "<+0s>")])
def test_a_gain(seconds: float, told: str) -> None:
    assert gained(seconds) == told


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        (BEGAN, BEGAN),
        (BEGAN * 1000, BEGAN),
        ("2027-01-15T08:00:00Z", BEGAN),
        ("2027-01-15 08:00:00+00", BEGAN),
        ("2027-01-15 08:00:00", BEGAN),
        (True, None),
        ("yesterday, at about noon", None),
        ("2027", None),
        (10**400, None),
        (-(10**400), None),
        (float("inf"), None),
        (None, None),
    ],
)
def test_what_is_a_time(value: object, seconds: float | None) -> None:
    assert seconds_of(value) == seconds


def test_what_is_near() -> None:
    clock = Clock(BEGAN)
    assert clock.near(BEGAN + 3600)
    assert clock.near((BEGAN + 3600) * 1000)
    assert not clock.near(BEGAN - 7 * 86_400)
    assert not clock.near(42)
    assert not clock.near(10**400)
    assert clock.text_is_near("2027-01-15T08:00:00Z")
    assert not clock.text_is_near("1999-01-15T08:00:00Z")
