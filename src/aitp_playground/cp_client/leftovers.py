"""Leftovers: what runs leave at the Control Plane, kept on disk before it is there and until it is gone."""

from __future__ import annotations

import asyncio
import secrets
import time
import uuid
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from typing import Any, Final, Literal

import structlog

from aitp_playground.actors import ActorError
from aitp_playground.backoff import doubling
from aitp_playground.config import Settings
from aitp_playground.cp_client.client import CpClient
from aitp_playground.cp_client.reasons import Outcome, Reason
from aitp_playground.errors import PlaygroundError, RunNotFound
from aitp_playground.events.model import EventDraft, RunEvent, draft
from aitp_playground.events.vocabulary import TERMINAL_TYPES
from aitp_playground.store.port import Leftover, RunStore, StoredEvent

#: Puts an event into the log of a run that is over, once per id.
Note = Callable[[str, EventDraft], Awaitable[Any]]

#: After these the Control Plane has certainly made no subscription; after any other failure it may have.
REFUSALS: Final[frozenset[Reason]] = frozenset({"unauthorized", "rate_limited", "http_4xx", "dns", "breaker_open"})
#: Other processes end and remove runs in the same database, and tell nobody.
LOOK_SECONDS: Final = 30.0
FIRST_RETRY_SECONDS: Final = 1.0
MOST_RETRY_SECONDS: Final = 300.0
_AT_ONCE: Final = 8

log = structlog.get_logger(__name__)


class Leftovers:
    """Subscribes runs, and removes what they leave ``cp_webhook_linger_secs`` after their end, or once they are gone.

    What cannot be removed is tried again for as long as it takes, also by a later process. Only what was left at the
    Control Plane that is configured now is looked at: another one's 404 would prove nothing.
    """

    def __init__(self, cp: CpClient, store: RunStore, settings: Settings, base_url: str) -> None:
        self._cp = cp
        self._store = store
        self._where = cp.base_url
        self._linger = settings.cp_webhook_linger_secs
        self._base_url = base_url
        self._woken = asyncio.Event()
        self._sweeping: asyncio.Task[None] | None = None

    def start(self, *, note: Note) -> None:
        """Begin to remove what is due, and have ``note`` say so; without a Control Plane, nothing is."""
        if self._cp.enabled and self._sweeping is None:
            self._sweeping = asyncio.create_task(self._sweep(note), name="cp-leftovers")

    async def close(self) -> None:
        """What is still there stays on disk."""
        if self._sweeping is not None:
            self._sweeping.cancel()
            await asyncio.gather(self._sweeping, return_exceptions=True)

    def observe(self, event: RunEvent, _: StoredEvent) -> None:
        """See each event of each run."""
        if event.type in TERMINAL_TYPES:
            self.wake()

    def wake(self) -> None:
        """A run ended or was removed, or the Control Plane is back: look what is due now."""
        self._woken.set()

    # -- leaving ------------------------------------------------------------------------------------------------------

    async def subscribe(self, run_id: str, events: Sequence[str]) -> Outcome[dict[str, Any] | None]:
        """Have the Control Plane call the run back; the subscription's ``{"id", "url"}``.

        Secret and intent are on disk before the call: the first delivery may come before its answer, and the answer
        may never come. Raises RunNotFound, StoreUnavailable.
        """
        if not self._cp.enabled:
            return Outcome(None)
        url = f"{self._base_url}/webhooks/cp/{run_id}"
        left = self._leftover(run_id, "webhook", url=url, events=tuple(events), secret=secrets.token_hex(32))
        assert left.secret is not None
        await self._store.leave(left)
        made = await self._cp.create_webhook.outcome(url, events, left.secret)
        if made.reason in REFUSALS:
            await self._store.forget_leftover(left.id)
        if made.value is None:
            return Outcome(None, made.reason, made.detail, made.status, made.retry_after)
        webhook_id = str(made.value["id"])
        await self._store.name_leftover(left.id, webhook_id)
        return Outcome({"id": webhook_id, "url": url})

    async def leave(self, run_id: str, kind: str, name: str) -> None:
        """An ``agent`` is about to be enrolled; ``name`` is its AID. Raises RunNotFound, StoreUnavailable."""
        if kind != "agent":
            raise ValueError(f"nothing of the kind {kind!r} can be left")
        if self._cp.enabled:
            await self._store.leave(self._leftover(run_id, "agent", name=name))

    def _leftover(self, run_id: str, kind: Literal["webhook", "agent"], **fields: Any) -> Leftover:
        return Leftover(id=str(uuid.uuid4()), cp=self._where, run_id=run_id, kind=kind, **fields)

    # -- removing -----------------------------------------------------------------------------------------------------

    async def _sweep(self, note: Note) -> None:
        while True:
            self._woken.clear()
            pause = FIRST_RETRY_SECONDS
            try:
                pause = await self._round(note)
            except PlaygroundError as failure:
                log.warning("cp.leftovers_postponed", error=failure.message)
            except Exception:
                log.exception("cp.leftovers_failed")
            with suppress(TimeoutError):
                async with asyncio.timeout(pause):
                    await self._woken.wait()

    async def _round(self, note: Note) -> float:
        """Try everything that is due once; how long to wait for the next that will be."""
        rows = await self._store.leftovers_by_due(self._where, linger=self._linger, limit=_AT_ONCE)
        now = time.time()
        due = [left for at, left in rows if at <= now]
        if due:
            async with asyncio.TaskGroup() as group:
                for left in due:
                    group.create_task(self._try(left, note))
            return 0.0
        return min([LOOK_SECONDS, *(at - now for at, _ in rows)])

    async def _try(self, left: Leftover, note: Note) -> None:
        reason: str | None
        try:
            reason = await self._remove(left)
            if reason is None:
                await self._told(left, note)
                await self._store.forget_leftover(left.id)
                log.info("cp.leftover_removed", kind=left.kind, run_id=left.run_id)
                return
        except (PlaygroundError, ActorError) as failure:
            reason = type(failure).__name__
        delay = doubling(FIRST_RETRY_SECONDS, MOST_RETRY_SECONDS)(left.tries + 1)
        try:
            await self._store.postpone_leftover(left.id, time.time() + delay)
        except PlaygroundError as failure:
            # Due at once and yet not to be hurried: the store needs the time.
            log.warning("cp.leftovers_postponed", error=failure.message, cause=reason)
            await asyncio.sleep(delay)

    async def _remove(self, left: Leftover) -> Reason | None:
        """None when it is gone, else why it is not."""
        if left.kind == "agent":
            return (await self._cp.deregister_agent.outcome(left.name or "")).reason
        if left.name is not None:
            return (await self._cp.delete_webhook.outcome(left.name)).reason
        listed = await self._cp.list_webhooks.outcome()
        if listed.reason is not None:
            return listed.reason
        for hook in listed.value:
            if hook.get("url") == left.url and isinstance(hook.get("id"), str):
                reason = (await self._cp.delete_webhook.outcome(hook["id"])).reason
                if reason is not None:
                    return reason
        return None

    async def _told(self, left: Leftover, note: Note) -> None:
        """The id comes from the leftover's, so that a crash before it is forgotten tells it once, not twice."""
        if left.kind == "webhook":
            event_id = str(uuid.uuid5(uuid.UUID(left.id), "unsubscribed"))
            with suppress(RunNotFound):
                await note(left.run_id, draft("cp.webhook.unsubscribed", id=event_id, source_url=left.url))
