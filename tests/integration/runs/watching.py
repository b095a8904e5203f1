"""What these tests look at from outside: processes, rows, tokens, descriptors."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Any

from aitp_playground.config import Settings
from aitp_playground.events.codec import decode
from aitp_playground.events.model import RunEvent
from aitp_playground.events.vocabulary import TERMINAL_TYPES
from aitp_playground.runs.activations import Activation
from aitp_playground.runs.requests import NewRun
from aitp_playground.service import Playground, playground
from tests.support.playground import VARIANTS, Outcome, settings_at

ACT, DUO = "lifecycle/act@1.0.0", "lifecycle/duo@1.0.0"
#: Patience with what must happen; nothing is asserted about how long it took.
PATIENCE = 300.0


def unruly_settings(directory: Path, **overrides: Any) -> Settings:
    """Settings under which the variants are the scenarios."""
    return settings_at(directory, scenarios_dir=str(VARIANTS / "scenarios"), **overrides)


@contextlib.asynccontextmanager
async def unruly_playground(directory: Path, *, recover: bool = True, **overrides: Any) -> AsyncIterator[Playground]:
    """A playground whose agents misbehave on request."""
    async with playground(unruly_settings(directory, **overrides), recover=recover) as running:
        yield running


async def submit(running: Playground, ref: str = ACT, **request: Any) -> str:
    """Start a run; its id."""
    return (await running.directory.submit(NewRun(scenario_ref=ref, **request))).row.header.run_id


async def until(running: Playground, run_id: str, event_type: str) -> RunEvent:
    """The first event of this type, once the run's stream shows it."""
    async with asyncio.timeout(PATIENCE):
        async for batch in running.directory.stream(run_id):
            for entry in batch:
                if entry.type == event_type:
                    return decode(entry.body)
    raise AssertionError(f"the run ended without {event_type}")


def terminals(outcome: Outcome) -> list[str]:
    """The terminal events of a run: there must be one."""
    return [kind for kind in outcome.types if kind in TERMINAL_TYPES]


@contextlib.contextmanager
def launches(running: Playground) -> Iterator[set[int]]:
    """The process ids of the agents launched meanwhile."""
    board = running.services.board
    pids: set[int] = set()
    update = board.update

    def listening(run_id: str, agent_id: str, **changes: Any) -> None:
        if "pid" in changes:
            pids.add(changes["pid"])
        update(run_id, agent_id, **changes)

    board.update = listening  # type: ignore[method-assign]
    try:
        yield pids
    finally:
        board.update = update  # type: ignore[method-assign]


def living(pids: set[int]) -> set[int]:
    """Those that still are processes (a zombie is one too)."""
    return {pid for pid in pids if Path(f"/proc/{pid}").exists()}


async def eventually(holds: Callable[[], bool]) -> None:
    """Wait for what no event tells of."""
    async with asyncio.timeout(PATIENCE):
        while not holds():  # noqa: ASYNC110 - processes and tables send no events
            await asyncio.sleep(0.01)


async def gone(pids: set[int]) -> None:
    """Wait until none of them is a process that runs."""
    await eventually(lambda: not any(_runs(pid) for pid in pids))


def _runs(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False


def writer(running: Playground, run_id: str) -> Activation:
    """The actor that is conducting a run."""
    found = running.directory.activations.get(run_id)
    assert found is not None, "the run is over"
    return found


async def at_rest(running: Playground) -> None:
    """Wait for the chores after the last run's end."""
    await eventually(lambda: running.directory.at_rest)


def leftovers(running: Playground) -> dict[str, Any]:
    """What must be empty when no run goes on."""
    directory = running.directory
    services = running.services
    return {
        "writers": len(directory.activations),
        "running, waiting": directory.load,
        "tokens": len(services.tokens),
        "outputs": services.board.listening,
        "rows": [row for row in directory.agents() if row.status != "crashed"],
    }


NOTHING = {
    "writers": 0,
    "running, waiting": (0, 0),
    "tokens": 0,
    "outputs": 0,
    "rows": [],
}
