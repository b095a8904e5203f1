"""Getting one run's events to the Control Plane, a batch at a time, each exactly once.

A batch is on disk before it is sent. Whenever its fate is unknown (no answer, a failure of the server, a restart in
between) a settling time passes, then the Control Plane's history says what has arrived, and only the rest is sent.
The settling time doubles with each unknown outcome. A request that we gave up on may still be under way over there,
behind a lock that reads do not wait for: the batch is then looked for again and again before it is sent once more.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field, replace
from typing import Any, Final

import structlog

from aitp_playground.backoff import doubling
from aitp_playground.cp_client.batches import Batch, BatchFate
from aitp_playground.cp_client.client import CpClient
from aitp_playground.cp_client.reasons import Outcome, Reason
from aitp_playground.cp_client.reporting.arrivals import arrived
from aitp_playground.cp_client.reporting.mapping import INTRODUCTIONS, SOURCE, AidBook
from aitp_playground.cp_client.reporting.outbox import (
    MAX_EVENTS,
    Composed,
    Mark,
    assemble,
    compose,
    contents,
    halved,
    renewed,
    without,
)
from aitp_playground.cp_client.reporting.sanitising import Outgoing, stub
from aitp_playground.errors import RunNotFound
from aitp_playground.events.codec import decode
from aitp_playground.observability import trace_context
from aitp_playground.observability.metrics import Metrics
from aitp_playground.store.port import Outbox, OutboxBatch, RunStore

#: Refusals of what a batch holds; the other 4xx are about us, or about the moment.
_ABOUT_CONTENT: Final = frozenset({400, 413, 422})
#: So many 500s to the same events, none of which arrived, are taken as a refusal of them.
_STRIKES: Final = 2
_PAGE: Final = 1000
#: Answers of a proxy that waited no longer than we would have; what is behind it may still be at work.
_GATEWAY_GAVE_UP: Final = frozenset({502, 504})

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Trouble:
    """The Control Plane did not take a batch this time. ``wait``: the least seconds it asked for.

    ``stuck``: trying again at once has been tried, or is of no use; who waits for the events had better be told.
    """

    reason: Reason
    wait: float = 0.0
    stuck: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class Means:
    """What reports work with. ``settle``: seconds after which a request without an answer has had its effect.

    ``settle_most``: what that grows to, and for how long a request that we gave up on is taken to be under way.
    """

    client: CpClient
    store: RunStore
    metrics: Metrics
    settle: float
    settle_most: float = 300.0
    sleep: Callable[[float], Awaitable[None]] = asyncio.sleep


@dataclass(slots=True)
class RunReport:
    """One run's. ``unsent``: key of the batch that is certainly not there; ``settled``: of one whose time has passed.

    ``suspect``: one of the events up to this seq is being refused. ``settling``: nothing goes on but a settling time;
    ``on_settling`` is told when one begins. ``given_up``: the last request ended because we waited no longer.
    """

    run_id: str
    means: Means
    aids: AidBook = field(default_factory=AidBook)
    learnt: int = 0
    known: set[Mark] = field(default_factory=set)
    unsent: str = ""
    settled: str = ""
    strikes: int = 0
    unanswered: int = 0
    suspect: int = 0
    last_status: int | None = None
    unknown: int = 0
    given_up: bool = False
    waited: float = 0.0
    settling: bool = False
    on_settling: Callable[[], None] = lambda: None

    async def advance(self, outbox: Outbox) -> Trouble | None:
        """Take the next step for an outbox that is not done; None: some way was made. Raises the store's errors."""
        batch = outbox.batch
        if batch is None:
            batch = await self._next(outbox)
        elif batch.key != self.unsent:
            if batch.given_up and not self.unknown:  # an earlier process did
                self.unknown, self.given_up = batch.given_up, True
            checked = await self._checked(batch)
            if not isinstance(checked, OutboxBatch):
                return checked
            batch = checked
        if not batch.count:
            await self._settle(batch)
            return None
        return await self._send(batch)

    async def _next(self, outbox: Outbox) -> OutboxBatch:
        """Compose and keep the batch that follows; smaller ones while a culprit is being looked for."""
        await self._learn(outbox.reported)
        most = max(1, (self.suspect - outbox.reported + 1) // 2) if self.suspect > outbox.reported else MAX_EVENTS
        page = await self.means.store.read(self.run_id, after=outbox.reported, limit=most)
        if not page.events:
            raise RunNotFound(f"run {self.run_id} was deleted while it was reported")
        # Encoding 200 large events takes tens of milliseconds.
        composed: Composed = await asyncio.to_thread(
            compose, self.run_id, page.events, self.aids, most=most, known=self.known
        )
        self.learnt = composed.batch.last
        for event in composed.altered:
            self._tell_altered(event)
        return await self._keep(composed.batch)

    async def _learn(self, reported: int) -> None:
        """Before the first batch of a run that was reported in part: who its agents are."""
        while self.learnt < reported:
            page = await self.means.store.read(self.run_id, after=self.learnt, limit=_PAGE)
            for entry in page.events:
                if entry.type in INTRODUCTIONS and entry.seq <= reported:
                    self.aids.note(decode(entry.body))
            self.learnt = page.next_after if page.events else reported

    async def _checked(self, batch: OutboxBatch) -> OutboxBatch | Trouble | None:
        """What of a batch with an unknown fate is still to be sent; None when all of it has arrived."""
        if self.means.client.state == "open":
            return Trouble("breaker_open")
        if self.settled != batch.key:
            await self._let_it_settle()
            self.settled = batch.key
        there = await arrived(self.means.client, self.run_id, batch)
        while there == frozenset() and self.given_up and self.waited < self.means.settle_most:
            self.unknown += 1
            await self._let_it_settle()
            there = await arrived(self.means.client, self.run_id, batch)
        if not isinstance(there, frozenset):
            return Trouble(there)
        self.known |= there
        left = without(self.run_id, batch, there)
        self.means.metrics.cp_ingest_events("already_there", batch.count - left.count)
        if not left.count:
            await self._settle(batch)
            return None
        if self.last_status == 500:
            self.last_status = None
            self.strikes += 1
        if self.strikes >= _STRIKES or (self.strikes and batch.last <= self.suspect and batch.count > 1):
            return await self._refused(left, Trouble("http_5xx"))
        if left.key == batch.key:
            self.unsent = batch.key
            return batch
        return await self._keep(left)

    async def _let_it_settle(self) -> None:
        seconds = doubling(self.means.settle, self.means.settle_most)(max(self.unknown, 1))
        if self.given_up:
            seconds = min(seconds, max(self.means.settle_most - self.waited, 0.0))
        self.settling = True
        self.on_settling()
        try:
            await self.means.sleep(seconds)
        finally:
            self.settling = False
        self.waited += seconds

    async def _send(self, batch: OutboxBatch) -> Trouble | None:
        self.settled = self.unsent = ""
        outcome = await self._post(batch)
        match outcome.value.fate:
            case "stored":
                self.means.metrics.cp_ingest_events("stored", batch.count)
                await self._settle(batch)
                return None
            case "unknown":
                self.last_status = outcome.status
                self.unanswered += 1
                self.unknown += 1
                self.given_up = outcome.reason == "timeout" or outcome.status in _GATEWAY_GAVE_UP
                self.waited = 0.0
                if self.given_up:
                    await self.means.store.save_batch(self.run_id, replace(batch, given_up=self.unknown))
                stuck = self.unanswered > 1 or self.means.client.state == "open"
                return Trouble(outcome.reason or "bad_shape", outcome.retry_after or 0.0, stuck)
            case _:
                return await self._not_stored(batch, outcome)

    async def _not_stored(self, batch: OutboxBatch, outcome: Outcome[BatchFate]) -> Trouble | None:
        self.unsent = batch.key
        trouble = Trouble(outcome.reason or "bad_shape", outcome.retry_after or 0.0)
        if outcome.status in _ABOUT_CONTENT:
            refused = await self._refused(batch, trouble)
            return refused if isinstance(refused, Trouble) else None
        # An answer without an error, or with one, may be remembered under the key; a silence is not.
        if outcome.status is not None or outcome.reason == "bad_shape":
            await self._keep(renewed(batch))
        return trouble

    async def _post(self, batch: OutboxBatch) -> Outcome[BatchFate]:
        body = Batch(batch.body, batch.count)
        with trace_context.within(self.run_id):
            return await self.means.client.ingest_events.outcome(body, idempotency_key=batch.key)

    # -- looking for the culprit ---------------------------------------------------------------------------------------

    async def _refused(self, batch: OutboxBatch, trouble: Trouble) -> OutboxBatch | Trouble | None:
        """Something in ``batch`` is not taken: halve it, or leave out the one event that it is."""
        self.strikes = 0
        self.suspect = max(self.suspect, batch.last)
        if batch.count > 1:
            return await self._keep(halved(self.run_id, batch))
        if not await self._takes_anything():
            await self._keep(renewed(batch))
            return trouble
        self.suspect = 0
        event = contents(batch)[0]
        if "omitted" in event["payload"]:
            log.error("cp_ingest.event_dropped", run_id=self.run_id, seq=batch.last, reason=trouble.reason)
            self.means.metrics.cp_ingest_events("dropped", 1)
            await self._settle(batch)
            return None
        return await self._keep(await self._stubbed(batch, event))

    async def _takes_anything(self) -> bool:
        """Whether the Control Plane stores an event about nothing: if not, the fault is not the batch's."""
        probe: dict[str, Any] = {"type": "ingest.probe", "source": SOURCE, "payload": {}}
        outcome = await self.means.client.ingest_events.outcome([probe])
        return outcome.value.fate == "stored"

    async def _stubbed(self, batch: OutboxBatch, event: dict[str, Any]) -> OutboxBatch:
        seq = event["payload"]["seq"]
        page = await self.means.store.read(self.run_id, after=seq - 1, limit=1)
        reduced = stub(decode(page.events[0].body), "refused")
        self._tell_altered(reduced)
        return assemble(self.run_id, batch.first, batch.last, [reduced.json])

    # -- the outbox ----------------------------------------------------------------------------------------------------

    async def _keep(self, batch: OutboxBatch) -> OutboxBatch:
        await self.means.store.save_batch(self.run_id, batch)
        self.unsent = batch.key
        return batch

    async def _settle(self, batch: OutboxBatch) -> None:
        await self.means.store.settle_outbox(self.run_id, batch.last)
        self.strikes = self.unanswered = self.unknown = 0
        self.given_up = False
        self.last_status = None
        self.known.clear()

    def _tell_altered(self, event: Outgoing) -> None:
        """Counted and logged once it is composed; a restart may do so again."""
        self.means.metrics.cp_ingest_events("stub" if event.condition == "stub" else "sanitised", 1)
        log.warning(f"cp_ingest.event_{event.condition}", run_id=self.run_id, seq=event.seq, what=event.note)
