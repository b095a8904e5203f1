"""Signed revocation lists of other issuers: verified, never rolled back, and what they once said kept while it matters.

An issuer may leave out an entry once its token has expired (RFC-AITP-0008, section 4.1). One that cannot read its
records signs an empty list. The two are told apart by what this agent knows itself: when the tokens expire that it
holds or issued.
"""

from __future__ import annotations

import json
import math
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import aitp

from base.aids import same_key
from base.refusals import sdk_code

#: Seconds an issuer's clock may be ahead of ours.
CLOCK_SKEW = 300
#: Ids that an issuer listed once and lists no longer. They stay denied, so their number must have an end.
MAX_LOST = 50_000

#: Seconds that a TCT lives at most (RFC-AITP-0005, section 9.1): after it an id is denied for nothing.
LONGEST_LIFE = 24 * 3600

#: When tokens expire that this agent knows, in Unix seconds by id.
Expiries = Callable[[], Mapping[str, float]]


class ListRejectedError(Exception):
    """A list that changes nothing. ``cause`` is the SDK's code, ``rolled_back``, ``from_the_future`` or
    ``entries_lost``."""

    def __init__(self, cause: str) -> None:
        super().__init__(f"the revocation list was discarded: {cause}")
        self.cause = cause


@dataclass(frozen=True, slots=True)
class SignedList:
    """A list whose signature, issuer and expiry were checked. Times in Unix seconds; ``entries``: id to revocation."""

    published_at: int
    expires_at: int
    entries: Mapping[str, float]


def read_list(raw: str, issuer: str) -> SignedList:
    """Verify a list against its pinned issuer, in whichever spelling it names it. Raises :class:`ListRejectedError`."""
    try:
        named = json.loads(raw)["revocation_list"]["issuer"]
    except (ValueError, TypeError, KeyError, RecursionError):
        named = issuer
    try:
        aitp.verify_revocation_list(raw, named if same_key(named, issuer) else issuer)
    except (RuntimeError, ValueError) as error:
        raise ListRejectedError(sdk_code(error).lower()) from error
    listed = json.loads(raw)["revocation_list"]
    if listed["published_at"] > time.time() + CLOCK_SKEW:
        # Taken in, it would make every honest list after it look rolled back.
        raise ListRejectedError("from_the_future")
    entries = {entry["jti"].lower(): entry["revoked_at"] for entry in listed["entries"]}
    return SignedList(listed["published_at"], listed["expires_at"], entries)


class IssuerList:
    """All that one issuer has said. An id it lists no longer stays denied for as long as its token may live.

    ``expiries`` are of tokens that it may be about: an entry that is missing ends with its token. ``missed``: of those
    that it may not leave out while they live, where these are fewer.

    ``doubt_empty``: whether a list without an entry is doubted when others came before whose tokens may still live. A
    peer's list is about that peer's tokens alone, and those that matter here are known here.
    """

    def __init__(
        self,
        expiries: Expiries,
        missed: Expiries | None = None,
        *,
        doubt_empty: bool = False,
        max_lost: int = MAX_LOST,
    ) -> None:
        self._expiries = expiries
        self._missed = missed or expiries
        self._doubt_empty = doubt_empty
        self._max_lost = max_lost
        self._published_at = -math.inf
        #: Of the tokens that are known here, those that the newest list was the first to name.
        self.news: list[str] = []
        #: Id on the newest list, or missing there and still denied -> until when its token may live.
        self._listed: dict[str, float] = {}
        self._lost: dict[str, float] = {}
        self._taken_at = self._ends_at = self._fresh_until = -math.inf

    def take(self, newer: SignedList, max_staleness: float) -> None:
        """Put ``newer`` in the place of the list before. Raises :class:`ListRejectedError`: ``rolled_back``.

        Raises it with ``entries_lost`` too, when the list is suspect: it lacks a token that this agent knows to be
        live, or it is empty and doubted. Its ids are denied then as well, but it does not count as a fresh list.
        """
        if newer.published_at < self._published_at:
            raise ListRejectedError("rolled_back")
        now = time.time()
        before = self._lost | self._listed
        self.news = sorted(newer.entries.keys() & self._expiries().keys() - before.keys())
        listed = {jti: before.get(jti, _latest_end(at, now)) for jti, at in newer.entries.items()}
        missing = before.keys() - listed.keys()
        known = self._expiries() if missing else {}
        ends = {jti: known.get(jti, before[jti]) for jti in missing}
        lost = {jti: end for jti, end in ends.items() if end >= now}
        if len(lost) > self._max_lost:
            raise ListRejectedError("entries_lost")
        self._published_at, self._listed, self._lost = newer.published_at, listed, lost
        if (lost and not self._missed().keys().isdisjoint(lost)) or (self._doubt_empty and lost and not listed):
            raise ListRejectedError("entries_lost")
        self._taken_at = time.monotonic()
        self._ends_at = self._taken_at + newer.expires_at - now
        # By its own date: a copy that somebody keeps serving must grow old.
        left = min(newer.published_at + max_staleness, newer.expires_at) - now
        self._fresh_until = self._taken_at + min(left, max_staleness)

    @property
    def is_fresh(self) -> bool:
        return time.monotonic() <= self._fresh_until

    def is_recent(self, seconds: float) -> bool:
        """Whether the newest good list came at most that long ago and has not expired since."""
        return time.monotonic() <= min(self._taken_at + seconds, self._ends_at)

    @property
    def lost(self) -> int:
        return len(self._lost)

    def __contains__(self, jti: str) -> bool:
        return jti in self._lost or jti in self._listed

    def __len__(self) -> int:
        return len(self._lost) + len(self._listed)


def _latest_end(revoked_at: float, now: float) -> float:
    """When a token has expired for certain that was revoked then, or was there when it was first listed: now."""
    return min(revoked_at, now) + LONGEST_LIFE + CLOCK_SKEW
