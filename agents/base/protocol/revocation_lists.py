"""Signed revocation lists of other issuers: verified, never rolled back, and never forgetting what they once said."""

from __future__ import annotations

import json
import math
import time
from collections.abc import Callable
from dataclasses import dataclass

import aitp

from base.refusals import sdk_code

#: Seconds an issuer's clock may be ahead of ours.
CLOCK_SKEW = 300
#: Ids that an issuer listed once and lists no longer. They stay denied, so their number must have an end.
MAX_LOST = 50_000

Expiry = Callable[[str], float | None]


class ListRejectedError(Exception):
    """A list that changes nothing. ``cause`` is the SDK's code, ``rolled_back``, ``from_the_future`` or
    ``entries_lost``."""

    def __init__(self, cause: str) -> None:
        super().__init__(f"the revocation list was discarded: {cause}")
        self.cause = cause


@dataclass(frozen=True, slots=True)
class SignedList:
    """A list whose signature, issuer and expiry were checked. Times in Unix seconds."""

    published_at: int
    expires_at: int
    jtis: frozenset[str]


def read_list(raw: str, issuer: str) -> SignedList:
    """Verify a list against its pinned issuer. Raises :class:`ListRejectedError`."""
    try:
        aitp.verify_revocation_list(raw, issuer)
    except (RuntimeError, ValueError) as error:
        raise ListRejectedError(sdk_code(error).lower()) from error
    listed = json.loads(raw)["revocation_list"]
    if listed["published_at"] > time.time() + CLOCK_SKEW:
        # Taken in, it would make every honest list after it look rolled back.
        raise ListRejectedError("from_the_future")
    jtis = frozenset(entry["jti"].lower() for entry in listed["entries"])
    return SignedList(listed["published_at"], listed["expires_at"], jtis)


class IssuerList:
    """All that one issuer has said. An id it lists no longer stays denied until its token would have expired."""

    def __init__(self, expiry_of: Expiry, *, max_lost: int = MAX_LOST) -> None:
        self._expiry_of = expiry_of
        self._max_lost = max_lost
        self._newest: SignedList | None = None
        self._lost: dict[str, float] = {}
        self._fresh_until = -math.inf

    def take(self, newer: SignedList, max_staleness: float) -> None:
        """Put ``newer`` in the place of the list before. Raises :class:`ListRejectedError`: ``rolled_back``.

        Raises it with ``entries_lost`` too, when the list is suspect because it does without an id it should have. Its
        ids are denied then as well, but it does not count as a fresh list: an issuer that cannot read its own records
        signs an empty one.
        """
        if self._newest is not None and newer.published_at < self._newest.published_at:
            raise ListRejectedError("rolled_back")
        lost = self._lost_with(newer)
        if len(lost) > self._max_lost:
            raise ListRejectedError("entries_lost")
        self._newest, self._lost = newer, lost
        if lost:
            raise ListRejectedError("entries_lost")
        now = time.time()
        # By its own date: a copy that somebody keeps serving must grow old.
        left = min(newer.published_at + max_staleness, newer.expires_at) - now
        self._fresh_until = time.monotonic() + min(left, max_staleness)

    def _lost_with(self, newer: SignedList) -> dict[str, float]:
        now = time.time()
        missing = (self._newest.jtis if self._newest else frozenset()) - newer.jtis - self._lost.keys()
        lost = self._lost | {jti: self._expires(jti) for jti in missing}
        return {jti: until for jti, until in lost.items() if until >= now and jti not in newer.jtis}

    def _expires(self, jti: str) -> float:
        """For a token this agent has never seen: never."""
        expires_at = self._expiry_of(jti)
        return math.inf if expires_at is None else expires_at

    @property
    def is_fresh(self) -> bool:
        return time.monotonic() <= self._fresh_until

    @property
    def lost(self) -> int:
        return len(self._lost)

    def __contains__(self, jti: str) -> bool:
        return jti in self._lost or (self._newest is not None and jti in self._newest.jtis)

    def __len__(self) -> int:
        return len(self._lost) + (len(self._newest.jtis) if self._newest else 0)
