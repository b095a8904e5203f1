"""Telling, asking and stopping."""

from __future__ import annotations

import asyncio
import gc
import weakref

import pytest

from aitp_playground.actors import ActorError, ActorStopped, AskTimeout, MailboxFull

from .kit import PATIENCE, Datum, Do, Note, Scripted, Stage, rounds


async def test_an_ask_is_answered_with_what_the_handler_returns(stage: Stage) -> None:
    ref = stage.spawn()
    assert await ref.ask(Note("hello"), timeout=PATIENCE) == "hello"


async def test_the_actor_knows_its_own_ref_before_it_starts(stage: Stage) -> None:
    class Greeter(Scripted):
        async def on_start(self) -> None:
            self.ref.tell(Note(self.ref.name))

    ref = stage.spawn(Greeter, name="greeter")
    await ref.ask(Datum("after"), timeout=PATIENCE)
    assert stage.journal.notes == ["greeter", "after"]


async def test_control_overtakes_data_that_came_before(stage: Stage) -> None:
    ref = stage.spawn()
    gate = await stage.hold(ref)
    ref.tell(Datum("data"))
    ref.tell(Note("control"))
    gate.open()
    await ref.ask(Datum("last"), timeout=PATIENCE)
    assert stage.journal.notes == ["control", "data", "last"]


async def test_a_full_data_lane_refuses_a_tell_and_lets_control_in(stage: Stage) -> None:
    ref = stage.spawn(data_capacity=1)
    gate = await stage.hold(ref)
    ref.tell(Datum(1))
    with pytest.raises(MailboxFull, match="data lane"):
        ref.tell(Datum(2))
    answer = asyncio.create_task(ref.ask(Note("in"), timeout=PATIENCE))
    await rounds()
    gate.open()
    assert await answer == "in"


async def test_asks_wait_for_room_in_the_data_lane_and_are_let_in_in_order(stage: Stage) -> None:
    ref = stage.spawn(data_capacity=1)
    gate = await stage.hold(ref)
    asks = [asyncio.create_task(ref.ask(Datum(number), timeout=PATIENCE)) for number in range(5)]
    await rounds()
    gate.open()
    assert await asyncio.gather(*asks) == stage.journal.notes == [0, 1, 2, 3, 4]


async def test_an_ask_that_finds_no_room_in_time_is_taken_back(stage: Stage) -> None:
    ref = stage.spawn(data_capacity=1)
    gate = await stage.hold(ref)
    ref.tell(Datum("kept"))
    with pytest.raises(MailboxFull):
        await ref.ask(Datum("taken back"), timeout=0.01)
    gate.open()
    await ref.stop(timeout=PATIENCE)
    assert stage.journal.notes == ["kept"]


async def test_an_ask_cancelled_in_line_is_taken_back(stage: Stage) -> None:
    ref = stage.spawn(data_capacity=1)
    gate = await stage.hold(ref)
    ref.tell(Datum("kept"))
    ask = asyncio.create_task(ref.ask(Datum("taken back"), timeout=PATIENCE))
    await rounds()
    ask.cancel()
    await asyncio.wait([ask])
    assert ask.cancelled()
    gate.open()
    await ref.ask(Datum("last"), timeout=PATIENCE)
    assert stage.journal.notes == ["kept", "last"]


async def test_an_answered_ask_leaves_nothing_that_remembers_its_message(stage: Stage) -> None:
    ref, message = stage.spawn(), Note("short-lived")
    trace = weakref.ref(message)
    await ref.ask(message, timeout=PATIENCE)
    await ref.ask(Note("next"), timeout=PATIENCE)
    del message
    gc.collect()
    assert trace() is None


async def test_an_accepted_ask_without_an_answer_times_out_and_is_still_handled(stage: Stage) -> None:
    ref = stage.spawn()
    gate = await stage.hold(ref)
    with pytest.raises(AskTimeout) as caught:
        await ref.ask(Note("late"), timeout=0.01)
    assert (caught.value.actor, caught.value.timeout) == ("it", 0.01)
    gate.open()
    await ref.stop(timeout=PATIENCE)
    assert stage.journal.notes == ["late"]


async def test_stopping_handles_what_was_accepted_and_refuses_the_rest(stage: Stage) -> None:
    ref = stage.spawn()
    gate = await stage.hold(ref)
    for number in range(3):
        ref.tell(Datum(number))
    stopping = asyncio.create_task(ref.stop(timeout=PATIENCE))
    await rounds()
    assert not ref.alive
    with pytest.raises(ActorStopped):
        ref.tell(Note("too late"))
    with pytest.raises(ActorStopped):
        await ref.ask(Note("too late"), timeout=PATIENCE)
    gate.open()
    await stopping
    assert stage.journal.notes == [0, 1, 2]
    assert stage.journal.stops == [None]
    assert "stopped" in repr(ref)


async def test_stopping_that_runs_out_of_time_answers_the_asks_and_reports_the_tells(stage: Stage) -> None:
    ref = stage.spawn()
    await stage.hold(ref)
    reason = RuntimeError("moving out")
    ref.tell(Datum("never handled"))
    ask = asyncio.create_task(ref.ask(Note("never handled"), timeout=PATIENCE))
    await rounds()
    await ref.stop(reason, timeout=0.01)
    with pytest.raises(ActorStopped) as caught:
        await ask
    assert caught.value.__cause__ is reason
    assert ["1 told messages were never handled" in str(error) for error in stage.journal.errors] == [True]
    assert stage.journal.notes == []


async def test_an_actor_can_stop_itself(stage: Stage) -> None:
    ref = stage.spawn()

    async def leave(actor: Scripted) -> str:
        await actor.ref.stop(timeout=PATIENCE)
        return "left"

    assert await ref.ask(Do(leave), timeout=PATIENCE) == "left"
    await ref.join()
    assert stage.journal.stops == [None]


async def test_an_actor_that_joins_itself_is_told_so(stage: Stage) -> None:
    ref = stage.spawn()
    with pytest.raises(ActorError, match="its own end"):
        await ref.ask(Do(lambda actor: actor.ref.join()), timeout=PATIENCE)


async def test_a_busy_actor_lets_the_loop_run_between_its_messages(stage: Stage) -> None:
    ref = stage.spawn()
    for number in range(1000):
        ref.tell(Datum(number))
    await rounds(5)
    assert 0 < len(stage.journal.notes) < 1000


async def test_a_stopped_actor_leaves_nothing_with_its_supervisor(stage: Stage) -> None:
    ref = stage.spawn()
    assert len(stage.supervisor) == 1
    await ref.stop(timeout=PATIENCE)
    await ref.stop(timeout=PATIENCE)
    gc.collect()
    assert len(stage.supervisor) == 0


async def test_a_closed_supervisor_spawns_nothing(stage: Stage) -> None:
    refs = [stage.spawn(name=name) for name in "abc"]
    await stage.supervisor.close(PATIENCE)
    assert not any(ref.alive for ref in refs)
    assert stage.journal.stops == [None, None, None]
    with pytest.raises(ActorStopped):
        stage.spawn()
