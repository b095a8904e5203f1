"""Fetching one issuer's signed revocation list, and the events that tell what came of it."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any
from weakref import WeakValueDictionary

from base.aids import canonical
from base.http.bodies import structure
from base.http.peer_client import MAX_ANSWER, PeerClient
from base.protocol.control_plane import EXCHANGE_TIMEOUT, failure_of, refusal_of
from base.protocol.revocation import RevocationState
from base.protocol.revocation_lists import ListRejectedError
from base.refusals import PeerFailed
from base.telemetry import Telemetry

#: Bytes of a peer's list, some 7,000 lines. The SDK lets nothing else happen while it verifies one.
MAX_PEER_LIST = 512 << 10
#: Bytes of a list that are allowed for each of its parts (commas and brackets): a line of 75 has four at most.
BYTES_PER_PART = 16
#: Bytes of one peer's lists that are verified in a second: whoever serves a large one that is no good, or is good for a
#: second, has it looked at no more often for that.
VERIFIED_PER_SECOND = 512 << 10


@dataclass(frozen=True, slots=True)
class Fetched:
    """What came of it: the event that tells of it and its fields. ``cause``: why the list does not count, if so."""

    event: str
    fields: dict[str, Any] = field(default_factory=dict)

    @property
    def cause(self) -> str | None:
        cause: str | None = self.fields.get("cause")
        return cause

    @classmethod
    def failed(cls, cause: str, **fields: Any) -> Fetched:
        """It could not be had."""
        return cls("revocation.refresh_failed", {"cause": cause, **fields})


class ListFetcher:
    """Takes lists into the :class:`RevocationState`. Two fetches of one issuer's list go one after the other."""

    def __init__(
        self,
        revocations: RevocationState,
        client: PeerClient,
        telemetry: Telemetry,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], Awaitable[object]] = asyncio.sleep,
    ) -> None:
        self._clock = clock
        self._sleep = sleep
        self._revocations = revocations
        self._client = client
        self._telemetry = telemetry
        # Overtaking each other they would look like a list rolled back.
        self._turns: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()
        #: When the next list of an issuer may be verified, of those that have to wait for it.
        self._due: dict[str, float] = {}

    async def fetch(self, url: str, issuer: str, *, most: int = MAX_ANSWER) -> Fetched:
        """Fetch and take in the list of ``issuer``, whose AID was pinned beforehand. Tells nobody.

        ``most``: bytes that it may have, at most those of any answer. A peer's is verified when those before it have
        been paid for, see :data:`VERIFIED_PER_SECOND`.
        """
        key = canonical(issuer)
        turn = self._turns.setdefault(key, asyncio.Lock())
        async with turn:
            try:
                answer = await self._client.get(url, timeout=EXCHANGE_TIMEOUT, limit=most)
                if reason := refusal_of(answer, 200):
                    return Fetched.failed(reason, status=answer.status)
                raw = answer.text()
            except PeerFailed as failed:
                return Fetched.failed(failure_of(failed))
            if structure(raw) > most // BYTES_PER_PART:
                return Fetched.failed("too_large", status=answer.status)
            if most <= MAX_PEER_LIST:
                await self._pay_for(key, len(answer.body))
            try:
                self._revocations.take_list(raw, issuer)
            except ListRejectedError as rejected:
                lost = self._revocations.list_of(issuer).lost
                fields = {"cause": rejected.cause, "issuer": issuer, "lost": lost or None}
                return Fetched("revocation.verify_failed", fields)
            known = self._revocations.list_of(issuer)
            told: dict[str, Any] = {"count": len(known), "issuer": issuer}
            return Fetched("revocation.list_fetched", told | ({"denied": known.news} if known.news else {}))

    async def _pay_for(self, issuer: str, size: int) -> None:
        """Wait until a list of so many bytes may be verified."""
        now = self._clock()
        self._due = {key: due for key, due in self._due.items() if due > now}
        due = self._due.get(issuer, now)
        self._due[issuer] = due + size / VERIFIED_PER_SECOND
        if due > now:
            await self._sleep(due - now)

    def report(self, fetched: Fetched, url: str | None, *, of_stranger: bool = False, **fields: Any) -> None:
        """Tell the log; what is None is left out. Strangers can cause no more events than refusals."""
        error = None if fetched.cause is None else f"no use could be made of the list: {fetched.cause}"
        told = {"source_url": url, "error": error, **fetched.fields, **fields}
        emit = self._telemetry.emit_refusal if of_stranger else self._telemetry.emit
        emit(fetched.event, **{name: value for name, value in told.items() if value is not None})
