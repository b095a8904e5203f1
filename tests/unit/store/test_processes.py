"""Several processes on one database, and what is left when one of them is killed."""

from __future__ import annotations

import asyncio
import fcntl
import os
import sys
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import pytest

from aitp_playground.store.owners import OwnerLock, is_alive, sweep
from aitp_playground.store.port import Outbox, OutboxBatch
from aitp_playground.store.sqlite import SqliteRunStore

from .building import events, stored_run, summary
from .conftest import MakeSqlite

Spawn = Callable[..., Awaitable[Process]]
_CHILD = Path(__file__).with_name("child.py")


@pytest.fixture
def state(tmp_path: Path) -> Path:
    return tmp_path / "state"


@pytest.fixture
async def spawn(state: Path) -> AsyncIterator[Spawn]:
    """``await spawn(command, run_id)``: a real second process; killed when the test is over."""
    children: list[Process] = []

    async def start(command: str, run_id: str, state_dir: Path = state) -> Process:
        child = await asyncio.create_subprocess_exec(
            sys.executable, str(_CHILD), command, str(state_dir), run_id, stdin=PIPE, stdout=PIPE
        )
        children.append(child)
        return child

    yield start
    for child in children:
        if child.returncode is None:
            child.kill()
        await child.communicate()


async def line(child: Process) -> str:
    assert child.stdout is not None
    async with asyncio.timeout(300):
        return (await child.stdout.readline()).decode().strip()


async def kill(child: Process) -> str:
    """End it without warning; what it had still said."""
    child.kill()
    async with asyncio.timeout(300):
        said, _ = await child.communicate()
    return said.decode()


def lock_files(state_dir: Path) -> list[str]:
    return [path.name for path in (state_dir / "owners").iterdir()]


def tell(child: Process) -> None:
    assert child.stdin is not None
    child.stdin.write(b"\n")


async def test_every_event_acknowledged_before_a_kill_is_there_afterwards(
    spawn: Spawn, make_sqlite: MakeSqlite
) -> None:
    child = await spawn("append", "run")
    while await line(child) != "200":
        pass
    # The last line may be cut short: a number without its newline was not said.
    said = (await kill(child)).rpartition("\n")[0].split()
    acknowledged = int(said[-1]) if said else 200
    store: SqliteRunStore = await make_sqlite()
    page = await store.read("run", limit=100_000)
    row = await store.get("run")
    assert row is not None
    assert [event.seq for event in page.events] == list(range(1, row.summary.event_count + 1))
    assert row.summary.event_count >= acknowledged >= 200
    await store.append("run", events(len(page.events) + 1, len(page.events) + 1), summary("run", len(page.events) + 1))


async def test_when_the_system_refuses_to_write_nothing_acknowledged_is_lost_and_the_store_recovers(
    spawn: Spawn, make_sqlite: MakeSqlite
) -> None:
    child = await spawn("squeeze", "run")
    async with asyncio.timeout(300):
        said, _ = await child.communicate()
    # The child's own log goes the same way; its words are those without a date.
    acknowledged, ping, end = [text for text in said.decode().splitlines() if " " not in text]
    assert (ping, end) == ("unavailable", "recovered")
    assert 0 < int(acknowledged) < 10_000
    store: SqliteRunStore = await make_sqlite()
    page = await store.read("run", limit=20_000)
    assert [event.seq for event in page.events] == list(range(1, int(acknowledged) + 2))


async def test_a_run_is_orphaned_when_its_process_dies_and_not_before(spawn: Spawn, store: SqliteRunStore) -> None:
    child = await spawn("hold", "run")
    assert await line(child) == "ready"
    own = await stored_run(store, 1)
    assert await store.orphans() == []
    assert await store.adopt("run") is False
    await kill(child)
    assert [row.header.run_id for row in await store.orphans()] == ["run"]
    assert await store.adopt("run") is True
    assert await store.orphans() == []
    assert await store.adopt("run") is False
    assert await store.adopt(own) is False


async def test_a_finished_run_is_nobodys_orphan(spawn: Spawn, store: SqliteRunStore) -> None:
    child = await spawn("hold", "run")
    await line(child)
    await store.append("run", events(1, 1), summary("run", 1, "success", 5.0))
    await kill(child)
    assert await store.orphans() == []
    assert await store.adopt("run") is False


async def test_what_a_process_has_to_report_is_its_own_until_it_dies(spawn: Spawn, store: SqliteRunStore) -> None:
    child = await spawn("hold", "run")
    await line(child)
    batch = OutboxBatch(first=1, last=1, count=1, key="key", body=b"body")
    await store.save_batch("run", batch)
    await store.append("run", events(1, 1), summary("run", 1, "success", 5.0))
    assert await store.unreported() == []
    assert await store.claim_outbox("run") is None
    await kill(child)
    assert await store.unreported() == ["run"]
    assert await store.claim_outbox("run") == Outbox(reported=0, event_count=1, over=True, batch=batch)


async def test_an_unfinished_run_of_a_dead_process_is_ended_before_it_is_reported(
    spawn: Spawn, store: SqliteRunStore
) -> None:
    child = await spawn("hold", "run")
    await line(child)
    await kill(child)
    assert await store.claim_outbox("run") is None
    assert await store.adopt("run") is True
    assert await store.claim_outbox("run") == Outbox(reported=0, event_count=0, over=False)


async def test_a_process_that_closes_in_order_leaves_its_unfinished_runs_to_others(
    make_sqlite: MakeSqlite, store: SqliteRunStore
) -> None:
    other: SqliteRunStore = await make_sqlite()
    late = await stored_run(other, created_at=2.0)
    early = await stored_run(other, created_at=1.0)
    assert await store.orphans() == []
    await other.close()
    assert [row.header.run_id for row in await store.orphans()] == [early, late]


async def test_of_several_processes_one_adopts(spawn: Spawn) -> None:
    dead = await spawn("hold", "run")
    await line(dead)
    await kill(dead)
    heirs = [await spawn("adopt", "run") for _ in range(3)]
    for heir in heirs:
        assert await line(heir) == "ready"
    for heir in heirs:
        tell(heir)
    assert sorted([await line(heir) for heir in heirs]) == ["False", "False", "True"]


async def test_an_owner_with_another_state_directory_is_seen_alive(
    spawn: Spawn, make_sqlite: MakeSqlite, tmp_path: Path, state: Path
) -> None:
    child = await spawn("hold", "run")
    await line(child)
    store: SqliteRunStore = await make_sqlite(state_dir=tmp_path / "elsewhere")
    assert await store.orphans() == []
    await kill(child)
    assert [row.header.run_id for row in await store.orphans()] == ["run"]


async def test_processes_that_start_at_once_agree_on_one_new_database(spawn: Spawn, make_sqlite: MakeSqlite) -> None:
    children = [await spawn("open", f"run-{n}") for n in range(4)]
    async with asyncio.timeout(300):
        assert [await child.wait() for child in children] == [0, 0, 0, 0]
    store: SqliteRunStore = await make_sqlite()
    assert len((await store.list_runs(limit=9)).rows) == 4


async def test_two_processes_write_at_once_without_refusing_each_other(spawn: Spawn, store: SqliteRunStore) -> None:
    child = await spawn("append", "run")
    await line(child)
    run_id = await stored_run(store)
    for n in range(1, 101):
        await store.append(run_id, events(n, n), summary(run_id, n))
    assert child.returncode is None
    assert await line(child)


async def test_a_reader_finishes_cleanly_when_another_process_deletes_the_run(
    spawn: Spawn, store: SqliteRunStore
) -> None:
    await stored_run(store, 1)
    run_id = await stored_run(store, 50)
    first = await store.read(run_id, limit=20)
    child = await spawn("delete", run_id)
    assert await line(child) == "True"
    assert first.more
    assert (await store.read(run_id, after=first.next_after)).events == ()
    assert await store.get(run_id) is None


async def test_lock_files_of_the_dead_are_removed_and_those_of_the_living_stay(
    spawn: Spawn, store: SqliteRunStore, state: Path
) -> None:
    child = await spawn("hold", "run")
    await line(child)
    await store.orphans()
    assert len(lock_files(state)) == 2
    await store.append("run", events(1, 1), summary("run", 1, "failed", 5.0))
    await kill(child)
    await store.orphans()
    assert lock_files(state) == [f"{store.owner_id}.lock"]


def test_a_lock_is_taken_again_when_a_probe_removed_the_file_before_it_was_locked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The probe comes between creation and lock, where it must see a dead owner."""
    real_fchmod, probes = os.fchmod, list[int]()

    def probing(descriptor: int, mode: int) -> None:
        real_fchmod(descriptor, mode)
        if not probes:
            probes.append(descriptor)
            sweep(tmp_path)
            assert not list(tmp_path.iterdir())

    monkeypatch.setattr(os, "fchmod", probing)
    lock = OwnerLock(tmp_path)
    lock.acquire()
    assert probes
    assert is_alive(lock.owner_id, tmp_path)
    sweep(tmp_path)
    assert is_alive(lock.owner_id, tmp_path)
    lock.release()
    assert not is_alive(lock.owner_id, tmp_path)


def test_two_probes_at_once_do_not_take_each_other_for_the_owner(tmp_path: Path) -> None:
    lock_file = tmp_path / "dead.lock"
    lock_file.touch()
    with lock_file.open() as other_probe:
        fcntl.flock(other_probe, fcntl.LOCK_SH)
        assert not is_alive("dead", tmp_path)
