"""Deferred replies."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from aitp_playground.actors import ActorError, ActorStopped, AskTimeout, Restart

from .kit import PATIENCE, Do, Note, Scripted, Stage, crash, rounds


class Promise:
    """A message whose answer is a future in the test's hands."""

    def __init__(self) -> None:
        self.future: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        self.message = Do(self._give)

    async def _give(self, actor: Scripted) -> asyncio.Future[Any]:
        return self.future


async def test_the_asker_waits_for_the_future_while_the_actor_goes_on(stage: Stage) -> None:
    ref, promise = stage.spawn(), Promise()
    ask = asyncio.create_task(ref.ask(promise.message, timeout=PATIENCE))
    await rounds()
    assert await ref.ask(Note("meanwhile"), timeout=PATIENCE) == "meanwhile"
    assert not ask.done()
    promise.future.set_result("on disk")
    assert await ask == "on disk"


async def test_a_futures_failure_goes_to_the_asker(stage: Stage) -> None:
    ref, promise = stage.spawn(), Promise()
    promise.future.set_exception(LookupError("disk full"))
    with pytest.raises(LookupError, match="disk full"):
        await ref.ask(promise.message, timeout=PATIENCE)
    assert stage.journal.failures == []
    assert ref.alive


async def test_one_future_may_answer_several_asks(stage: Stage) -> None:
    ref, promise = stage.spawn(), Promise()
    asks = [asyncio.create_task(ref.ask(promise.message, timeout=PATIENCE)) for _ in range(3)]
    await rounds()
    promise.future.set_result("same commit")
    assert await asyncio.gather(*asks) == ["same commit"] * 3


async def test_an_actor_that_ends_first_refuses_the_asker_and_a_late_result_is_harmless(stage: Stage) -> None:
    ref, promise = stage.spawn(), Promise()
    ask = asyncio.create_task(ref.ask(promise.message, timeout=PATIENCE))
    await rounds()
    reason = RuntimeError("over")
    await ref.stop(reason, timeout=PATIENCE)
    with pytest.raises(ActorStopped) as caught:
        await ask
    assert caught.value.__cause__ is reason
    promise.future.set_result("nobody waits")
    await rounds()
    assert stage.journal.failures == []


async def test_an_instance_that_crashes_refuses_what_it_owed_and_the_next_one_does_not(stage: Stage) -> None:
    ref, promise = stage.spawn(restart=Restart.ON_FAILURE), Promise()
    ask = asyncio.create_task(ref.ask(promise.message, timeout=PATIENCE))
    await rounds()
    ref.tell(Do(crash))
    with pytest.raises(ActorStopped) as caught:
        await ask
    assert isinstance(caught.value.__cause__, LookupError)
    assert await ref.ask(Note("back"), timeout=PATIENCE) == "back"


async def test_a_result_given_in_on_stop_still_reaches_the_asker(stage: Stage) -> None:
    promise = Promise()

    class Flusher(Scripted):
        async def on_stop(self, reason: BaseException | None) -> None:
            promise.future.set_result("flushed")

    ref = stage.spawn(Flusher)
    ask = asyncio.create_task(ref.ask(promise.message, timeout=PATIENCE))
    await rounds()
    await ref.stop(timeout=PATIENCE)
    assert await ask == "flushed"


async def test_a_late_failure_that_no_asker_waits_for_is_reported(stage: Stage) -> None:
    ref, promise = stage.spawn(), Promise()
    with pytest.raises(AskTimeout):
        await ref.ask(promise.message, timeout=0.01)
    promise.future.set_exception(LookupError("disk full"))
    await rounds()
    assert [type(error) for error in stage.journal.errors] == [LookupError]
    assert ref.alive


async def test_a_told_messages_future_that_fails_is_the_messages_failure(stage: Stage) -> None:
    ref, promise = stage.spawn(), Promise()
    ref.tell(promise.message)
    await rounds()
    promise.future.set_exception(LookupError("disk full"))
    await ref.join()
    assert [type(error) for error in stage.journal.errors] == [LookupError]


async def test_a_cancelled_future_is_not_the_askers_cancellation(stage: Stage) -> None:
    ref, promise = stage.spawn(), Promise()
    promise.future.cancel()
    with pytest.raises(ActorError, match="cancelled"):
        await ref.ask(promise.message, timeout=PATIENCE)


async def test_a_child_task_can_be_the_reply_and_ends_with_the_actor(stage: Stage) -> None:
    ref = stage.spawn()

    async def failing() -> None:
        raise LookupError("child")

    async def give(actor: Scripted, work: Any) -> asyncio.Task[Any]:
        return actor.tasks.spawn(work, name="work")

    with pytest.raises(LookupError, match="child"):
        await ref.ask(Do(lambda actor: give(actor, failing())), timeout=PATIENCE)
    await rounds()
    assert ref.alive
    assert stage.journal.failures == []
    ask = asyncio.create_task(ref.ask(Do(lambda actor: give(actor, asyncio.Event().wait())), timeout=PATIENCE))
    await rounds()
    await ref.stop(timeout=PATIENCE)
    with pytest.raises(ActorStopped):
        await ask
