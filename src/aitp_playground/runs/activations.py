"""Activations: which actor may write to which log. At most one a run; the next begins when the last is through."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from enum import Enum
from functools import partial

from aitp_playground.actors import ActorError, ActorRef, ActorStopped, Supervisor
from aitp_playground.errors import Overloaded, PlaygroundError
from aitp_playground.events.model import EventDraft
from aitp_playground.runs.actor import RunActor
from aitp_playground.runs.feed import Feed
from aitp_playground.runs.log import EventLog, Observer
from aitp_playground.runs.messages import Delivery, DeliveryFate, RunMessage
from aitp_playground.runs.state import RunState
from aitp_playground.runs.work import Conduct
from aitp_playground.store.port import RunHeader, RunStore

#: Seconds that a delivery may take, the wait for an earlier writer included.
DELIVERY_TIMEOUT = 10.0
#: Seconds without a delivery after which the writer of a finished run goes.
IDLE_SECONDS = 5.0
STOP_TIMEOUT = 5.0


class Purpose(Enum):
    """What an activation is for."""

    CONDUCT = "conduct"
    #: Write the last event of a run that nobody conducts any more.
    END = "end"
    #: Append what may follow the end of a run that is over.
    FOLLOW = "follow"


@dataclass(slots=True, eq=False)
class Activation:
    """One actor on one log. ``over``: the run's terminal event is on disk. ``users``: deliveries it has not answered.

    ``gone`` is the task that waits for its end and takes it out of the table; ``leaving`` the one that ends it.
    """

    header: RunHeader
    purpose: Purpose
    ref: ActorRef[RunMessage]
    feed: Feed
    over: bool = False
    users: int = 0
    gone: asyncio.Task[None] = field(init=False)
    leaving: asyncio.Task[None] | None = None
    idle: asyncio.TimerHandle | None = None


class Activations:
    """The table. An entry is added where there is none, and removed when its actor has ended: nothing else changes it.

    ``ended`` is called when the terminal event of a run is on disk, its activation still in the table; ``gone`` when an
    activation that was not told to go has ended, and the table is free for the next.
    """

    def __init__(
        self,
        store: RunStore,
        supervisor: Supervisor,
        observers: Sequence[Observer],
        *,
        ended: Callable[[Activation], None],
        gone: Callable[[Activation], None],
        idle: float = IDLE_SECONDS,
    ) -> None:
        self._store = store
        self._supervisor = supervisor
        self._observers = tuple(observers)
        self._ended = ended
        self._gone = gone
        self._idle = idle
        self._table: dict[str, Activation] = {}
        self._closed = False

    def get(self, run_id: str) -> Activation | None:
        """The present writer of a run's log."""
        return self._table.get(run_id)

    def __len__(self) -> int:
        """How many logs have a writer."""
        return len(self._table)

    def begin(
        self, header: RunHeader, purpose: Purpose, *, conduct: Conduct | None = None, committed: int = 0
    ) -> Activation:
        """Start the writer of a log that has none. ``committed``: how many of its events are on disk.

        Raises Overloaded when the service is shutting down, RuntimeError when the log has a writer.
        """
        if self._closed:
            raise Overloaded("the server is shutting down", retry_after=5)
        run_id = header.run_id
        if run_id in self._table:
            raise RuntimeError(f"run {run_id} has a writer already")
        feed = Feed(committed)
        events = EventLog(run_id, self._store, feed, self._observers, RunState())
        follow = purpose is Purpose.FOLLOW
        ref = self._supervisor.spawn(
            lambda: RunActor(
                header, events, self._store, conduct, ended=lambda: self._note_end(activation), resume=follow
            ),
            name=f"run:{run_id}",
        )
        activation = self._table[run_id] = Activation(header, purpose, ref, feed, over=follow)
        activation.gone = asyncio.create_task(self._wait_for(activation), name=f"gone:{run_id}")
        return activation

    def leave(self, activation: Activation) -> asyncio.Task[None]:
        """Have it finish what it was told and go. The task ends with it."""
        if activation.leaving is None:
            if activation.idle is not None:
                activation.idle.cancel()
            activation.leaving = asyncio.create_task(self._stop(activation), name=f"leave:{activation.header.run_id}")
        return activation.leaving

    async def follow(self, header: RunHeader, entry: EventDraft) -> DeliveryFate:
        """Append to the log of a run that is over, or is conducted here; on disk before it returns.

        Raises Overloaded when an earlier writer does not go in time, ActorError and PlaygroundError; the next
        delivery then begins from what is on disk.
        """
        try:
            async with asyncio.timeout(DELIVERY_TIMEOUT):
                activation = await self._writer(header)
        except TimeoutError:
            raise Overloaded("the run's log is still being written; deliver this again", retry_after=30) from None
        with self._in_use(activation):
            try:
                fate: DeliveryFate = await activation.ref.ask(Delivery(entry), timeout=DELIVERY_TIMEOUT)
            except ActorStopped as stopped:
                if isinstance(stopped.__cause__, PlaygroundError):  # it could not begin from disk
                    raise stopped.__cause__ from None
                raise
            return fate

    async def close(self) -> None:
        """End all, and begin none any more. What is not over on disk is for recovery to end."""
        self._closed = True
        everybody = list(self._table.values())
        await asyncio.gather(*[self.leave(entry) for entry in everybody], return_exceptions=True)
        await asyncio.gather(*[entry.gone for entry in everybody], return_exceptions=True)

    async def _writer(self, header: RunHeader) -> Activation:
        while (present := self._table.get(header.run_id)) is not None:
            if present.leaving is None and present.ref.alive:
                return present
            await asyncio.wait([present.gone])
        return self.begin(header, Purpose.FOLLOW)

    @contextmanager
    def _in_use(self, activation: Activation) -> Iterator[None]:
        activation.users += 1
        if activation.idle is not None:
            activation.idle.cancel()
        try:
            yield
        except (ActorError, PlaygroundError):
            # Its state may be ahead of the disk, or the disk ahead of it: another process can write to this log too.
            if activation.purpose is Purpose.FOLLOW:
                self.leave(activation)
            raise
        finally:
            activation.users -= 1
            if not activation.users and activation.purpose is Purpose.FOLLOW and activation.leaving is None:
                later = asyncio.get_running_loop().call_later
                activation.idle = later(self._idle, partial(self._leave_idle, activation))

    def _leave_idle(self, activation: Activation) -> None:
        if not activation.users:
            self.leave(activation)

    def _note_end(self, activation: Activation) -> None:
        activation.over = True
        activation.feed.close()
        self._ended(activation)

    async def _stop(self, activation: Activation) -> None:
        with suppress(ActorError):  # it resists even its cancellation, which is the supervisor's to report
            await activation.ref.stop(timeout=STOP_TIMEOUT)

    async def _wait_for(self, activation: Activation) -> None:
        await activation.ref.join()
        activation.feed.close()
        if activation.idle is not None:
            activation.idle.cancel()
        del self._table[activation.header.run_id]
        if activation.leaving is None and not self._closed:
            self._gone(activation)
