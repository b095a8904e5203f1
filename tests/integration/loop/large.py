"""Runs that are over and whose logs are as large as logs may be, put into a store before a server opens it."""

from __future__ import annotations

import time
import uuid
from collections.abc import Callable, Iterable
from pathlib import Path

from aitp_playground.api import diff
from aitp_playground.events.codec import encode_json
from aitp_playground.store.port import Leftover, RunHeader, RunSummary, StoredEvent
from aitp_playground.store.sqlite import SqliteRunStore

SECRET = "the secret of a subscription of this run"
MIB = 1 << 20


def event(seq: int, event_type: str, /, **fields: object) -> StoredEvent:
    head = {"seq": seq, "id": str(uuid.uuid4()), "type": event_type, "ts": 1.0, "run_id": "r"}
    return StoredEvent(seq, event_type, 1.0, encode_json({**head, **fields}))


def with_large_outputs(steps: int = 24) -> Iterable[StoredEvent]:
    """Steps whose outputs are as large as outputs may be, of many small values."""
    yield event(1, "run.started")
    for number in range(steps):
        output = {f"key {n}": [n, str(n), {"deeper": None}] for n in range(22_000)}
        yield event(2 + number, "step.complete", step_id=f"s{number}", result=output)
    yield event(2 + steps, "run.complete")


def with_many_events(last: int = 30_000) -> Iterable[StoredEvent]:
    yield event(1, "run.started")
    for seq in range(2, last):
        yield event(seq, "capability.invoked", agent_id="a", capability="demo.echo", payload={"caller": "b" * 200})
    yield event(last, "run.complete")


def with_large_deliveries() -> Iterable[StoredEvent]:
    yield event(1, "run.started")
    for seq in range(2, 40):
        payload = {f"key {n}": ["x", n, {}] for n in range(20_000)}
        yield event(seq, "cp.webhook.delivered", delivery_id=f"d{seq}", event_type="x", payload=payload)
    for seq in range(40, 6_000):
        yield event(seq, "cp.webhook.delivered", delivery_id=f"d{seq}", event_type="y", payload={"n": seq})
    yield event(6_000, "run.complete")


async def store(state: Path) -> dict[str, str]:
    """The runs by what is large in them."""
    state.mkdir(parents=True, mode=0o700)  # noqa: ASYNC240 - nothing else runs yet
    runs = {}
    opened = SqliteRunStore(str(state / "runs.db"), state_dir=state)
    await opened.open()
    try:
        logs: dict[str, Callable[[], Iterable[StoredEvent]]] = {
            "outputs": with_large_outputs,
            "events": with_many_events,
            "deliveries": with_large_deliveries,
            # As large as a server compares.
            "fewer outputs": lambda: with_large_outputs(14),
            "fewer events": lambda: with_many_events(diff.MOST_EVENTS),
        }
        for name, make in logs.items():
            runs[name] = run_id = str(uuid.uuid4())
            await opened.create(RunHeader(run_id=run_id, scenario_ref="hostile/echo@1.0.0", created_at=time.time()))
            await opened.save_agent_log(run_id, "a", "lögs 😀\x1b[2J\n" * 80_000)
            hook = {"kind": "webhook", "name": "w", "url": "http://h/", "secret": SECRET}
            await opened.leave(Leftover(id=str(uuid.uuid4()), cp="http://cp", run_id=run_id, **hook))  # type: ignore[arg-type]
            batch: list[StoredEvent] = []
            for entry in make():
                batch.append(entry)
                if sum(len(one.body) for one in batch) > 4 * MIB or entry.type == "run.complete":
                    over = entry.type == "run.complete"
                    summary = RunSummary(
                        run_id=run_id,
                        status="success" if over else "running",
                        event_count=entry.seq,
                        finished_at=2.0 if over else None,
                    )
                    await opened.append(run_id, batch, summary)
                    batch = []
    finally:
        await opened.close()
    return runs
