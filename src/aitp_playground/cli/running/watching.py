"""``run --watch``: waiting until a file that a run is made of is another one."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Final

from aitp_playground.cli.process.signals import Interrupts
from aitp_playground.config import Settings
from aitp_playground.resources import agents_dir

#: Seconds between two looks. Files that change meanwhile are waited for until they stay as they are.
LOOK: Final = 0.3
#: Files that are looked at; of a larger tree the first ones.
MOST: Final = 20_000
_PASSED_OVER: Final = frozenset({"__pycache__", "node_modules"})

Stamps = Mapping[Path, tuple[int, int, int]]


def roots_of(settings: Settings) -> list[Path]:
    """Where scenarios and agents come from."""
    scenarios = [root.resolve() for root in settings.scenario_roots]
    agents = [root.parent / "agents" for root in scenarios]
    return [root for root in dict.fromkeys((*scenarios, *agents, agents_dir())) if root.is_dir()]


def written_by_runs(settings: Settings, report: Path | None) -> tuple[str, ...]:
    """How the paths begin that a run writes itself: were they watched, one run would bring about the next."""
    database = Path(settings.database).resolve()  # and what lies beside it, with a suffix
    ours = [f"{settings.state_dir.resolve()}{os.sep}", str(database)]
    return (*ours, str(report.resolve())) if report is not None else tuple(ours)


def stamps(roots: Iterable[Path], besides: tuple[str, ...] = ()) -> Stamps:
    """Every file below these directories, but those that begin like one of ``besides``, with what tells one state of
    it from another. Blocks."""
    found: dict[Path, tuple[int, int, int]] = {}
    for path in _files(roots):
        if str(path).startswith(besides):
            continue
        with suppress(OSError):
            state = path.stat()
            found[path] = (state.st_mtime_ns, state.st_size, state.st_ino)
        if len(found) >= MOST:
            break
    return found


def _files(roots: Iterable[Path]) -> Iterator[Path]:
    for root in roots:
        for folder, inside, names in os.walk(root):
            inside[:] = sorted(name for name in inside if not name.startswith(".") and name not in _PASSED_OVER)
            yield from (Path(folder, name) for name in sorted(names) if not name.startswith(".") and name[-1] != "~")


async def changed(
    roots: Iterable[Path], before: Stamps, interrupts: Interrupts, besides: tuple[str, ...] = ()
) -> list[Path]:
    """What is other than ``before``, once it stays so; nothing when somebody asks for the end."""
    looked_at = tuple(roots)
    last = before
    while True:
        with suppress(TimeoutError):
            async with asyncio.timeout(LOOK):
                await interrupts.asked.wait()
            return []
        now = await asyncio.to_thread(stamps, looked_at, besides)
        if now == last and now != before:
            return sorted(path for path in {*now, *before} if now.get(path) != before.get(path))
        last = now
