"""What every handler of one Control Plane works with."""

from __future__ import annotations

import asyncio
import sqlite3
import time
from collections.abc import Callable, Coroutine, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeVar

import aiohttp

from aitp_playground.control_plane.console.counters import Counters
from aitp_playground.control_plane.db import Database
from aitp_playground.control_plane.events.bus import EventBus, Frame
from aitp_playground.control_plane.middlewares.keys import Keys
from aitp_playground.control_plane.misbehaviour.switches import Switches
from aitp_playground.control_plane.options import Options
from aitp_playground.control_plane.trust.identity import Identity
from aitp_playground.control_plane.trust.signed_list import SignedList
from aitp_playground.control_plane.webhooks.breakers import Breakers

T = TypeVar("T")


@dataclass(slots=True, kw_only=True)
class ControlPlane:
    """``clock`` gives epoch seconds. ``awake`` is set by the first ingest after start: the sweeps wait for it.

    ``closing`` is set when the service ends: streams that are open then must end too.
    """

    db: Database
    identity: Identity
    options: Options
    bus: EventBus
    #: For webhook deliveries: refuses addresses that no webhook may reach.
    http: aiohttp.ClientSession
    #: The names under which the service is asked.
    hosts: frozenset[str]
    switches: Switches
    keys: Keys
    counters: Counters = field(default_factory=Counters)
    breakers: Breakers = field(default_factory=Breakers)
    clock: Callable[[], float] = time.time
    signed_list: SignedList = field(init=False)
    awake: asyncio.Event = field(default_factory=asyncio.Event)
    closing: asyncio.Event = field(default_factory=asyncio.Event)

    def __post_init__(self) -> None:
        self.signed_list = SignedList(self.db, self.identity, lambda: self.clock())

    async def commit(self, work: Callable[[sqlite3.Connection], tuple[T, Sequence[Frame]]]) -> T:
        """Write; once it is on disk publish the events that ``work`` returned beside its result."""
        result, events = await self.db.write(work)
        for event in events:
            self.bus.publish(event)
        return result

    async def pause(self, seconds: float) -> None:
        """Wait ``seconds``, scaled as the options say."""
        await asyncio.sleep(seconds * self.options.time_scale)


#: A loop that lives as long as the service; a resource lists its own as ``BACKGROUND``.
Background = Callable[[ControlPlane], Coroutine[Any, Any, None]]
