"""What is asked of a store about all runs together: everything that was committed, as one sequence."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Protocol

from aitp_playground.store.port import PAGE_BYTES, StoredEvent


@dataclass(frozen=True, slots=True, order=True)
class Position:
    """A place in the chronicle: behind the event ``seq`` of commit ``commit``, 0 before its first.

    ``era``: of which history the last commit before it is, empty where nobody has asked the store. Another era's commit
    of the same number is another one.
    """

    commit: int
    seq: int
    era: str = field(default="", compare=False)


#: Before everything.
START = Position(0, 0)


@dataclass(frozen=True, slots=True)
class Entry:
    """One event where it was committed: ``position`` is the place right behind it."""

    position: Position
    run_id: str
    event: StoredEvent


@dataclass(frozen=True, slots=True)
class ChroniclePage:
    """What follows a position. ``after`` is where the next page begins; ``more`` says whether it will have something.

    ``removed``: runs of which events stood here that are gone; ``forgotten``: and of others whose ids are not known any
    more.
    """

    entries: tuple[Entry, ...]
    after: Position
    more: bool = False
    removed: tuple[str, ...] = ()
    forgotten: bool = False


class ChronicleStore(Protocol):
    """The events of all runs in the order of their commits, whichever process wrote them."""

    async def chronicle_placed(self, position: Position) -> Position:
        """The position with the era that it has in this store. Who has it with another one has it of another store, or
        of commits that this one does not have any more: it was put back from a copy."""

    async def chronicle_head(self) -> Position:
        """Behind every event that is stored now."""

    async def chronicle_since(self, at: float) -> Position:
        """Before the events of ``at`` (Unix seconds) and later, as far as time went forward."""

    async def chronicle(
        self, after: Position, *, limit: int = 1000, max_bytes: int = PAGE_BYTES, run_id: str | None = None
    ) -> ChroniclePage:
        """What was committed behind a position, of one run or of all: at most ``limit`` events and ``max_bytes`` bytes
        of them, but at least one if there is one. Of one run, nothing is said of others that were removed, and
        ``forgotten`` means that it may be among those."""
