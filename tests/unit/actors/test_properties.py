"""What holds for any interleaving of senders, stops and crashes."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from aitp_playground.actors import ActorStopped, MailboxFull, Restart

from .kit import PATIENCE, Datum, Do, Note, Stage, crash

LANE = st.sampled_from([Note, Datum])
# One sender: per message its lane, whether it is asked, and how many loop rounds pass before it.
SENDER = st.lists(st.tuples(LANE, st.booleans(), st.integers(0, 2)), max_size=12)
SENDERS = st.lists(SENDER, min_size=1, max_size=4)
# The rounds after which something happens to the actor.
MOMENT = st.integers(0, 12)
RESTART = st.sampled_from(list(Restart))

quickly = settings(max_examples=120)


class Traffic:
    """Runs senders against one actor and keeps what became of every message."""

    def __init__(self, data_capacity: int, restart: Restart = Restart.NEVER) -> None:
        self.stage = Stage(max_restarts=100)
        self.ref = self.stage.spawn(data_capacity=data_capacity, restart=restart)
        self.accepted: list[tuple[int, int, str]] = []
        self.refused: set[tuple[int, int, str]] = set()
        self.answered: list[tuple[int, int, str]] = []

    async def send(self, sender: int, script: list[tuple[type[Note], bool, int]]) -> None:
        for number, (kind, asked, pause) in enumerate(script):
            for _ in range(pause):
                await asyncio.sleep(0)
            key = (sender, number, kind.__name__)
            try:
                if asked:
                    assert await self.ref.ask(kind(key), timeout=PATIENCE) == key
                    self.answered.append(key)
                else:
                    self.ref.tell(kind(key))
                    self.accepted.append(key)
            except (ActorStopped, MailboxFull):
                self.refused.add(key)

    async def run(
        self, scripts: list[list[tuple[type[Note], bool, int]]], *happenings: Coroutine[Any, Any, None]
    ) -> list[Any]:
        """All senders and happenings to their ends, then a stop; gives what the actor handled."""
        async with asyncio.timeout(PATIENCE), self.stage:
            await asyncio.gather(*(self.send(*item) for item in enumerate(scripts)), *happenings)
        return self.stage.journal.notes

    def assert_in_order(self, handled: list[Any]) -> None:
        streams = {(sender, kind) for sender, _, kind in handled}
        for stream in streams:
            numbers = [number for sender, number, kind in handled if (sender, kind) == stream]
            assert numbers == sorted(set(numbers))


async def after(moment: int, action: Coroutine[Any, Any, None]) -> None:
    for _ in range(moment):
        await asyncio.sleep(0)
    await action


@quickly
@given(scripts=SENDERS, capacity=st.integers(1, 5))
def test_what_is_accepted_is_handled_once_and_in_its_senders_order(scripts: Any, capacity: int) -> None:
    async def scene() -> None:
        traffic = Traffic(capacity)
        handled = await traffic.run(scripts)
        traffic.assert_in_order(handled)
        assert sorted(handled) == sorted(traffic.accepted + traffic.answered)
        assert traffic.stage.journal.failures == []

    asyncio.run(scene())


@quickly
@given(scripts=SENDERS, capacity=st.integers(1, 5), moment=MOMENT)
def test_a_stop_at_any_moment_loses_nothing_that_was_accepted(scripts: Any, capacity: int, moment: int) -> None:
    async def scene() -> None:
        traffic = Traffic(capacity)
        handled = await traffic.run(scripts, after(moment, traffic.ref.stop(timeout=PATIENCE)))
        traffic.assert_in_order(handled)
        assert sorted(handled) == sorted(traffic.accepted + traffic.answered)
        assert traffic.refused.isdisjoint(handled)
        assert traffic.stage.journal.failures == []

    asyncio.run(scene())


@quickly
@given(scripts=SENDERS, capacity=st.integers(1, 5), moments=st.lists(MOMENT, min_size=1, max_size=3), restart=RESTART)
def test_a_crash_at_any_moment_answers_every_ask_and_accounts_for_every_tell(
    scripts: Any, capacity: int, moments: list[int], restart: Restart
) -> None:
    async def tell_crash(traffic: Traffic) -> None:
        try:
            traffic.ref.tell(Do(crash))
        except ActorStopped:
            assert restart is Restart.NEVER

    async def scene() -> None:
        traffic = Traffic(capacity, restart)
        handled = await traffic.run(scripts, *(after(moment, tell_crash(traffic)) for moment in moments))
        traffic.assert_in_order(handled)
        assert set(traffic.answered) <= set(handled)
        lost = set(traffic.accepted) - set(handled)
        reports = [error for error in traffic.stage.journal.errors if isinstance(error, ActorStopped)]
        if restart is Restart.ON_FAILURE:
            assert not lost
            assert not reports
            assert len(traffic.stage.journal.failures) == len(moments)
        # A second crash message may be among those left behind.
        assert bool(reports) >= bool(lost)

    asyncio.run(scene())


@quickly
@given(scripts=SENDERS, capacity=st.integers(1, 5), moment=MOMENT)
def test_a_cancellation_at_any_moment_answers_every_ask_and_reports_lost_tells(
    scripts: Any, capacity: int, moment: int
) -> None:
    async def cancel() -> None:
        for task in asyncio.all_tasks():
            if task.get_name() == "it":
                task.cancel()

    async def scene() -> None:
        traffic = Traffic(capacity)
        handled = await traffic.run(scripts, after(moment, cancel()))
        lost = set(traffic.accepted) - set(handled)
        traffic.assert_in_order(handled)
        assert bool(lost) is bool(traffic.stage.journal.failures)

    asyncio.run(scene())
