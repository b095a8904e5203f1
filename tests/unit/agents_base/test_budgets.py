"""Who may send how much: a peer has its own budget, strangers share one, and neither touches the other's."""

from __future__ import annotations

import pytest

from base.protocol.budgets import ALL_STRANGERS, PER_PEER, PER_STRANGER, Pace, PeerBudgets, Strangers, Window
from base.refusals import Flooded


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


def test_a_window_slides(clock: Clock) -> None:
    window = Window(2, 60.0, clock)
    window.take()
    clock.now += 30
    window.take()
    assert window.wait() == pytest.approx(30.0)
    clock.now += 30
    assert window.wait() == 0.0
    window.take()
    assert window.wait() == pytest.approx(30.0)


def test_one_stranger_gets_its_part_and_no_more(clock: Clock) -> None:
    strangers = Strangers(clock=clock)
    for _ in range(PER_STRANGER):
        strangers.charge("aid:one")
    with pytest.raises(Flooded) as caught:
        strangers.charge("aid:one")
    assert caught.value.retry_after == 60
    strangers.charge("aid:two")
    clock.now += 60
    strangers.charge("aid:one")


def test_all_strangers_together_have_an_end_whatever_they_call_themselves(clock: Clock) -> None:
    strangers = Strangers(clock=clock)
    for number in range(ALL_STRANGERS):
        strangers.charge(f"aid:{number}")
    for number in range(10_000):
        with pytest.raises(Flooded):
            strangers.charge(f"aid:more-{number}")
    assert len(strangers._by_aid) == ALL_STRANGERS
    clock.now += 60
    strangers.charge("aid:late")
    assert len(strangers._by_aid) == 1, "those whose time is over are forgotten"


def test_what_is_refused_does_not_count(clock: Clock) -> None:
    strangers = Strangers(clock=clock)
    for _ in range(PER_STRANGER):
        strangers.charge("aid:one")
    clock.now += 59
    for _ in range(1000):
        with pytest.raises(Flooded):
            strangers.charge("aid:one")
    clock.now += 1
    strangers.charge("aid:one")


def test_a_peer_is_slowed_down_by_what_it_signed_itself_alone(clock: Clock) -> None:
    budgets = PeerBudgets(clock=clock)
    for _ in range(PER_PEER):
        budgets.check("aid:peer")
        budgets.charge("aid:peer")
    with pytest.raises(Flooded) as caught:
        budgets.check("aid:peer")
    assert caught.value.retry_after == 1
    budgets.check("aid:other")
    clock.now += 1
    for _ in range(10_000):
        budgets.check("aid:peer")  # looked at and never charged: forgeries in its name


def test_a_flood_is_told_when_to_come_again_in_whole_seconds() -> None:
    assert [Flooded(seconds).retry_after for seconds in (0.01, 1.0, 1.2, 59.9)] == [1, 1, 2, 60]


def test_those_who_are_turned_away_are_answered_one_after_another(clock: Clock) -> None:
    pace = Pace(rate=100, at_once=2, longest=1.0, clock=clock)
    turns = [pace.turn() for _ in range(1000)]
    assert turns[:5] == pytest.approx([0.0, 0.0, 0.01, 0.02, 0.03]), "a few need not wait"
    assert max(turns) == pytest.approx(1.0), "nobody waits longer"
    clock.now += 10
    assert [pace.turn() for _ in range(3)] == pytest.approx([0.0, 0.0, 0.01])
