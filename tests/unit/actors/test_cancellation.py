"""Cancellation and exceptions that are not ours to catch."""

from __future__ import annotations

import asyncio
import contextlib
from typing import Any

import pytest

from aitp_playground.actors import ActorError, ActorStopped

from .kit import PATIENCE, Do, Note, Scripted, Stage, rounds


class Unearthly(BaseException):
    """Not an Exception, so not a failure of the handler."""


def task_of(name: str) -> asyncio.Task[Any]:
    [task] = [task for task in asyncio.all_tasks() if task.get_name() == name]
    return task


async def test_cancelling_the_task_tears_down_and_ends_it_as_cancelled(stage: Stage) -> None:
    ref = stage.spawn()
    await stage.hold(ref)
    ask = asyncio.create_task(ref.ask(Note("waiting"), timeout=PATIENCE))
    await rounds()
    task = task_of("it")
    task.cancel()
    await ref.join()
    assert task.cancelled()
    assert [type(reason) for reason in stage.journal.stops] == [asyncio.CancelledError]
    with pytest.raises(ActorStopped):
        await ask


async def test_the_ask_in_hand_is_answered_when_the_task_is_cancelled(stage: Stage) -> None:
    ref = stage.spawn()
    inside = asyncio.Event()

    async def wait(actor: Scripted) -> None:
        inside.set()
        await asyncio.Event().wait()

    ask = asyncio.create_task(ref.ask(Do(wait), timeout=PATIENCE))
    await inside.wait()
    task_of("it").cancel()
    with pytest.raises(ActorStopped):
        await ask


async def test_an_ask_is_answered_even_when_the_task_is_cancelled_before_its_first_step(stage: Stage) -> None:
    ref = stage.spawn()
    ask = asyncio.create_task(ref.ask(Note("?"), timeout=PATIENCE))
    ref.tell(Note("told"))
    task_of("it").cancel()
    with pytest.raises(ActorStopped):
        await ask
    assert stage.journal.starts == 0
    assert not ref.alive


async def test_a_cancellation_that_a_handler_keeps_to_itself_still_ends_the_actor(stage: Stage) -> None:
    ref = stage.spawn()
    inside = asyncio.Event()

    async def deaf(actor: Scripted) -> None:
        inside.set()
        with contextlib.suppress(asyncio.CancelledError):
            await asyncio.Event().wait()

    ref.tell(Do(deaf))
    await inside.wait()
    task = task_of("it")
    task.cancel()
    await asyncio.wait_for(ref.join(), PATIENCE)
    assert task.cancelled()


async def test_an_inner_time_out_is_not_taken_for_a_cancellation(stage: Stage) -> None:
    async def brief(actor: Scripted) -> str:
        try:
            async with asyncio.timeout(0):
                await asyncio.Event().wait()
        except TimeoutError:
            return "timed out"
        return "?"

    ref = stage.spawn()
    assert await ref.ask(Do(brief), timeout=PATIENCE) == "timed out"
    assert await ref.ask(Note("alive"), timeout=PATIENCE) == "alive"


async def test_a_base_exception_ends_the_actor_answers_its_asker_and_is_not_eaten(stage: Stage) -> None:
    async def vanish(actor: Scripted) -> None:
        raise Unearthly

    ref = stage.spawn()
    await rounds()
    task = task_of("it")
    with pytest.raises(ActorStopped) as caught:
        await ref.ask(Do(vanish), timeout=PATIENCE)
    assert isinstance(caught.value.__cause__, Unearthly)
    await ref.join()
    assert isinstance(task.exception(), Unearthly)
    assert [type(error) for error in stage.journal.errors] == [Unearthly]
    assert len(stage.journal.stops) == 1


async def test_an_on_stop_that_awaits_its_cancelled_child_does_not_end_the_actor_as_cancelled(stage: Stage) -> None:
    class Waiting(Scripted):
        async def on_start(self) -> None:
            self.child = self.tasks.spawn(asyncio.Event().wait(), name="child")

        async def on_stop(self, reason: BaseException | None) -> None:
            await self.child

    ref = stage.spawn(Waiting)
    await rounds()
    task = task_of("it")
    await ref.stop(timeout=PATIENCE)
    assert not task.cancelled()
    assert ["awaited was cancelled" in str(error) for error in stage.journal.errors] == [True]


async def test_cancelling_a_stop_leaves_the_actor_to_end_by_itself(stage: Stage) -> None:
    ref = stage.spawn()
    gate = await stage.hold(ref)
    stopping = asyncio.create_task(ref.stop(timeout=PATIENCE))
    await rounds()
    stopping.cancel()
    await asyncio.wait([stopping])
    assert stopping.cancelled()
    gate.open()
    await asyncio.wait_for(ref.join(), PATIENCE)
    assert stage.journal.stops == [None]


async def test_an_actor_that_resists_its_cancellation_is_named() -> None:
    release = asyncio.Event()

    async def deaf(actor: Scripted) -> None:
        while not release.is_set():
            try:
                await release.wait()
            except asyncio.CancelledError:
                continue

    async with Stage(teardown_timeout=0.01) as stage:
        ref = stage.spawn(name="stubborn")
        ref.tell(Do(deaf))
        await rounds()
        with pytest.raises(ActorError, match="stubborn: still running"):
            await ref.stop(timeout=0.01)
        release.set()
        await asyncio.wait_for(ref.join(), PATIENCE)


def test_a_loop_that_shuts_down_tears_its_actors_down() -> None:
    stage = Stage()

    async def main() -> None:
        stage.spawn()
        await rounds()

    asyncio.run(main())
    assert [type(reason) for reason in stage.journal.stops] == [asyncio.CancelledError]
    assert stage.journal.failures == []
