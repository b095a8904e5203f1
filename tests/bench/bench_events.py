"""Durable events through actor and store: 32 runs, one emitter each, waiting for the disk before the next batch."""

from __future__ import annotations

import asyncio
import tempfile
import time
import uuid
from collections.abc import Sequence
from functools import partial
from pathlib import Path

from aitp_playground.actors import ActorRef, Supervisor
from aitp_playground.events.model import draft
from aitp_playground.observability.logging import configure
from aitp_playground.observability.metrics import Metrics
from aitp_playground.runs.actor import RunActor
from aitp_playground.runs.feed import Feed
from aitp_playground.runs.log import EventLog, Observer
from aitp_playground.runs.messages import RunMessage, Telemetry
from aitp_playground.runs.state import RunState
from aitp_playground.store.port import RunHeader
from aitp_playground.store.sqlite import SqliteRunStore
from tests.bench.report import Figure

EMITTERS = 32
EVENTS_PER_EMITTER = 600
ROUNDS = 5


async def figures() -> list[Figure]:
    """With and without the log line, for batches as a busy agent sends them and for single events."""
    found = []
    with tempfile.TemporaryDirectory(prefix="playground-bench-") as name:
        for logged in (False, True):
            for batch in (20, 1):
                rates = await _rates(Path(name) / f"{logged}-{batch}", batch, logged)
                words = f"durable events, batches of {batch}, {'with' if logged else 'no'} log line"
                found.append(Figure(words, rates, "events/s", 20_000 if batch > 1 else None, at_most=False))
    return found


async def _rates(directory: Path, batch: int, logged: bool) -> list[float]:
    directory.mkdir()  # noqa: ASYNC240 - nothing else runs yet
    metrics = Metrics()
    observers: list[Observer] = [lambda event, _: metrics.observe_event(event)]
    with (directory / "log").open("w") as stream:
        logs = configure(level="INFO", format="json", stream=stream) if logged else None
        if logs is not None:
            observers.append(lambda _, stored: logs.event_line(stored))
        store = SqliteRunStore(str(directory / "runs.db"), state_dir=directory)
        await store.open()
        try:
            rates = [await _round(store, observers, batch) for _ in range(ROUNDS)]
        finally:
            await store.close()
            if logs is not None:
                logs.close()
    if logged:
        lines = sum(1 for _ in (directory / "log").open("rb"))
        assert lines >= ROUNDS * EMITTERS * EVENTS_PER_EMITTER, f"only {lines} log lines"
    return rates


async def _round(store: SqliteRunStore, observers: Sequence[Observer], batch: int) -> float:
    supervisor = Supervisor()
    refs = [await _run(store, supervisor, observers) for _ in range(EMITTERS)]
    begun = time.perf_counter()
    await asyncio.gather(*(_emit(ref, batch) for ref in refs))
    took = time.perf_counter() - begun
    await supervisor.close(10)
    return EMITTERS * EVENTS_PER_EMITTER / took


async def _run(store: SqliteRunStore, supervisor: Supervisor, observers: Sequence[Observer]) -> ActorRef[RunMessage]:
    header = RunHeader(run_id=str(uuid.uuid4()), scenario_ref="bench/events@1", created_at=time.time())
    await store.create(header)
    log = EventLog(header.run_id, store, Feed(), observers, RunState())

    async def idle(_: ActorRef[RunMessage]) -> None:
        await asyncio.Event().wait()

    actor = partial(RunActor, header, log, store, idle, ended=_ignore)
    return supervisor.spawn(actor, name=f"run:{header.run_id}")


def _ignore() -> None:
    """Nobody keeps a directory here."""


async def _emit(ref: ActorRef[RunMessage], batch: int) -> None:
    fields = {
        "agent_id": "writer",
        "capability": "write.content",
        "jti": str(uuid.uuid4()),
        "aid": "aid:pubkey:" + "x" * 43,
    }
    for first in range(1, EVENTS_PER_EMITTER + 1, batch):
        events = tuple((first + n, draft("capability.invoked", **fields, n=first + n)) for n in range(batch))
        await ref.ask(Telemetry("writer", events), timeout=60)
