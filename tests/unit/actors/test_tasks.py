"""Child tasks and their failures."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from aitp_playground.actors import ActorStopped, Restart

from .kit import PATIENCE, Do, Note, Scripted, Stage, rounds


async def fail() -> None:
    raise LookupError("child")


def spawning(work: Any) -> Do:
    async def spawn(actor: Scripted) -> str:
        return actor.tasks.spawn(work(), name="work").get_name()

    return Do(spawn)


async def test_a_child_is_named_after_its_actor(stage: Stage) -> None:
    assert await stage.spawn(name="run 7").ask(spawning(asyncio.Event().wait), timeout=PATIENCE) == "run 7/work"


async def test_a_childs_unseen_failure_stops_an_idle_actor_and_is_reported(stage: Stage) -> None:
    ref = stage.spawn()
    ref.tell(spawning(fail))
    await ref.join()
    assert [(name, str(error)) for name, error in stage.journal.failures] == [("it", "child")]
    assert [type(reason) for reason in stage.journal.stops] == [LookupError]


async def test_a_childs_failure_restarts_the_actor_if_that_is_its_policy(stage: Stage) -> None:
    ref = stage.spawn(restart=Restart.ON_FAILURE)
    await ref.ask(spawning(fail), timeout=PATIENCE)
    await asyncio.wait_for(stage.journal.failed.wait(), PATIENCE)
    assert await ref.ask(Note("back"), timeout=PATIENCE) == "back"
    assert stage.journal.starts == 2


async def direct(task: asyncio.Task[None]) -> None:
    await task


async def shielded(task: asyncio.Task[None]) -> None:
    await asyncio.shield(task)


async def with_a_limit(task: asyncio.Task[None]) -> None:
    await asyncio.wait_for(task, PATIENCE)


async def gathered(task: asyncio.Task[None]) -> None:
    await asyncio.gather(task, asyncio.sleep(0))


async def looked_at(task: asyncio.Task[None]) -> None:
    await asyncio.wait([task])
    task.result()


@pytest.mark.parametrize("wait", [direct, shielded, with_a_limit, gathered, looked_at])
async def test_a_childs_failure_that_somebody_awaits_is_theirs(stage: Stage, wait: Any) -> None:
    ref = stage.spawn()

    async def spawn_and_wait(actor: Scripted) -> str:
        with pytest.raises(LookupError):
            await wait(actor.tasks.spawn(fail(), name="work"))
        return "handled"

    assert await ref.ask(Do(spawn_and_wait), timeout=PATIENCE) == "handled"
    await rounds()
    assert ref.alive
    assert stage.journal.failures == []


async def test_children_end_before_on_stop(stage: Stage) -> None:
    trace: list[str] = []

    async def work() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            await asyncio.sleep(0)
            trace.append("child ended")

    class Tidy(Scripted):
        async def on_stop(self, reason: BaseException | None) -> None:
            trace.append("on_stop")

    ref = stage.spawn(Tidy)
    await ref.ask(spawning(work), timeout=PATIENCE)
    await rounds()
    await ref.stop(timeout=PATIENCE)
    assert trace == ["child ended", "on_stop"]


async def test_a_child_that_fails_while_being_cancelled_is_reported(stage: Stage) -> None:
    async def work() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            raise LookupError("while leaving")

    ref = stage.spawn()
    await ref.ask(spawning(work), timeout=PATIENCE)
    await rounds()
    await ref.stop(timeout=PATIENCE)
    assert [str(error) for error in stage.journal.errors] == ["while leaving"]


async def test_a_childs_last_word_to_its_closed_actor_is_no_failure(stage: Stage) -> None:
    ref = stage.spawn()

    async def work() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            ref.tell(Note("done"))

    await ref.ask(spawning(work), timeout=PATIENCE)
    await rounds()
    await ref.stop(timeout=PATIENCE)
    assert stage.journal.failures == []


async def test_a_child_that_ignores_its_cancellation_is_reported_and_does_not_hold_the_actor() -> None:
    release = asyncio.Event()
    children: list[asyncio.Task[Any]] = []

    async def work() -> None:
        while not release.is_set():
            try:
                await release.wait()
            except asyncio.CancelledError:
                continue
        raise LookupError("late")

    async def spawn(actor: Scripted) -> None:
        children.append(actor.tasks.spawn(work(), name="deaf"))

    async with Stage(teardown_timeout=0.01) as stage:
        ref = stage.spawn()
        await ref.ask(Do(spawn), timeout=PATIENCE)
        await rounds()
        await ref.stop(timeout=PATIENCE)
        assert "it/deaf ignores its cancellation" in str(stage.journal.errors[0])
        release.set()
        await asyncio.wait(children)
        await rounds()
        assert str(stage.journal.errors[1]) == "late"


async def test_no_child_is_started_during_tear_down(stage: Stage) -> None:
    refused: list[ActorStopped] = []

    class Late(Scripted):
        async def on_stop(self, reason: BaseException | None) -> None:
            try:
                self.tasks.spawn(fail(), name="late")
            except ActorStopped as error:
                refused.append(error)

    await stage.spawn(Late).stop(timeout=PATIENCE)
    assert len(refused) == 1
