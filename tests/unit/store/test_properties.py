"""Any sequence of calls: SQLite and the model answer alike."""

from __future__ import annotations

import asyncio
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from aitp_playground.errors import PlaygroundError
from aitp_playground.store.port import Leftover, OutboxBatch, RunStore, RunSummary
from aitp_playground.store.sqlite import SqliteRunStore

from .building import events, header
from .model import ModelRunStore

_IDS = st.sampled_from(["a", "b", "c"])
_STATUSES = st.sampled_from(["pending", "running", "success", "failed", "cancelled"])
_KEYS = st.none() | st.sampled_from(["k1", "k2"])
_BATCHES = [OutboxBatch(first=n, last=n + 2, count=2, key=f"key-{n}", body=b"\xff" * n) for n in (1, 4)]
_LEFT_IDS = st.sampled_from(["l1", "l2", "l3"])
_LEFTOVERS = st.builds(
    Leftover,
    id=_LEFT_IDS,
    cp=st.sampled_from(["http://here", "http://there"]),
    run_id=_IDS,
    kind=st.just("webhook"),
    url=st.none() | st.just("http://us"),
    events=st.sampled_from([(), ("tct.revoked", "agent.expired")]),
    secret=st.none() | st.just("s" * 64),
)
_COMMANDS = st.one_of(
    st.tuples(st.just("create"), _IDS, _KEYS, st.sampled_from([1.0, 2.0])),
    st.tuples(st.just("append"), _IDS, st.integers(0, 4), st.integers(-1, 1), _STATUSES),
    st.tuples(st.just("append"), _IDS, st.integers(1, 40), st.just(0), _STATUSES),
    st.tuples(st.just("request_cancel"), _IDS),
    st.tuples(st.just("save_agent_log"), _IDS, st.sampled_from(["x", "y"]), st.text(max_size=5)),
    st.tuples(st.just("save_batch"), _IDS, st.sampled_from(_BATCHES)),
    st.tuples(st.just("settle_outbox"), _IDS, st.integers(0, 9)),
    st.tuples(st.just("claim_outbox"), _IDS),
    st.tuples(st.just("unreported")),
    st.tuples(st.just("leave"), _LEFTOVERS),
    st.tuples(st.just("name_leftover"), _LEFT_IDS, st.sampled_from(["n1", "n2"])),
    st.tuples(st.just("postpone_leftover"), _LEFT_IDS, st.sampled_from([3.0, 70.0])),
    st.tuples(st.just("forget_leftover"), _LEFT_IDS),
    st.tuples(st.just("count_foreign"), _IDS),
    st.tuples(st.just("delete"), _IDS),
    st.tuples(st.just("prune"), st.integers(0, 2)),
    st.tuples(st.just("read"), _IDS, st.integers(0, 6), st.integers(0, 5)),
    st.tuples(st.just("list"), st.integers(1, 2), st.none() | _STATUSES),
)


async def _outcome(store: RunStore, command: tuple[Any, ...]) -> Any:
    """What a command gives, or the kind of error; cursors are followed, since their text is each store's own."""
    try:
        match command:
            case ("create", run_id, key, at):
                if await store.get(run_id) is not None:
                    return None
                return await store.create(header(run_id, idempotency_key=key, created_at=at))
            case ("append", run_id, length, shift, status):
                row = await store.get(run_id)
                first = (row.summary.event_count if row else 0) + 1 + shift
                last = first + length - 1
                finished_at = float(last) if status in {"success", "failed", "cancelled"} else None
                summary = RunSummary(run_id=run_id, status=status, event_count=last, finished_at=finished_at)
                return await store.append(run_id, events(first, last), summary)
            case ("read", run_id, after, limit):
                return await store.read(run_id, after=after, limit=limit)
            case ("list", limit, status):
                page = await store.list_runs(limit=limit, status=status)
                rows = list(page.rows)
                while page.next is not None:
                    page = await store.list_runs(limit=limit, status=status, before=page.next)
                    rows += page.rows
                return rows
            case _:
                name, *arguments = command
                return await getattr(store, name)(*arguments)
    except PlaygroundError as failure:
        return type(failure)


async def _everything(store: RunStore) -> Mapping[str, Any]:
    rows = (await store.list_runs(limit=10)).rows
    return {
        "rows": rows,
        "events": [await store.read(row.header.run_id) for row in rows],
        "logs": [await store.agent_log(row.header.run_id, agent) for row in rows for agent in "xy"],
        "counts": await store.count_by_status(),
        "unreported": await store.unreported(),
        "leftovers": [await store.leftovers(run_id) for run_id in "abc"],
        "due": [await store.leftovers_by_due(cp, linger=5.0, limit=9) for cp in ("http://here", "http://there")],
        "foreign": [await store.foreign_count(run_id) for run_id in "abc"],
    }


async def _compare(commands: list[tuple[Any, ...]], database: str, state_dir: Path) -> None:
    model, store = ModelRunStore(outbox=True), SqliteRunStore(database, state_dir=state_dir, outbox=True)
    await model.open()
    await store.open()
    try:
        for command in commands:
            assert await _outcome(store, command) == await _outcome(model, command), command
        assert await _everything(store) == await _everything(model)
        if database != ":memory:":
            await store.close()
            store = SqliteRunStore(database, state_dir=state_dir)
            await store.open()
            assert await _everything(store) == await _everything(model)
    finally:
        await store.close()


@pytest.mark.parametrize("name", ["runs.db", ":memory:"])
@settings(max_examples=40)
@given(commands=st.lists(_COMMANDS, max_size=30))
def test_any_sequence_of_calls_means_the_same_as_in_the_model(name: str, commands: list[tuple[Any, ...]]) -> None:
    with tempfile.TemporaryDirectory() as directory:
        database = name if name == ":memory:" else f"{directory}/{name}"
        asyncio.run(_compare(commands, database, Path(directory)))
