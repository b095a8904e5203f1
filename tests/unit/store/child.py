"""A process of its own for the tests: ``python child.py COMMAND STATE_DIR RUN_ID``. Says what it did, a line each.

``append`` appends events one by one for ever, printing each seq once it is acknowledged; ``hold`` creates the run, says
``ready`` and waits for its standard input to end; ``adopt`` says ``ready``, waits for a line, and prints whether it got
the run; ``open`` opens, creates the run and closes; ``delete`` deletes it; ``squeeze`` lets the operating system refuse
to grow files, appends until that shows, says how many events it was acknowledged and what ping says, lifts the limit,
appends once more and says ``recovered``.
"""

from __future__ import annotations

import asyncio
import resource
import sys
from contextlib import suppress
from pathlib import Path

from aitp_playground.errors import StoreUnavailable
from aitp_playground.store.port import RunHeader, RunSummary, StoredEvent
from aitp_playground.store.sqlite import SqliteRunStore


def say(word: object) -> None:
    print(word, flush=True)


async def wait_for_input() -> None:
    await asyncio.get_running_loop().run_in_executor(None, sys.stdin.readline)


async def append(store: SqliteRunStore, run_id: str, seq: int) -> None:
    event = StoredEvent(seq, "step.started", float(seq), b'{"filler":"%s"}' % (b"x" * 500))
    await store.append(run_id, [event], RunSummary(run_id=run_id, status="running", event_count=seq))


async def append_for_ever(store: SqliteRunStore, run_id: str) -> None:
    async def one(seq: int) -> None:
        await append(store, run_id, seq)
        say(seq)

    for first in range(1, 1_000_000, 20):
        await asyncio.gather(*(one(seq) for seq in range(first, first + 20)))


async def squeeze(store: SqliteRunStore, run_id: str) -> None:
    unlimited = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (400_000, unlimited[1]))
    done = 0
    with suppress(StoreUnavailable):
        while done < 10_000:
            await append(store, run_id, done + 1)
            done += 1
    say(done)
    # What refused a large append may have room left for a ping, which writes less.
    resource.setrlimit(resource.RLIMIT_FSIZE, (4096, unlimited[1]))
    try:
        await store.ping()
        say("fine")
    except StoreUnavailable:
        say("unavailable")
    resource.setrlimit(resource.RLIMIT_FSIZE, unlimited)
    await store.ping()
    await append(store, run_id, done + 1)
    say("recovered")


async def main(command: str, state_dir: Path, run_id: str) -> None:
    store = SqliteRunStore(str(state_dir / "runs.db"), state_dir=state_dir)
    await store.open()
    header = RunHeader(run_id=run_id, scenario_ref="p/s@1", created_at=1.0)
    match command:
        case "append":
            await store.create(header)
            await append_for_ever(store, run_id)
        case "hold":
            await store.create(header)
            say("ready")
            await wait_for_input()
        case "adopt":
            say("ready")
            await wait_for_input()
            say(await store.adopt(run_id))
            await wait_for_input()
        case "squeeze":
            await store.create(header)
            await squeeze(store, run_id)
        case "open":
            await store.create(header)
        case "delete":
            say(await store.delete(run_id))
        case _:
            raise SystemExit(f"no command {command}")
    await store.close()


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], Path(sys.argv[2]), sys.argv[3]))
