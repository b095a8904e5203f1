"""Activations over a real store: one writer a log, each beginning when the last is through, whoever sends it away."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from aitp_playground.actors import ActorRef
from aitp_playground.errors import Overloaded, StoreUnavailable
from aitp_playground.events.model import draft
from aitp_playground.runs.activations import Activation, Activations, Purpose
from aitp_playground.runs.messages import Begin, CancelRun, Interrupted, Record, RunMessage
from aitp_playground.store.port import RunHeader

from .test_actor import FORGOTTEN, RUN, Stage, stage, turns
from .test_deliveries import entry_for, on_disk

HEADER = RunHeader(run_id=RUN, scenario_ref="p/s@1", created_at=1.0)


class Table(Activations):
    """``ends`` and ``losses``: the activations that its owner was told of."""

    def __init__(self, on: Stage, **options: Any) -> None:
        self.ends: list[Activation] = []
        self.losses: list[Activation] = []
        super().__init__(on.store, on.supervisor, (), ended=self.ends.append, gone=self.losses.append, **options)


@contextlib.asynccontextmanager
async def table(directory: Path, **options: Any) -> AsyncIterator[tuple[Stage, Table]]:
    async with stage(directory) as on:
        activations = Table(on, **options)
        try:
            yield on, activations
        finally:
            await activations.close()


async def test_what_the_store_did_not_take_is_not_answered_for_and_is_no_duplicate_later(tmp_path: Path) -> None:
    async with table(tmp_path) as (on, activations):
        assert await activations.follow(HEADER, entry_for(1)) == "stored"
        on.refuse_writes()
        for _ in range(2):
            with pytest.raises(StoreUnavailable):
                await activations.follow(HEADER, entry_for(2))
        on.take_writes()
        assert await activations.follow(HEADER, entry_for(2)) == "stored"
        assert await activations.follow(HEADER, entry_for(1)) == "duplicate"
        assert await on_disk(on) == ["d-1", "d-2"]


async def test_an_idle_writer_goes_by_itself_and_another_comes_when_it_is_needed(tmp_path: Path) -> None:
    async with table(tmp_path, idle=0.0) as (on, activations):
        for fate in ("stored", "duplicate"):
            assert await activations.follow(HEADER, entry_for(1)) == fate
            writer = activations.get(RUN)
            if writer is not None:
                await writer.gone
            assert activations.get(RUN) is None
        assert not len(on.supervisor)
        assert not activations.losses


async def test_simultaneous_deliveries_begin_one_writer(tmp_path: Path) -> None:
    async with table(tmp_path) as (on, activations):
        fates = await asyncio.gather(*(activations.follow(HEADER, entry_for(number // 2)) for number in range(20)))
        assert sorted(fates) == ["duplicate"] * 10 + ["stored"] * 10
        assert len(on.supervisor) == 1
        await activations.close()
        with pytest.raises(Overloaded):
            await activations.follow(HEADER, entry_for(99))


async def test_a_writer_that_leaves_is_through_before_the_next_one_begins_from_disk(tmp_path: Path) -> None:
    async with table(tmp_path) as (on, activations):
        await activations.follow(HEADER, entry_for(0))
        writer = activations.get(RUN)
        assert writer is not None
        with on.stalled_disk():
            first = asyncio.ensure_future(activations.follow(HEADER, entry_for(1)))
            await turns(3)
            assert writer.users
            leaving = activations.leave(writer)
            # The next writer is asked for while the last one's event is on its way: unseen, it would be stored again.
            rest = [asyncio.ensure_future(activations.follow(HEADER, entry_for(n))) for n in (2, 1, 3)]
            await turns(20)
            assert activations.get(RUN) is writer
            assert not leaving.done()
        assert await first == "stored"
        assert await asyncio.gather(*rest) == ["stored", "duplicate", "stored"]
        assert sorted(await on_disk(on)) == ["d-0", "d-1", "d-2", "d-3"]


async def test_a_writer_sent_away_from_several_sides_at_once_goes_once_and_nobody_waits_for_ever(
    tmp_path: Path,
) -> None:
    """A deletion, the idle timer and a delivery that failed may all send the same writer away, in any order."""
    async with table(tmp_path, idle=0.0) as (on, activations):
        await activations.follow(HEADER, entry_for(0))
        for round_ in range(1, 30):
            deliveries = [asyncio.ensure_future(activations.follow(HEADER, entry_for(round_))) for _ in range(3)]
            await turns(round_ % 7)
            if (writer := activations.get(RUN)) is not None:
                assert activations.leave(writer) is activations.leave(writer)
            async with asyncio.timeout(FORGOTTEN):
                answers = await asyncio.gather(*deliveries, return_exceptions=True)
            assert not [answer for answer in answers if isinstance(answer, TimeoutError)]
        assert len(await on_disk(on)) == len(set(await on_disk(on)))
        async with asyncio.timeout(FORGOTTEN):
            await activations.close()
        assert activations.get(RUN) is None


async def test_a_delivery_does_not_wait_for_ever_for_a_writer_that_stays(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("aitp_playground.runs.activations.DELIVERY_TIMEOUT", 0.05)
    async with table(tmp_path) as (on, activations):
        writer = activations.begin(HEADER, Purpose.FOLLOW)
        with on.stalled_disk():
            writer.ref.tell(Record((draft("run.started"),)))
            activations.leave(writer)
            with pytest.raises(Overloaded, match="still being written"):
                await activations.follow(HEADER, entry_for(1))
        await writer.gone


async def test_a_log_that_has_a_writer_gets_no_second_one(tmp_path: Path) -> None:
    async with table(tmp_path) as (_, activations):
        activations.begin(HEADER, Purpose.END)
        for purpose in Purpose:
            with pytest.raises(RuntimeError, match="has a writer already"):
                activations.begin(HEADER, purpose)


async def test_a_defect_is_told_when_the_table_is_free_for_who_writes_the_end(tmp_path: Path) -> None:
    async def conduct(run: ActorRef[RunMessage]) -> None:
        run.tell(Record((draft("step.started", x=object()),)))  # no JSON: a defect of who says it
        await asyncio.Event().wait()

    async with table(tmp_path) as (on, activations):
        lost = activations.begin(HEADER, Purpose.CONDUCT, conduct=conduct)
        lost.ref.tell(Begin())
        await lost.gone
        assert (activations.losses, activations.ends, lost.feed.closed) == ([lost], [], True)
        end = activations.begin(HEADER, Purpose.END, committed=lost.feed.committed)
        end.ref.tell(Begin())
        end.ref.tell(Interrupted("a defect"))
        assert await end.ref.ask(CancelRun(), timeout=FORGOTTEN) == "failed"
        assert [event.type for event in await on.events()] == ["run.started", "run.failed"]
        assert activations.ends == [end]
