"""What the playground asks of a store. Nothing above this file knows SQL."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol

from aitp_playground.errors import PlaygroundError, StoreUnavailable

RunStatus = Literal["pending", "running", "success", "failed", "cancelled"]
RunProof = Literal["proven", "unproven"]
#: Bytes of events that one read gives at most, unless the first one alone is larger.
PAGE_BYTES = 256 * 1024
TERMINAL: frozenset[RunStatus] = frozenset({"success", "failed", "cancelled"})


@dataclass(frozen=True, slots=True, kw_only=True)
class RunHeader:
    """The immutable part of a run, written once. ``created_at`` is Unix seconds.

    ``idempotency_key`` and ``request_digest`` belong together: the same key with another digest is a caller's mistake.
    ``scenario_digest`` names what the run was started from (:class:`KeptScenario`).
    """

    run_id: str
    scenario_ref: str
    template: str | None = None
    run_label: str | None = None
    inputs: Mapping[str, Any] = field(default_factory=dict)
    fault_injection: Mapping[str, Any] = field(default_factory=dict)
    created_at: float
    idempotency_key: str | None = None
    request_digest: str | None = None
    scenario_digest: str | None = None


@dataclass(frozen=True, slots=True)
class KeptScenario:
    """What runs were started from. ``digest``: of its canonical form, SHA-256 in hex; ``body``: all of it, as JSON."""

    digest: str
    body: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class RunSummary:
    """The mutable row kept beside the events, in the same transaction; a fold of them, and rebuilt from them.

    ``proof``: of a success; None of any other, and of a success stored by a release that did not keep it yet.
    """

    run_id: str
    status: RunStatus
    event_count: int = 0
    finished_at: float | None = None
    proof: RunProof | None = None


@dataclass(frozen=True, slots=True)
class RunRow:
    """What a list shows: header and summary. ``cancel_requested``: an intent stored before it was carried out."""

    header: RunHeader
    summary: RunSummary
    cancel_requested: bool = False


@dataclass(frozen=True, slots=True)
class StoredEvent:
    """One event as stored and streamed: ``body`` is its JSON, encoded once, UTF-8, no newline."""

    seq: int
    type: str
    ts: float
    body: bytes


@dataclass(frozen=True, slots=True)
class EventPage:
    """A read from an offset. ``next_after`` is the seq to pass next; ``more`` says whether stored events follow."""

    events: tuple[StoredEvent, ...]
    next_after: int
    more: bool


@dataclass(frozen=True, slots=True)
class RunPage:
    """Newest first. ``next`` is the opaque cursor of the following page, None on the last."""

    rows: tuple[RunRow, ...]
    next: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class OutboxBatch:
    """What was said, or is about to be said, to the Control Plane about the events ``first`` to ``last`` of a run.

    ``body`` holds ``count`` of them, byte for byte as sent; the others of the range are known to be there already.
    ``given_up``: a request with it was given up on and may still be carried out; how many outcomes were unknown then.
    """

    first: int
    last: int
    count: int
    key: str
    body: bytes
    given_up: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Outbox:
    """How far a run is reported. ``reported``: every event up to this seq is settled. ``batch``: may have been sent.

    ``event_count`` and ``over`` are the run's own, as they were when this was read.
    """

    reported: int
    event_count: int
    over: bool
    batch: OutboxBatch | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Leftover:
    """Something that a run leaves at the Control Plane ``cp`` (its base URL), to be removed when the run is over.

    ``name``: the id of a webhook, None while it is not known; the AID of an agent. ``url``, ``events`` and ``secret``
    are a webhook's; the secret goes when its run does. ``tries``: how often its removal has failed.
    """

    id: str
    cp: str
    run_id: str
    kind: Literal["webhook", "agent"]
    name: str | None = None
    url: str | None = None
    events: tuple[str, ...] = ()
    secret: str | None = field(default=None, repr=False)
    tries: int = 0


class OutOfSequence(StoreUnavailable):
    """An append does not continue the log: an earlier one failed, or somebody else wrote. Nothing of it was stored.

    ``expected`` is the seq that the run's next event must have.
    """

    def __init__(self, message: str, *, expected: int) -> None:
        super().__init__(message, details={"expected": expected})
        self.expected = expected


class CancelComesFirst(PlaygroundError):
    """A run was to end otherwise than cancelled, and its end had been asked for before. Nothing was stored."""


class RunStore(Protocol):
    """Durable runs. Writes are ordered per store and grouped into commits; a returned future resolves when its write
    is on disk, and fails with :class:`~aitp_playground.errors.StoreUnavailable` when it cannot be.

    Reads see every write whose future has resolved.
    """

    owner_id: str

    async def open(self) -> None:
        """Create or migrate the schema, take this process's owner lock. Raises ``StoreUnavailable``."""

    async def close(self) -> None:
        """Commit what was handed over, release the owner lock, close every handle."""

    async def ping(self) -> None:
        """Raises ``StoreUnavailable`` when a write could not be taken now (a full disk included)."""

    # -- writes: return at once, the future is the commit -------------------------------------------------------------

    def create(self, header: RunHeader, scenario: KeptScenario | None = None) -> asyncio.Future[RunRow]:
        """Store a new pending run owned by this process, and once per digest what it is started from.

        With an ``idempotency_key`` already used, nothing is written and the earlier run's row is the result.
        """

    def append(self, run_id: str, events: Sequence[StoredEvent], summary: RunSummary) -> asyncio.Future[None]:
        """Add events (contiguous seqs) and replace the summary, in one transaction.

        The future fails with ``RunNotFound``, with :class:`OutOfSequence`, with :class:`CancelComesFirst`, or with
        ``Overloaded`` when too much waits.
        """

    def request_cancel(self, run_id: str) -> asyncio.Future[None]:
        """Remember that somebody asked for the end of this run: from then on it ends ``cancelled`` or not at all."""

    def save_agent_log(self, run_id: str, agent_id: str, text: str) -> asyncio.Future[None]:
        """Keep an agent's output (already bounded and redacted); the last one wins."""

    def adopt(self, run_id: str) -> asyncio.Future[bool]:
        """Make this process the owner of a run whose owner is dead. False when somebody else was faster."""

    def delete(self, run_id: str) -> asyncio.Future[bool]:
        """Remove a run with all that hangs on it. False when there was none."""

    def prune(self, keep_finished: int) -> asyncio.Future[int]:
        """Remove the oldest finished runs beyond ``keep_finished``; how many went."""

    # -- the outbox: what a Control Plane is to know. With ``outbox``, a store puts every run into it that it creates;
    #    a run comes into it, too, when a batch is saved for it. It goes with its run.

    def claim_outbox(self, run_id: str) -> asyncio.Future[Outbox | None]:
        """Make reporting this run the business of this process. A finished run of a dead owner changes hands.

        None when there is no such run, when a live process has it, or when its end is still to be written.
        """

    def save_batch(self, run_id: str, batch: OutboxBatch) -> asyncio.Future[None]:
        """Keep the run's one batch, in the place of an earlier one. Fails with ``RunNotFound``."""

    def settle_outbox(self, run_id: str, reported: int) -> asyncio.Future[None]:
        """Everything up to the seq ``reported`` is done with, the batch included. Fails with ``RunNotFound``."""

    async def unreported(self) -> list[str]:
        """Finished runs in the outbox with events not yet settled, of this process or a dead one; oldest end first."""

    # -- what is left at a Control Plane: it outlives its run

    def leave(self, leftover: Leftover) -> asyncio.Future[None]:
        """Remember it, once per ``id``. Fails with ``RunNotFound``."""

    def name_leftover(self, leftover_id: str, name: str) -> asyncio.Future[None]:
        """What the Control Plane calls it."""

    def postpone_leftover(self, leftover_id: str, until: float) -> asyncio.Future[None]:
        """Count a failed try; the next one is not due before ``until`` (Unix seconds)."""

    def forget_leftover(self, leftover_id: str) -> asyncio.Future[None]:
        """It is not at the Control Plane any more."""

    async def leftovers(self, run_id: str) -> list[Leftover]:
        """What a run left and still leaves there, oldest first."""

    async def leftovers_by_due(self, cp: str, *, linger: float, limit: int) -> list[tuple[float, Leftover]]:
        """What is to be removed and when (Unix seconds), soonest first: ``linger`` seconds after the end of its run,
        at once when that run is gone, not before a postponement is over. Of unfinished runs nothing is."""

    def count_foreign(self, run_id: str) -> asyncio.Future[None]:
        """One more delivery to this run was about another and is kept as a number. Fails with ``RunNotFound``."""

    async def foreign_count(self, run_id: str) -> int:
        """How many :meth:`count_foreign` has counted."""

    # -- reads --------------------------------------------------------------------------------------------------------

    async def get(self, run_id: str) -> RunRow | None:
        """A run's header and summary."""

    async def scenario(self, digest: str) -> bytes | None:
        """The body of a :class:`KeptScenario`; it goes with the last of its runs."""

    async def read(
        self,
        run_id: str,
        *,
        after: int = 0,
        limit: int = 1000,
        event_type: str | None = None,
        max_bytes: int = PAGE_BYTES,
    ) -> EventPage:
        """Events with ``seq > after``, in order, at most ``limit`` and at most ``max_bytes`` of them, but at least one
        if there is one; of one type only, if given."""

    async def list_runs(
        self,
        *,
        limit: int,
        before: str | None = None,
        status: str | None = None,
        scenario_ref: str | None = None,
    ) -> RunPage:
        """Newest first. ``before`` is a cursor of an earlier page; raises ``InvalidRequest`` when it is not one."""

    async def agent_log(self, run_id: str, agent_id: str) -> str | None:
        """What :meth:`save_agent_log` kept."""

    async def orphans(self) -> list[RunRow]:
        """Unfinished runs (pending and running) whose owner process is dead, oldest first."""

    async def to_cancel(self) -> list[str]:
        """Unfinished runs of this process whose end was asked for (:meth:`request_cancel`), by whatever process."""

    async def count_by_status(self) -> Mapping[str, int]:
        """How many runs are in each status."""
