"""A server whose loop is watched: how much CPU of its thread each callback takes.

Settings come from the environment. It prints its URL, and answers each line on standard input with JSON: ``tokens``
with the tokens that agents have been given, the latest last; any other with ``[[milliseconds, what ran], …]``, the
callbacks since the last time that took the most. Collections of garbage are not counted: they fall on whoever
allocates next, whatever that is.
"""

from __future__ import annotations

import asyncio
import gc
import heapq
import json
import sys
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

from aitp_playground.config import Settings
from aitp_playground.runs.conducting import agent_launch
from aitp_playground.service import playground

WORST = 5
#: Begins the lines that are the probe's; others are the service's log.
MARK = "probe: "


class Probe:
    """Measures by the thread's own CPU clock, so that a busy machine makes nothing longer."""

    def __init__(self) -> None:
        self._worst: list[tuple[float, str]] = []
        self._collecting = 0.0
        self._collected = 0.0

    def install(self) -> None:
        """From now on, for every loop of this process."""
        run: Callable[[asyncio.Handle], None] = asyncio.Handle._run  # type: ignore[attr-defined]

        def measured(handle: asyncio.Handle) -> None:
            what, collected, begun = _named(handle), self._collected, time.thread_time()
            try:
                run(handle)
            finally:
                took = time.thread_time() - begun - (self._collected - collected)
                if took > 0.001:
                    heapq.heappush(self._worst, (took, what))
                    if len(self._worst) > WORST:
                        heapq.heappop(self._worst)

        asyncio.Handle._run = measured  # type: ignore[attr-defined]
        gc.callbacks.append(self._collection)

    def _collection(self, phase: str, _info: Any) -> None:
        if threading.current_thread() is not threading.main_thread():
            return
        if phase == "start":
            self._collecting = time.thread_time()
        else:
            self._collected += time.thread_time() - self._collecting

    def take(self) -> list[tuple[float, str]]:
        """The longest callbacks since the last call, in milliseconds."""
        worst, self._worst = self._worst, []
        return sorted(((round(took * 1e3, 1), what) for took, what in worst), reverse=True)


def _named(handle: asyncio.Handle) -> str:
    callback: Any = handle._callback  # type: ignore[attr-defined]
    task = getattr(callback, "__self__", None)
    if isinstance(task, asyncio.Task):
        return " > ".join([*_awaiting(task.get_coro())][-6:])
    return str(getattr(callback, "__qualname__", callback))


def _awaiting(coroutine: Any) -> Iterator[str]:
    """A suspended coroutine, what it waits for, and so on."""
    while (frame := getattr(coroutine, "cr_frame", None)) is not None:
        yield f"{coroutine.__qualname__}:{frame.f_lineno}"
        coroutine = coroutine.cr_await


def noted(mint: Callable[[], str], minted: list[str]) -> Callable[[], str]:
    """The same, with what it gives kept for the test."""

    def mint_and_note() -> str:
        minted.append(mint())
        return minted[-1]

    return mint_and_note


async def main() -> None:
    probe, minted = Probe(), list[str]()
    agent_launch.mint_token = noted(agent_launch.mint_token, minted)
    async with playground(Settings.load(_env_file=None)) as running:
        probe.install()
        print(f"{MARK}{running.url}", flush=True)
        while line := await asyncio.to_thread(sys.stdin.readline):
            print(f"{MARK}{json.dumps(minted if line.strip() == 'tokens' else probe.take())}", flush=True)


if __name__ == "__main__":
    asyncio.run(main())
