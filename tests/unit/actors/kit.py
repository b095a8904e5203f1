"""An actor that does what its messages say, and a place where its doings and failures are seen."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from dataclasses import dataclass, field
from typing import Any, ClassVar, Self

from aitp_playground.actors import Actor, ActorRef, Lane, Restart, Supervisor

PATIENCE = 300.0  # seconds; only ever reached by a failing test


@dataclass(frozen=True)
class Note:
    """Recorded, and echoed to an asker."""

    value: object


@dataclass(frozen=True)
class Datum(Note):
    """The same on the data lane."""

    lane: ClassVar[Lane] = Lane.DATA


@dataclass(frozen=True)
class Do:
    """The handler awaits ``action(actor)`` and answers with its result."""

    action: Callable[[Scripted], Coroutine[Any, Any, Any]]


Message = Note | Do


@dataclass
class Journal:
    """What instances of the actor went through, in order."""

    notes: list[object] = field(default_factory=list)
    starts: int = 0
    stops: list[BaseException | None] = field(default_factory=list)
    failures: list[tuple[str, BaseException]] = field(default_factory=list)
    failed: asyncio.Event = field(default_factory=asyncio.Event)

    def record_failure(self, name: str, error: BaseException) -> None:
        self.failures.append((name, error))
        self.failed.set()

    @property
    def errors(self) -> list[BaseException]:
        return [error for _, error in self.failures]


class Scripted(Actor[Message]):
    def __init__(self, journal: Journal) -> None:
        self.journal = journal

    async def on_start(self) -> None:
        self.journal.starts += 1

    async def on_message(self, message: Message) -> Any:
        match message:
            case Do(action):
                return await action(self)
            case Note(value):
                self.journal.notes.append(value)
                return value

    async def on_stop(self, reason: BaseException | None) -> None:
        self.journal.stops.append(reason)


class Gate:
    """Holds a handler: ``entered`` says it is inside, ``open`` lets it go on."""

    def __init__(self) -> None:
        self.entered = asyncio.Event()
        self._opened = asyncio.Event()

    def open(self) -> None:
        self._opened.set()

    async def __call__(self, actor: Scripted) -> None:
        self.entered.set()
        await self._opened.wait()


async def crash(actor: Scripted) -> None:
    """A handler that fails."""
    raise LookupError("crashed")


class Stage:
    """A supervisor with a journal; spawns scripted actors."""

    def __init__(self, **options: Any) -> None:
        self.journal = Journal()
        options.setdefault("on_failure", self.journal.record_failure)
        self.supervisor = Supervisor(**options)

    def spawn(
        self,
        factory: Callable[[Journal], Actor[Message]] = Scripted,
        *,
        name: str = "it",
        restart: Restart = Restart.NEVER,
        data_capacity: int = 1024,
    ) -> ActorRef[Message]:
        return self.supervisor.spawn(
            lambda: factory(self.journal), name=name, restart=restart, data_capacity=data_capacity
        )

    async def hold(self, ref: ActorRef[Message]) -> Gate:
        """Keep the actor busy inside a handler until the gate opens."""
        gate = Gate()
        ref.tell(Do(gate))
        await asyncio.wait_for(gate.entered.wait(), PATIENCE)
        return gate

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        await self.supervisor.close(PATIENCE)


async def rounds(count: int = 10) -> None:
    """Let every ready callback run, a few times over."""
    for _ in range(count):
        await asyncio.sleep(0)
