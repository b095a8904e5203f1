"""Processes end at any moment; what they had to report is reported by the next, and nothing twice."""

from __future__ import annotations

import asyncio
import os
import sys
from asyncio.subprocess import PIPE
from pathlib import Path

import pytest

from aitp_playground.control_plane.server import Running
from aitp_playground.events.model import draft
from aitp_playground.store.sqlite import SqliteRunStore
from tests.unit.cp_client.rogue import refusing

from .ingesting import WAIT, Reports, assert_same, ended, events_of, go_on, new_run, reporting, settled, stored, talk

pytestmark = pytest.mark.usefixtures("hasty")
ROOT = Path(__file__).resolve().parents[3]
SCRIPT = Path(__file__).with_name("reporter_process.py")


@pytest.mark.parametrize("arrived", [200, 400])
async def test_a_process_killed_between_two_batches_is_continued_by_the_next(
    tmp_path: Path, cp: Running, reports: Reports, arrived: int
) -> None:
    cp.service.switches.set({"fault": "delay", "seconds": 0.15, "method": "POST", "path": "/api/events"})
    child = await asyncio.create_subprocess_exec(
        sys.executable,
        str(SCRIPT),
        str(tmp_path),
        cp.url,
        cp.key,
        stdout=PIPE,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )
    try:
        assert child.stdout is not None
        async with asyncio.timeout(WAIT):
            run_id = (await child.stdout.readline()).decode().strip()
        await reports.has(run_id, arrived)
    finally:
        child.kill()
        await child.communicate()
    assert len(await reports.rows(run_id)) < 700
    async with stored(tmp_path) as store, reporting(store, cp.url, cp.key, settle=0.3):
        assert await store.unreported() == [run_id]
        await settled(store, run_id)
        assert_same(await reports.rows(run_id), await events_of(store, run_id))


async def test_a_batch_that_arrived_before_the_end_of_the_process_is_not_sent_again(
    store: SqliteRunStore, cp: Running, reports: Reports
) -> None:
    asleep = asyncio.Event()

    async def sleep(_: float) -> None:
        asleep.set()
        await asyncio.Event().wait()

    cp.service.switches.set({"fault": "drop", "method": "POST", "calls": 1})
    run_id = await new_run(store, talk(300))
    async with reporting(store, cp.url, cp.key, sleep=sleep) as reporter:
        ended(reporter, await events_of(store, run_id))
        async with asyncio.timeout(WAIT):
            await asleep.wait()
    outbox = await store.claim_outbox(run_id)
    assert outbox is not None
    assert (outbox.reported, outbox.batch and outbox.batch.last) == (0, 200)
    assert len(await reports.rows(run_id)) == 200
    async with reporting(store, cp.url, cp.key):
        await settled(store, run_id)
    assert_same(await reports.rows(run_id), await events_of(store, run_id))


async def test_a_batch_kept_but_never_sent_goes_out_byte_for_byte_under_its_key(
    store: SqliteRunStore, cp: Running, reports: Reports
) -> None:
    run_id = await new_run(store, talk(10))
    with refusing() as nowhere:
        async with reporting(store, nowhere, "key") as reporter:
            assert await reporter.flush(run_id) == "refused"
    before = await store.claim_outbox(run_id)
    assert before is not None
    assert before.batch is not None
    async with reporting(store, cp.url, cp.key):
        await settled(store, run_id)
    remembered = await cp.service.db.read(lambda db: [tuple(row) for row in db.execute("SELECT key FROM idempotency")])
    assert remembered == [(before.batch.key,)]
    assert_same(await reports.rows(run_id), await events_of(store, run_id))


async def test_agents_introduced_before_a_restart_are_known_by_their_aids_after_it(
    store: SqliteRunStore, cp: Running, reports: Reports
) -> None:
    ready = [draft("agent.ready", agent_id=name, aid=f"aid:pubkey:{name}", port=1) for name in ("writer", "reader")]
    run_id = await new_run(store, [draft("run.started"), *ready])
    async with reporting(store, cp.url, cp.key) as reporter:
        assert await reporter.flush(run_id) is None
    await go_on(
        store, run_id, [draft("trust.establishing", initiator="writer", target="reader"), draft("run.complete")]
    )
    async with reporting(store, cp.url, cp.key):
        await settled(store, run_id)
    row = (await reports.rows(run_id))[3]
    assert (row["aidA"], row["aidB"]) == ("aid:pubkey:writer", "aid:pubkey:reader")
