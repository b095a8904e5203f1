"""The signed revocation list, and the copy of it that is served for a while."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Callable, Sequence
from typing import Any

import structlog

from aitp_playground.control_plane.db import Database
from aitp_playground.control_plane.trust.identity import Identity
from aitp_playground.control_plane.wire.errors import Broken

#: How long a signed list is served before it is signed anew; an entry made here is on the list at once.
CACHE_SECONDS = 60.0

log = structlog.get_logger(__name__)


class SignedList:
    """Signs when asked, at most once in :data:`CACHE_SECONDS`, and anew after :meth:`forget`."""

    def __init__(self, db: Database, identity: Identity, clock: Callable[[], float]) -> None:
        self._db = db
        self._identity = identity
        self._clock = clock
        self._lock = asyncio.Lock()
        self._text: str | None = None
        self._until = 0.0
        self._entries_made = 0

    def forget(self) -> None:
        """An entry was made: the next reader gets a new list, and one that is being signed is not kept."""
        self._entries_made += 1
        self._text = None

    async def current(self) -> str:
        """The list as signed. Raises Broken when an entry cannot be signed.

        When the entries cannot be read, an *empty* list is signed and kept: a Control Plane fails open like this, and
        clients must learn to distrust a list that has lost entries.
        """
        async with self._lock:
            if self._text is not None and self._clock() < self._until:
                return self._text
            before, until = self._entries_made, self._clock() + CACHE_SECONDS
            text = await self._signed()
            if self._entries_made == before:
                self._text, self._until = text, until
            return text

    async def _signed(self) -> str:
        try:
            entries = await self._db.read(_entries)
        except sqlite3.Error as failure:
            log.error("control_plane.revocations_unreadable", error=str(failure))  # noqa: TRY400 - it says it all
            entries = []
        try:
            return await asyncio.to_thread(self._identity.sign_list, entries)
        except (ValueError, RuntimeError) as failure:
            raise Broken(f"the revocation list cannot be signed: {failure}") from failure


def _entries(conn: sqlite3.Connection) -> Sequence[dict[str, Any]]:
    rows = conn.execute("SELECT jti, revoked_at, reason FROM revocations ORDER BY seq")
    return [
        {"jti": row["jti"], "revoked_at": int(row["revoked_at"])} | ({"reason": row["reason"]} if row["reason"] else {})
        for row in rows
    ]
