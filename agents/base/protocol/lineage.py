"""Which token came out of which: what a delegation was redeemed for, and what a token was renewed to.

The SDK keeps no such record, and a redeemed token names only the one before it nowhere at all. Without it, revoking the
token at the root would leave everything that was made from it good until it expires.
"""

from __future__ import annotations

import math
import time
from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any, Literal

from base.refusals import Fault

MAX_TOKENS = 10_000

How = Literal["redeemed", "renewed"]
#: Child, parent, how, until.
Row = tuple[str, str, How, float]


@dataclass(slots=True)
class Origin:
    """Where a token came from. ``until``: Unix seconds from which on neither it nor its descendants are live."""

    parent: str
    how: How
    until: float


class Lineage:
    """A forest of token ids, kept for as long as anything in a branch is live."""

    def __init__(self, limit: int = MAX_TOKENS) -> None:
        self._limit = limit
        self._origins: dict[str, Origin] = {}
        #: How often something was recorded.
        self.changes = 0
        self._children: defaultdict[str, list[str]] = defaultdict(list)

    def make_room(self) -> None:
        """To be called before a token is minted. Raises 503: a token of unknown origin could not be revoked."""
        if len(self._origins) >= self._limit:
            self._forget_expired()
        if len(self._origins) >= self._limit:
            raise Fault(503, "overloaded", "too many live tokens were made from others; try again later")

    def record(self, child: str, parent: str, expires_at: float, how: How) -> None:
        """``child`` was made from ``parent``; the branch above it is now kept until ``expires_at`` at least."""
        child, parent = child.lower(), parent.lower()
        self.changes += 1
        self._origins[child] = Origin(parent, how, expires_at)
        self._children[parent].append(child)
        for ancestor in self.ancestors(child):
            if ancestor in self._origins:
                self._origins[ancestor].until = max(self._origins[ancestor].until, expires_at)

    def kept(self) -> list[Row]:
        """What is live, for :meth:`restore`."""
        self._forget_expired()
        return [(child, origin.parent, origin.how, origin.until) for child, origin in self._origins.items()]

    def restore(self, rows: Iterable[Any]) -> None:
        """Take in again what :meth:`kept` gave. Raises ``ValueError`` or ``TypeError`` for what it cannot have been."""
        for child, parent, how, until in rows:
            texts = isinstance(child, str) and isinstance(parent, str) and how in ("redeemed", "renewed")
            if not texts or not math.isfinite(until) or len(self._origins) >= self._limit:
                raise ValueError("not a record of where tokens came from")
            if child in self._origins or child == parent or child in self.ancestors(parent):
                raise ValueError("a token has two origins, or is its own")
            self.record(child, parent, until, how)
        self._forget_expired()

    def until(self, jti: str) -> float | None:
        """When it and all below it have expired, for a token that was made from another."""
        origin = self._origins.get(jti.lower())
        return origin.until if origin else None

    def ancestors(self, jti: str) -> Iterator[str]:
        """The tokens it was made from, nearest first."""
        origin = self._origins.get(jti.lower())
        while origin is not None:
            yield origin.parent
            origin = self._origins.get(origin.parent)

    def hops(self, jti: str) -> int:
        """How many delegations lie between a token and the handshake it goes back to."""
        hops, origin = 0, self._origins.get(jti.lower())
        while origin is not None:
            hops += origin.how == "redeemed"
            origin = self._origins.get(origin.parent)
        return hops

    def family(self, jti: str) -> list[str]:
        """What falls with it, itself left out: the tokens it was renewed from, and all that was made from any of these.

        What a redeemed token was delegated from stays: that one belongs to somebody else.
        """
        first = jti.lower()
        root = first
        while (origin := self._origins.get(root)) is not None and origin.how == "renewed":
            root = origin.parent
        found = [root]
        for member in found:
            found += self._children.get(member, [])
        return [member for member in found if member != first]

    def _forget_expired(self) -> None:
        now = time.time()
        for child in [child for child, origin in self._origins.items() if origin.until < now]:
            parent = self._origins.pop(child).parent
            self._children[parent].remove(child)
            if not self._children[parent]:
                del self._children[parent]
