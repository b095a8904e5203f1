"""Room on the disk: what removals free is given back, and they work when nothing else does."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Mapping
from contextlib import suppress
from functools import partial
from typing import Any, TypeVar

import structlog

from aitp_playground.errors import StoreUnavailable
from aitp_playground.sqlite import space
from aitp_playground.sqlite.database import SqliteDatabase
from aitp_playground.sqlite.failures import is_no_room
from aitp_playground.sqlite.reserve import Reserve
from aitp_playground.sqlite.writer import Work

T = TypeVar("T")

#: What one removal may keep in memory while the disk is full; a run with more events than this needs the reserve too.
MEMORY_BYTES = 64 * 1024 * 1024

log = structlog.get_logger(__name__)


class Room:
    """Looks after the disk of one database; of one in memory there is nothing to look after.

    ``reserve_bytes``: what a removal may need before anything of it is free, kept in a file beside the database.
    """

    def __init__(self, database: SqliteDatabase, reserve_bytes: int) -> None:
        self._database = database
        path = database.path
        self._reserve = None if path is None else Reserve(path.with_name(f"{path.name}-reserve"), reserve_bytes)
        self._removing: set[asyncio.Task[Any]] = set()
        self._pruning: set[asyncio.Task[int]] = set()
        self._giving_back: asyncio.Task[None] | None = None
        #: Removals that are using the reserve, or what it took.
        self._spending = 0

    def take_reserve(self) -> None:
        """Blocks. A disk without room for it is told of, and no reason not to start."""
        if self._reserve is None:
            return
        if self._reserve.keep(self._reserve.size):
            self._database.admit = partial(self._admit, self._reserve)
        else:
            log.warning("store.no_reserve", path=str(self._reserve.path), bytes=self._reserve.size)

    async def close(self) -> None:
        """Stop what takes several steps between two of them; the rest ends with the database."""
        chores: list[asyncio.Task[Any]] = [*self._pruning, *filter(None, [self._giving_back])]
        for task in chores:
            task.cancel()
        await asyncio.gather(*chores, return_exceptions=True)

    async def given_back(self) -> None:
        """Returns when nothing is being given back."""
        while self._giving_back is not None and not self._giving_back.done():
            await asyncio.wait([self._giving_back])

    def remove(self, work: Work[T]) -> asyncio.Task[T]:
        """Write something that frees room, with the reserve when the disk has none left; it is begun at once."""
        first = self._database.write(work, always=True)
        removal = asyncio.get_running_loop().create_task(self._with_reserve(work, first))
        self._removing.add(removal)
        removal.add_done_callback(self._removing.discard)
        removal.add_done_callback(self._removed)
        return removal

    def remove_in_steps(self, some: Work[int], *, at_most: int) -> asyncio.Task[int]:
        """Do ``some``, which removes at most ``at_most`` things, until nothing is left; how many went."""
        pruning = asyncio.get_running_loop().create_task(self._in_steps(some, self.remove(some), at_most))
        self._pruning.add(pruning)
        pruning.add_done_callback(self._pruning.discard)
        return pruning

    def _admit(self, reserve: Reserve) -> None:
        """In the writer's thread. While the reserve is spent, by whichever process, its room is not for what made it
        necessary: else the next run takes it, and nothing can be removed any more. Raises OSError."""
        if reserve.there or (not self._spending and reserve.keep(_spare(reserve))):
            return
        raise OSError(
            f"the disk of {reserve.path.parent} is full, and what is left is for removing runs; remove some, or free "
            f"{(reserve.size + _spare(reserve)) / 2**20:.0f} MiB there"
        )

    def _take_again(self, reserve: Reserve) -> None:
        if not reserve.there and self._database.path is not None:
            with suppress(sqlite3.Error):
                space.shorten(self._database.path)
            if not self._spending:
                reserve.keep(_spare(reserve))

    async def _in_steps(self, some: Work[int], first: asyncio.Task[int], at_most: int) -> int:
        total = removed = await first
        while removed == at_most:
            removed = await self.remove(some)
            total += removed
        return total

    async def _with_reserve(self, work: Work[T], first: asyncio.Future[T]) -> T:
        try:
            return await first
        except StoreUnavailable as failure:
            if self._reserve is None or not is_no_room(failure.__cause__):
                raise
        self._spending += 1
        try:
            if self._reserve.there:
                log.warning("store.reserve_used", path=str(self._reserve.path))
            await asyncio.to_thread(self._reserve.spend)
            return await self._database.write(partial(_sparing, work), always=True)
        finally:
            self._spending -= 1

    def _removed(self, done: asyncio.Task[Any]) -> None:
        """The disk that it took goes back, behind the writes that wait."""
        idle = self._giving_back is None or self._giving_back.done()
        if idle and not done.cancelled() and done.exception() is None and done.result():
            self._giving_back = asyncio.get_running_loop().create_task(self._give_back(), name="store-give-back")

    async def _give_back(self) -> None:
        # What fails now is done after the next removal; until then the free pages are used again.
        with suppress(StoreUnavailable, RuntimeError):
            while await self._database.write(space.give_back, always=True):
                pass
            if self._reserve is not None:
                await asyncio.to_thread(self._take_again, self._reserve)


def _spare(reserve: Reserve) -> int:
    """What must be free beside a reserve that is taken again, bytes: little, so that removing runs gets there."""
    return reserve.size // 4


def _sparing(work: Work[T], connection: sqlite3.Connection) -> T:
    """Do ``work`` in memory, as far as it goes, and write no page to the log only to empty it."""
    sparing = {"cache_size": -MEMORY_BYTES // 1024, "secure_delete": "FAST"}
    usual = {name: connection.execute(f"PRAGMA {name}").fetchone()[0] for name in sparing}
    _set(connection, sparing)
    try:
        return work(connection)
    finally:
        _set(connection, usual)


def _set(connection: sqlite3.Connection, pragmas: Mapping[str, object]) -> None:
    for name, value in pragmas.items():
        connection.execute(f"PRAGMA {name}={value}").fetchall()
