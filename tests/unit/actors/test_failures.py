"""The two routes of a failure, and what supervision makes of it."""

from __future__ import annotations

import asyncio

import pytest
import structlog

from aitp_playground.actors import ActorError, ActorStopped, Restart, Supervisor

from .kit import PATIENCE, Datum, Do, Journal, Note, Scripted, Stage, crash, rounds


async def test_an_asked_messages_failure_goes_to_the_asker_and_the_actor_lives_on(stage: Stage) -> None:
    ref = stage.spawn()
    with pytest.raises(LookupError, match="crashed"):
        await ref.ask(Do(crash), timeout=PATIENCE)
    assert await ref.ask(Note("alive"), timeout=PATIENCE) == "alive"
    assert stage.journal.failures == []


async def test_a_told_messages_failure_is_reported_by_name_and_stops_the_actor(stage: Stage) -> None:
    ref = stage.spawn(name="run 7")
    ref.tell(Do(crash))
    await ref.join()
    [(name, error)] = stage.journal.failures
    assert name == "run 7"
    assert isinstance(error, LookupError)
    assert stage.journal.stops == [error]


async def test_a_crash_answers_the_asks_still_waiting_with_the_crash_as_the_cause(stage: Stage) -> None:
    ref = stage.spawn()
    gate = await stage.hold(ref)
    ref.tell(Do(crash))
    asks = [asyncio.create_task(ref.ask(kind("unheard"), timeout=PATIENCE)) for kind in (Note, Datum)]
    await rounds()
    gate.open()
    for ask in asks:
        with pytest.raises(ActorStopped) as caught:
            await ask
        assert isinstance(caught.value.__cause__, LookupError)


async def test_a_restart_keeps_the_ref_and_the_mailbox_and_starts_a_fresh_instance(stage: Stage) -> None:
    ref = stage.spawn(restart=Restart.ON_FAILURE)
    gate = await stage.hold(ref)
    ref.tell(Do(crash))
    for number in range(3):
        ref.tell(Datum(number))
    gate.open()
    assert await ref.ask(Datum("last"), timeout=PATIENCE) == "last"
    assert stage.journal.notes == [0, 1, 2, "last"]
    assert stage.journal.starts == 2
    assert [type(reason) for reason in stage.journal.stops] == [LookupError]


async def test_an_actor_that_keeps_failing_is_given_up() -> None:
    async with Stage(max_restarts=3) as stage:
        ref = stage.spawn(restart=Restart.ON_FAILURE)
        for _ in range(10):
            ref.tell(Do(crash))
        await ref.join()
        assert stage.journal.starts == 1 + 3
        assert "6 told messages were never handled" in str(stage.journal.errors[-1])


async def test_failures_far_apart_do_not_add_up() -> None:
    async with Stage(max_restarts=1, restart_window=0.0) as stage:
        ref = stage.spawn(restart=Restart.ON_FAILURE)
        for _ in range(5):
            ref.tell(Do(crash))
        assert await ref.ask(Note("still here"), timeout=PATIENCE) == "still here"


async def test_a_stopping_actor_that_crashes_comes_back_for_what_it_had_accepted(stage: Stage) -> None:
    ref = stage.spawn(restart=Restart.ON_FAILURE)
    gate = await stage.hold(ref)
    ref.tell(Do(crash))
    ref.tell(Datum("accepted"))
    stopping = asyncio.create_task(ref.stop(timeout=PATIENCE))
    await rounds()
    gate.open()
    await stopping
    assert stage.journal.notes == ["accepted"]


@pytest.mark.parametrize("restart", Restart)
async def test_a_failing_start_stops_the_actor_and_answers_the_asks(stage: Stage, restart: Restart) -> None:
    class Stillborn(Scripted):
        async def on_start(self) -> None:
            raise OSError("no port")

    ref = stage.spawn(Stillborn, restart=restart)
    with pytest.raises(ActorStopped) as caught:
        await ref.ask(Note("?"), timeout=PATIENCE)
    assert isinstance(caught.value.__cause__, OSError)
    await ref.join()
    assert stage.journal.stops == []
    assert [type(error) for error in stage.journal.errors] == [OSError]


async def test_a_failing_factory_stops_the_actor_too(stage: Stage) -> None:
    def factory(journal: Journal) -> Scripted:
        raise OSError("no such thing")

    ref = stage.spawn(factory)
    with pytest.raises(ActorStopped):
        await ref.ask(Note("?"), timeout=PATIENCE)
    assert len(stage.journal.failures) == 1


async def test_a_failing_on_stop_is_reported_and_the_actor_ends(stage: Stage) -> None:
    class Clumsy(Scripted):
        async def on_stop(self, reason: BaseException | None) -> None:
            raise OSError("dropped it")

    await stage.spawn(Clumsy).stop(timeout=PATIENCE)
    assert [str(error) for error in stage.journal.errors] == ["dropped it"]


async def test_an_on_stop_that_hangs_is_cut_short_and_reported() -> None:
    class Endless(Scripted):
        async def on_stop(self, reason: BaseException | None) -> None:
            await asyncio.Event().wait()

    async with Stage(teardown_timeout=0.01) as stage:
        await stage.spawn(Endless).stop(timeout=PATIENCE)
        assert [type(error) for error in stage.journal.errors] == [TimeoutError]


async def test_a_failure_whose_asker_is_gone_is_reported_and_the_actor_lives_on(stage: Stage) -> None:
    ref = stage.spawn()
    gate = await stage.hold(ref)
    ask = asyncio.create_task(ref.ask(Do(crash), timeout=PATIENCE))
    await rounds()
    ask.cancel()
    gate.open()
    assert await ref.ask(Note("alive"), timeout=PATIENCE) == "alive"
    assert [type(error) for error in stage.journal.errors] == [LookupError]


async def test_a_failure_that_meets_its_askers_cancellation_is_reported(stage: Stage) -> None:
    ref = stage.spawn()

    async def fail_while_cancelling(actor: Scripted) -> None:
        # Runs after the reply holds the failure and before the asker wakes up to read it.
        asyncio.get_running_loop().call_soon(ask.cancel)
        raise LookupError("crashed")

    ask = asyncio.create_task(ref.ask(Do(fail_while_cancelling), timeout=PATIENCE))
    await asyncio.wait([ask])
    assert ask.cancelled()
    assert [type(error) for error in stage.journal.errors] == [LookupError]


async def test_a_hook_that_fails_harms_no_actor() -> None:
    def hook(name: str, error: BaseException) -> None:
        raise RuntimeError("broken hook")

    with structlog.testing.capture_logs() as logs:
        async with Stage(on_failure=hook) as stage:
            ref = stage.spawn(restart=Restart.ON_FAILURE)
            ref.tell(Do(crash))
            assert await ref.ask(Note("alive"), timeout=PATIENCE) == "alive"
    assert [line["event"] for line in logs] == ["actor.failure_hook_failed"]


async def test_without_a_hook_a_failure_is_logged_with_the_actors_name() -> None:
    supervisor = Supervisor()
    with structlog.testing.capture_logs() as logs:
        ref = supervisor.spawn(lambda: Scripted(Journal()), name="run 7")
        ref.tell(Do(crash))
        await ref.join()
    assert [(line["event"], line["actor"], type(line["exc_info"])) for line in logs] == [
        ("actor.failed", "run 7", LookupError)
    ]


async def test_awaiting_something_cancelled_is_a_failure_and_not_the_actors_cancellation(stage: Stage) -> None:
    ref = stage.spawn()
    cancelled: asyncio.Future[None] = asyncio.get_running_loop().create_future()
    cancelled.cancel()

    async def stumble(actor: Scripted) -> None:
        await cancelled

    with pytest.raises(ActorError, match="awaited was cancelled"):
        await ref.ask(Do(stumble), timeout=PATIENCE)
    assert ref.alive
