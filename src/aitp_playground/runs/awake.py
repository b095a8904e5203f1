"""AwakeRuns: the actors of runs that are over, while something is still written to their logs."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass

from aitp_playground.actors import ActorError, ActorRef, Supervisor
from aitp_playground.errors import Overloaded, PlaygroundError
from aitp_playground.runs.actor import RunActor
from aitp_playground.runs.feed import Feed
from aitp_playground.runs.log import EventLog, Observer
from aitp_playground.runs.messages import Delivery, DeliveryFate, RunMessage
from aitp_playground.runs.views import stored_state
from aitp_playground.store.port import RunHeader, RunStore

DELIVERY_TIMEOUT = 10.0
IDLE_SECONDS = 5.0
STOP_TIMEOUT = 5.0


@dataclass(slots=True)
class _Awake:
    """``busy``: deliveries it has not answered yet. ``bedtime``: when it goes to sleep, while it has none."""

    ref: ActorRef[RunMessage]
    busy: int = 0
    bedtime: asyncio.TimerHandle | None = None


class AwakeRuns:
    """Wakes an actor from what is on disk; it sleeps again when nothing has come for ``idle`` seconds."""

    def __init__(
        self, store: RunStore, supervisor: Supervisor, observers: Sequence[Observer], *, idle: float = IDLE_SECONDS
    ) -> None:
        self._store = store
        self._supervisor = supervisor
        self._observers = observers
        self._idle = idle
        self._runs: dict[str, asyncio.Task[_Awake]] = {}
        self._going: dict[str, asyncio.Task[None]] = {}
        self._leaving: set[asyncio.Task[None]] = set()
        self._closed = False

    async def deliver(self, header: RunHeader, delivery: Delivery) -> DeliveryFate:
        """To a finished run. Raises ActorError, PlaygroundError; the next delivery then begins from disk again."""
        run = await self._awake(header)
        run.busy += 1
        try:
            fate: DeliveryFate = await run.ref.ask(delivery, timeout=DELIVERY_TIMEOUT)
        except (ActorError, PlaygroundError):
            # Its state may be ahead of the disk, or the disk ahead of it: another process can write to this log too.
            await self.dismiss(header.run_id, run)
            raise
        finally:
            run.busy -= 1
            self._rest(header.run_id, run)
        return fate

    async def dismiss(self, run_id: str, run: _Awake | None = None) -> None:
        """Put the run's actor (only ``run``, if given) to sleep now."""
        task = self._runs.get(run_id)
        if task is None or (run is not None and task.done() and not task.exception() and task.result() is not run):
            return
        del self._runs[run_id]
        going = self._going[run_id] = asyncio.create_task(self._put_to_sleep(task))
        going.add_done_callback(lambda done: self._gone(run_id, done))
        await asyncio.shield(going)

    async def close(self) -> None:
        """Put all to sleep and wake none any more."""
        self._closed = True
        await asyncio.gather(*(self.dismiss(run_id) for run_id in list(self._runs)), return_exceptions=True)
        await asyncio.gather(*self._leaving, *self._going.values(), return_exceptions=True)

    async def _awake(self, header: RunHeader) -> _Awake:
        if self._closed:
            raise Overloaded("the server is shutting down", retry_after=5)
        task = self._runs.get(header.run_id)
        if task is None:
            task = self._runs[header.run_id] = asyncio.create_task(self._wake(header))
            task.add_done_callback(lambda done: self._woken(header.run_id, done))
        # Shielded: who leaves meanwhile must not take the others' actor away.
        return await asyncio.shield(task)

    async def _wake(self, header: RunHeader) -> _Awake:
        # One writer at a time: the last one must be through before the next begins from what it left on disk.
        while (going := self._going.get(header.run_id)) is not None:
            await asyncio.wait([going])
        state = await stored_state(self._store, header.run_id)
        log = EventLog(header.run_id, self._store, Feed(state.seq), self._observers, state)
        ref = self._supervisor.spawn(
            lambda: RunActor(header, log, self._store, _nothing_to_conduct, ended=_over, crashed=_over),
            name=f"run:{header.run_id}",
        )
        return _Awake(ref)

    def _woken(self, run_id: str, task: asyncio.Task[_Awake]) -> None:
        if not task.cancelled() and task.exception() is None:
            self._rest(run_id, task.result())
        elif self._runs.get(run_id) is task:
            del self._runs[run_id]

    def _rest(self, run_id: str, run: _Awake) -> None:
        if run.bedtime is not None:
            run.bedtime.cancel()
        if not run.busy and not self._closed:
            run.bedtime = asyncio.get_running_loop().call_later(self._idle, self._doze, run_id, run)

    def _doze(self, run_id: str, run: _Awake) -> None:
        if not run.busy:
            task = asyncio.create_task(self.dismiss(run_id, run))
            self._leaving.add(task)
            task.add_done_callback(self._leaving.discard)

    async def _put_to_sleep(self, task: asyncio.Task[_Awake]) -> None:
        with suppress(PlaygroundError, ActorError):  # it did not wake at all; or it resists, and is the supervisor's
            run = await task
            if run.bedtime is not None:
                run.bedtime.cancel()
            await run.ref.stop(timeout=STOP_TIMEOUT)

    def _gone(self, run_id: str, task: asyncio.Task[None]) -> None:
        if self._going.get(run_id) is task:
            del self._going[run_id]


async def _nothing_to_conduct(_: ActorRef[RunMessage]) -> None:
    raise AssertionError("a run that is over is not conducted again")


def _over(_: str) -> None:
    """It ended long ago."""
