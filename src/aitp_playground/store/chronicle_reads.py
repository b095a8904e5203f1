"""What an SQLite store says of all runs together: the part of it that is a chronicle."""

from __future__ import annotations

from functools import partial

from aitp_playground.sqlite.database import SqliteDatabase
from aitp_playground.store import chronicle
from aitp_playground.store.chronicle_port import ChroniclePage, Position
from aitp_playground.store.port import PAGE_BYTES


class ChronicleReads:
    """Implements :class:`~aitp_playground.store.chronicle_port.ChronicleStore`."""

    database: SqliteDatabase

    async def chronicle_placed(self, position: Position) -> Position:
        """See the port."""
        return await self.database.read(partial(chronicle.placed, position=position))

    async def chronicle_head(self) -> Position:
        """See the port."""
        return await self.database.read(chronicle.head)

    async def chronicle_since(self, at: float) -> Position:
        """See the port."""
        return await self.database.read(partial(chronicle.since, at=at))

    async def chronicle(
        self, after: Position, *, limit: int = 1000, max_bytes: int = PAGE_BYTES, run_id: str | None = None
    ) -> ChroniclePage:
        """See the port."""
        read = partial(chronicle.page, after=after, limit=limit, max_bytes=max_bytes, run_id=run_id)
        return await self.database.read(read)
