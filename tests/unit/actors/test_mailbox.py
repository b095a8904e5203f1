"""The mailbox against a plain model of it."""

from __future__ import annotations

import asyncio
from collections import deque
from dataclasses import dataclass
from typing import ClassVar

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from aitp_playground.actors import ActorStopped, Lane, MailboxFull
from aitp_playground.actors.mailbox import CONTROL_RUN, Envelope, Mailbox

from .kit import Datum, Note

OPERATION = st.sampled_from(["control", "data", "in_line", "pop", "withdraw"])


def envelope(message: object) -> Envelope[object]:
    return Envelope(message, None)


@settings(max_examples=200)
@given(operations=st.lists(OPERATION, max_size=60), capacity=st.integers(1, 4))
def test_each_lane_is_first_in_first_out_and_bounded_and_control_goes_first(
    operations: list[str], capacity: int
) -> None:
    mailbox: Mailbox[object] = Mailbox("it", data_capacity=capacity, control_capacity=capacity)
    control: deque[Envelope[object]] = deque()
    data: deque[Envelope[object]] = deque()
    line: deque[Envelope[object]] = deque()
    for number, operation in enumerate(operations):
        new = envelope(Note(number) if operation == "control" else Datum(number))
        lane = control if operation == "control" else data
        if operation == "pop":
            expected = control.popleft() if control else data.popleft() if data else None
            if line and len(data) < capacity:
                data.append(line.popleft())
            assert mailbox.pop() is expected
        elif operation == "withdraw":
            in_line = bool(line)
            assert mailbox.withdraw(line.pop() if in_line else new) is in_line
        elif len(lane) < capacity:
            mailbox.put(new)
            lane.append(new)
        elif operation == "in_line":
            mailbox.put(new, in_line=True)
            line.append(new)
        else:
            with pytest.raises(MailboxFull) as caught:
                mailbox.put(new)
            assert caught.value.lane is (Lane.CONTROL if lane is control else Lane.DATA)
        assert len(mailbox) == len(control) + len(data) <= 2 * capacity


def test_a_flood_of_control_lets_a_data_message_through_now_and_then() -> None:
    mailbox: Mailbox[object] = Mailbox("it", data_capacity=8)
    mailbox.put(envelope(Datum("patient")))
    for number in range(3 * CONTROL_RUN):
        mailbox.put(envelope(Note(number)))
    order = [taken.message for _ in range(CONTROL_RUN + 1) if (taken := mailbox.pop()) is not None]
    assert order == [*map(Note, range(CONTROL_RUN)), Datum("patient")]


def test_a_field_named_lane_does_not_choose_the_lane() -> None:
    @dataclass(frozen=True)
    class Letter:
        lane: Lane

    mailbox: Mailbox[object] = Mailbox("it", data_capacity=1)
    mailbox.put(envelope(Datum(1)))
    mailbox.put(envelope(Letter(Lane.DATA)))
    assert len(mailbox) == 2


def test_a_closed_mailbox_refuses_but_keeps_what_it_accepted_and_its_first_reason() -> None:
    mailbox: Mailbox[object] = Mailbox("it", data_capacity=1)
    accepted = envelope(Note(1))
    mailbox.put(accepted)
    first = ValueError("first")
    mailbox.close(first)
    mailbox.close(KeyError("second"))
    with pytest.raises(ActorStopped) as caught:
        mailbox.put(envelope(Note(2)))
    assert caught.value.__cause__ is first
    assert mailbox.pop() is accepted


async def test_closing_answers_those_in_line_and_draining_answers_those_inside() -> None:
    mailbox: Mailbox[object] = Mailbox("it", data_capacity=2)
    replies = [asyncio.get_running_loop().create_future() for _ in range(2)]
    mailbox.put(envelope(Datum("told")))
    for reply in replies:
        mailbox.put(Envelope(Datum("asked"), reply), in_line=True)
    mailbox.close(None)
    assert [reply.done() for reply in replies] == [False, True]
    assert mailbox.drain() == 1
    assert all(isinstance(reply.exception(), ActorStopped) for reply in replies)


@pytest.mark.parametrize("capacity", [0, -1])
def test_a_lane_without_room_is_refused(capacity: int) -> None:
    with pytest.raises(ValueError, match="room"):
        Mailbox[object]("it", data_capacity=capacity)


class Unhashable:
    lane: ClassVar[Lane] = Lane.DATA
    __hash__ = None  # type: ignore[assignment]


def test_messages_need_not_be_hashable_to_wait_in_line() -> None:
    mailbox: Mailbox[object] = Mailbox("it", data_capacity=1)
    mailbox.put(envelope(Unhashable()))
    waiting = envelope(Unhashable())
    mailbox.put(waiting, in_line=True)
    assert mailbox.withdraw(waiting)
