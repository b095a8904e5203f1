"""Delegations that were redeemed, and what each was redeemed for."""

from __future__ import annotations

import hashlib
import math
import time
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from base.refusals import Fault

#: Delegations remembered: of all delegators, and of one, so that no one of them leaves the others without room.
MAX_REMEMBERED = 10_000
MAX_OF_ONE = 500

#: Fingerprint, key, jti, until, delegator.
Row = tuple[str, str, str, float, str]


@dataclass(frozen=True, slots=True)
class Redeemed:
    """What came of one delegation: ``answer`` for the delegatee's ``key``, a token with this ``jti``.

    ``until``: Unix seconds at which the delegation ends, and the token with it. ``delegator``: that agent's key.
    ``answer`` is None of what was redeemed before a restart: the tokens themselves are not kept on disk.
    """

    key: str
    jti: str
    until: float
    delegator: str
    answer: dict[str, Any] | None = field(repr=False)


class RedeemedBook:
    """One delegation, one token: kept until the delegation would have expired."""

    def __init__(self, limit: int = MAX_REMEMBERED, of_one: int = MAX_OF_ONE) -> None:
        self._limit = limit
        self._of_one = of_one
        self._kept: dict[bytes, Redeemed] = {}
        self._counts: Counter[str] = Counter()
        #: How often something was recorded.
        self.changes = 0

    def clear(self) -> None:
        """Forget them all: vouchers of a key that is gone are good for nothing."""
        self._kept.clear()
        self._counts.clear()

    def find(self, delegation: str) -> Redeemed | None:
        """What it was redeemed for; None when it was not."""
        return self._kept.get(fingerprint(delegation))

    def make_room(self, delegator: str) -> None:
        """To be called before a token is minted. Raises 503: to forget a delegation would be to redeem it again."""
        if self._is_full_for(delegator):
            self._forget_expired()
        if self._is_full_for(delegator):
            message = f"more than {self._of_one} delegations of one agent, or {self._limit} of all, are live"
            raise Fault(503, "overloaded", f"{message}; try again when some have expired")

    def record(self, delegation: str, redeemed: Redeemed) -> None:
        """It was redeemed just now."""
        self._keep(fingerprint(delegation), redeemed)
        self.changes += 1

    def kept(self) -> list[Row]:
        """What is live, for :meth:`restore`; the tokens themselves are left out."""
        self._forget_expired()
        return [(mark.hex(), one.key, one.jti, one.until, one.delegator) for mark, one in self._kept.items()]

    def restore(self, rows: Iterable[Any]) -> None:
        """Take in again what :meth:`kept` gave. Raises ``ValueError`` or ``TypeError`` for what it cannot have been."""
        for mark, key, jti, until, delegator in rows:
            digest = bytes.fromhex(mark)
            texts = all(isinstance(text, str) for text in (key, jti, delegator))
            if not texts or not math.isfinite(until) or digest in self._kept or len(self._kept) >= self._limit:
                raise ValueError("not a record of redeemed delegations")
            self._keep(digest, Redeemed(key, jti, until, delegator, None))
        self._forget_expired()

    def _keep(self, mark: bytes, redeemed: Redeemed) -> None:
        self._kept[mark] = redeemed
        self._counts[redeemed.delegator] += 1

    def _is_full_for(self, delegator: str) -> bool:
        return len(self._kept) >= self._limit or self._counts[delegator] >= self._of_one

    def _forget_expired(self) -> None:
        now = time.time()
        self._kept = {mark: redeemed for mark, redeemed in self._kept.items() if redeemed.until >= now}
        self._counts = Counter(redeemed.delegator for redeemed in self._kept.values())


def fingerprint(delegation: str) -> bytes:
    """What makes two delegation tokens the same one: all but the signature, of which a key can make several."""
    return hashlib.sha256(delegation.rpartition(".")[0].encode()).digest()
