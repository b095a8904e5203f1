"""RunActor over a real store: whatever is said to it in whatever order, its run ends once and every ask is answered."""

from __future__ import annotations

import asyncio
import contextlib
import sqlite3
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from aitp_playground.actors import ActorError, ActorRef, Supervisor
from aitp_playground.errors import PlaygroundError, StepError, StoreUnavailable, Unauthorized
from aitp_playground.events.codec import decode
from aitp_playground.events.model import RunEvent, draft
from aitp_playground.events.vocabulary import TERMINAL_TYPES
from aitp_playground.runs.actor import RunActor
from aitp_playground.runs.feed import Feed
from aitp_playground.runs.log import EventLog
from aitp_playground.runs.messages import (
    Begin,
    CancelRun,
    Interrupted,
    Reached,
    Record,
    RunMessage,
    StepEvents,
    Telemetry,
)
from aitp_playground.runs.state import RunState
from aitp_playground.store.port import RunHeader
from aitp_playground.store.sqlite import SqliteRunStore

RUN = "11111111-1111-4111-8111-111111111111"
#: An ask that takes this long was forgotten.
FORGOTTEN = 120.0


@dataclass
class Stage:
    """An actor, the store behind it and a conductor that does what the test says."""

    store: SqliteRunStore
    supervisor: Supervisor
    feed: Feed = field(default_factory=Feed)
    ended: list[str] = field(default_factory=list)
    failures: list[BaseException] = field(default_factory=list)
    release: asyncio.Event = field(default_factory=asyncio.Event)
    error: Exception | None = None

    async def conduct(self, run: ActorRef[RunMessage]) -> None:
        await run.ask(Record((draft("step.started", step_id="s", agent="a"),)), timeout=FORGOTTEN)
        await self.release.wait()
        if self.error is not None:
            raise self.error
        await run.ask(Record((draft("step.complete", step_id="s"),)), timeout=FORGOTTEN)

    def spawn(self, factory: Callable[..., RunActor] = RunActor) -> ActorRef[RunMessage]:
        header = RunHeader(run_id=RUN, scenario_ref="p/s@1", created_at=1.0)
        events = EventLog(RUN, self.store, self.feed, (), RunState())
        return self.supervisor.spawn(
            lambda: factory(header, events, self.store, self.conduct, ended=lambda: self.ended.append(RUN)),
            name="run",
        )

    def refuse_writes(self) -> None:
        def refuse(_connection: sqlite3.Connection) -> None:
            raise OSError("the disk is gone")

        self.store.database.before_commit = refuse

    def take_writes(self) -> None:
        self.store.database.before_commit = lambda _: None

    @contextlib.contextmanager
    def stalled_disk(self) -> Iterator[threading.Event]:
        """Nothing gets to the disk until the block is left. The event: a commit stands before it."""
        free, reached = threading.Event(), threading.Event()

        def wait(_connection: sqlite3.Connection) -> None:
            reached.set()
            assert free.wait(FORGOTTEN)

        self.store.database.before_commit = wait
        try:
            yield reached
        finally:
            self.take_writes()
            free.set()

    async def events(self) -> list[RunEvent]:
        page = await self.store.read(RUN, limit=10_000)
        return [decode(entry.body) for entry in page.events]


@contextlib.asynccontextmanager
async def stage(directory: Path) -> AsyncIterator[Stage]:
    store = SqliteRunStore(str(directory / "runs.db"), state_dir=directory)
    await store.open()
    await store.create(RunHeader(run_id=RUN, scenario_ref="p/s@1", created_at=1.0))
    failures: list[BaseException] = []
    supervisor = Supervisor(on_failure=lambda name, error: failures.append(error))
    try:
        yield Stage(store, supervisor, failures=failures)
    finally:
        await supervisor.close(5)
        await store.close()


async def turns(count: int) -> None:
    """Let whatever could go on without anybody else go on."""
    for _ in range(count):
        await asyncio.sleep(0)


def telemetry(first: int, count: int) -> Telemetry:
    numbers = range(first, first + count)
    return Telemetry("a", tuple((number, draft("capability.invoked", n=number)) for number in numbers))


ACTIONS = st.lists(
    st.one_of(
        st.just(("begin",)),
        st.just(("cancel",)),
        st.just(("interrupt",)),
        st.tuples(st.just("telemetry"), st.integers(1, 8), st.integers(1, 3)),
        st.tuples(st.just("reached"), st.integers(0, 9)),
        st.just(("window",)),
        st.just(("record",)),
        st.just(("release",)),
        st.just(("fail",)),
        st.just(("refuse",)),
        st.just(("take",)),
        st.tuples(st.just("pause"), st.sampled_from([0.0, 0.0, 0.003])),
    ),
    max_size=25,
)


async def play(story: list[tuple[Any, ...]], directory: Path) -> None:
    async with stage(directory) as on:
        ref = on.spawn()
        asks: list[asyncio.Task[Any]] = []
        batches: list[tuple[Telemetry, asyncio.Task[Any]]] = []

        def ask(message: RunMessage) -> asyncio.Task[Any]:
            task = asyncio.ensure_future(ref.ask(message, timeout=FORGOTTEN))
            asks.append(task)
            return task

        for name, *given_ in story:
            match str(name):
                case "begin":
                    ref.tell(Begin())
                case "cancel":
                    ask(CancelRun())
                case "interrupt":
                    ref.tell(Interrupted("interrupted"))
                case "telemetry":
                    batch = telemetry(*given_)
                    batches.append((batch, ask(batch)))
                case "reached":
                    ask(Reached("a", *given_))
                case "window":
                    ask(StepEvents())
                case "record":
                    ask(Record((draft("trust.establishing", initiator="a", target="b"),)))
                case "release":
                    on.release.set()
                case "fail":
                    on.error = StepError("no")
                    on.release.set()
                case "refuse":
                    on.refuse_writes()
                case "take":
                    on.take_writes()
                case _:
                    await asyncio.sleep(*given_)
        on.take_writes()
        status = await ref.ask(CancelRun(), timeout=FORGOTTEN)
        await ref.stop(timeout=FORGOTTEN)
        answers = await asyncio.gather(*asks, return_exceptions=True)
        events = await on.events()
        row = await on.store.get(RUN)

    assert not on.failures
    assert on.ended == [RUN]
    assert [event.seq for event in events] == list(range(1, len(events) + 1))
    assert [event.type for event in events if event.type in TERMINAL_TYPES] == [events[-1].type]
    assert row is not None
    assert row.summary.status == status == TERMINAL_TYPES[events[-1].type]
    started = sum(event.type == "step.started" for event in events)
    assert started == sum(event.type in {"step.complete", "step.failed"} for event in events)
    for answer in answers:
        if isinstance(answer, BaseException):
            assert isinstance(answer, PlaygroundError | ActorError)
            assert "s of its answer" not in str(answer)
    recorded = [event.payload["n"] for event in events if event.type == "capability.invoked"]
    assert recorded == sorted(set(recorded))
    # What was answered for is on disk, once and no more; whoever waited for a number has seen it there.
    answered = [(batch, task.result()) for batch, task in batches if task.exception() is None]
    assert sum(taken for _, (taken, _) in answered) <= len(recorded)
    on_disk = set(recorded)
    for batch, (taken, position) in answered:
        assert {number for number, _ in batch.events if number > position - taken} <= on_disk
        assert position >= batch.events[-1][0]
        assert position in on_disk
    if not any(name == "refuse" for name, *_ in story):
        assert {number for batch, _ in answered for number, _ in batch.events} <= {
            *range(1, max(on_disk, default=0) + 1)
        }
        assert sum(taken for _, (taken, _) in answered) == len(recorded)


@settings(max_examples=80)
@given(ACTIONS)
def test_any_story_ends_once_without_a_gap_and_with_every_ask_answered(story: list[tuple[Any, ...]]) -> None:
    with TemporaryDirectory() as directory:
        asyncio.run(play(story, Path(directory)))


async def test_a_cancel_before_the_conductors_first_step_ends_the_run(tmp_path: Path) -> None:
    async with stage(tmp_path) as on:
        ref = on.spawn()
        ref.tell(Begin())
        assert await ref.ask(CancelRun(), timeout=FORGOTTEN) == "cancelled"
        assert [event.type for event in await on.events()] == ["run.started", "run.cancelled"]


async def test_a_run_whose_end_was_asked_for_through_another_process_ends_no_other_way(tmp_path: Path) -> None:
    """The conductor is through, and the wish has reached the store before its end: however it went, it is cancelled."""
    async with stage(tmp_path) as on:
        ref = on.spawn()
        ref.tell(Begin())
        while on.feed.committed < 2:
            await on.feed.wait(on.feed.committed)
        await on.store.request_cancel(RUN)
        on.release.set()
        while on.feed.committed < 4:
            await on.feed.wait(on.feed.committed)
        assert await ref.ask(CancelRun(), timeout=FORGOTTEN) == "cancelled"
        assert [event.type for event in await on.events()][-2:] == ["step.complete", "run.cancelled"]
        assert on.ended == [RUN]


async def test_a_run_that_another_process_has_ended_gets_no_second_end(tmp_path: Path) -> None:
    async with stage(tmp_path) as on:
        ref = on.spawn()
        ref.tell(Begin())
        while on.feed.committed < 2:
            await on.feed.wait(on.feed.committed)
        other = EventLog(RUN, on.store, Feed(), (), RunState(seq=2, status="running"))
        await other.append([draft("run.failed", error="ended elsewhere")])[1]
        assert await ref.ask(CancelRun(), timeout=FORGOTTEN) == "failed"
        assert [event.type for event in await on.events()][-1:] == ["run.failed"]
        assert on.ended == [RUN]


async def test_a_run_that_is_gone_from_the_store_is_let_go(tmp_path: Path) -> None:
    async with stage(tmp_path) as on:
        ref = on.spawn()
        ref.tell(Begin())
        while on.feed.committed < 2:
            await on.feed.wait(on.feed.committed)
        await on.store.delete(RUN)
        on.release.set()
        await ref.ask(CancelRun(), timeout=FORGOTTEN)
        assert on.ended == [RUN]


async def test_an_event_that_is_no_json_is_refused_and_leaves_no_hole(tmp_path: Path) -> None:
    async with stage(tmp_path) as on:
        ref = on.spawn()
        with pytest.raises(TypeError):
            await ref.ask(Record((draft("step.started", step_id="s"), draft("x", y=object()))), timeout=FORGOTTEN)
        ref.tell(Interrupted("over"))
        await ref.ask(CancelRun(), timeout=FORGOTTEN)
        assert [event.type for event in await on.events()] == ["run.failed"]


async def test_an_interrupted_run_has_its_open_step_ended_as_it_was_labelled(tmp_path: Path) -> None:
    async with stage(tmp_path) as on:
        log = EventLog(RUN, on.store, Feed(), (), RunState())
        await log.append([draft("run.started"), draft("step.started", step_id="s", agent="a", step_type="workflow")])[1]
        ref = on.spawn()
        ref.tell(Interrupted("interrupted"))
        assert await ref.ask(CancelRun(), timeout=FORGOTTEN) == "failed"
        *_, failed, end = await on.events()
    assert (failed.type, failed.get("step_id"), failed.get("agent")) == ("step.failed", "s", "a")
    assert (failed.payload["step_type"], failed.get("error")) == ("workflow", "interrupted")
    assert (end.type, end.get("error")) == ("run.failed", "interrupted")


async def test_telemetry_after_the_end_is_refused(tmp_path: Path) -> None:
    async with stage(tmp_path) as on:
        ref = on.spawn()
        await ref.ask(CancelRun(), timeout=FORGOTTEN)
        with pytest.raises(Unauthorized):
            await ref.ask(telemetry(1, 1), timeout=FORGOTTEN)


async def test_a_defect_ends_the_actor_without_an_end_of_the_run(tmp_path: Path) -> None:
    class Defective(RunActor):
        async def on_message(self, message: RunMessage) -> Any:
            raise ZeroDivisionError

    async with stage(tmp_path) as on:
        ref = on.spawn(Defective)
        ref.tell(Begin())
        await ref.join()
        assert not on.ended
        assert [type(failure) for failure in on.failures] == [ZeroDivisionError]


async def test_a_batch_sent_again_is_answered_no_sooner_than_the_disk_has_its_first_copy(tmp_path: Path) -> None:
    async with stage(tmp_path) as on:
        ref = on.spawn()
        with on.stalled_disk() as reached:
            first = asyncio.ensure_future(ref.ask(telemetry(1, 2), timeout=FORGOTTEN))
            again = asyncio.ensure_future(ref.ask(telemetry(1, 2), timeout=FORGOTTEN))
            await ref.ask(StepEvents(), timeout=FORGOTTEN)  # both were handled before this was
            assert await asyncio.to_thread(reached.wait, FORGOTTEN)
            await turns(10)
            assert not again.done()
        assert await first == (2, 2)
        assert await again == (0, 2)


async def test_a_batch_sent_again_fails_when_its_first_copy_did(tmp_path: Path) -> None:
    async with stage(tmp_path) as on:
        ref = on.spawn()
        on.refuse_writes()
        answers = await asyncio.gather(
            *(ref.ask(telemetry(1, 2), timeout=FORGOTTEN) for _ in range(2)), return_exceptions=True
        )
        assert all(isinstance(answer, StoreUnavailable) for answer in answers)
        on.take_writes()
        assert await ref.ask(CancelRun(), timeout=FORGOTTEN) == "failed"
        assert [event.type for event in await on.events()] == ["run.failed"]
