"""Delegations that were redeemed, and what each was redeemed for."""

from __future__ import annotations

import hashlib
import time
from dataclasses import dataclass, field
from typing import Any

from base.refusals import Fault

MAX_REMEMBERED = 10_000


@dataclass(frozen=True, slots=True)
class Redeemed:
    """What came of one delegation: ``answer`` for the delegatee's ``key``, a token with this ``jti``. ``until``: Unix
    seconds at which the delegation ends, and the token with it."""

    key: str
    jti: str
    until: float
    answer: dict[str, Any] = field(repr=False)


class RedeemedBook:
    """One delegation, one token: kept until the delegation would have expired."""

    def __init__(self, limit: int = MAX_REMEMBERED) -> None:
        self._limit = limit
        self._kept: dict[bytes, Redeemed] = {}

    def find(self, delegation: str) -> Redeemed | None:
        """What it was redeemed for; None when it was not."""
        return self._kept.get(fingerprint(delegation))

    def make_room(self) -> None:
        """To be called before a token is minted. Raises 503: to forget a delegation would be to redeem it again."""
        if len(self._kept) >= self._limit:
            now = time.time()
            self._kept = {known: redeemed for known, redeemed in self._kept.items() if redeemed.until >= now}
        if len(self._kept) >= self._limit:
            raise Fault(503, "overloaded", "too many delegations in a short time; try again later")

    def record(self, delegation: str, redeemed: Redeemed) -> None:
        """It was redeemed just now."""
        self._kept[fingerprint(delegation)] = redeemed


def fingerprint(delegation: str) -> bytes:
    """What makes two delegation tokens the same one: all but the signature, of which a key can make several."""
    return hashlib.sha256(delegation.rpartition(".")[0].encode()).digest()
