"""What the Control Plane tells a run: checked by its signature, known by its id, kept as an event."""

from __future__ import annotations

import hashlib
import hmac
import re
import uuid
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

from aitp_playground.errors import Unauthorized
from aitp_playground.events.codec import decode, decode_json
from aitp_playground.events.model import EventDraft, draft
from aitp_playground.runs.concurrency import READING
from aitp_playground.runs.messages import DeliveryFate
from aitp_playground.store.port import RunStore, StoredEvent

DELIVERED = "cp.webhook.delivered"
_SIGNATURE = re.compile(r"sha256=([0-9A-Fa-f]{64})", re.ASCII)
_LONGEST_NAME = 200
#: Bytes from which a body is read in a thread.
_LARGE = 32 * 1024
#: orjson encodes 254 levels, some of which the event around the payload takes.
_MOST_LEVELS = 200

Append = Callable[[str, EventDraft], Awaitable[DeliveryFate]]


@dataclass(frozen=True, slots=True)
class DeliveryPage:
    """Deliveries as stored events. ``next_after``: the seq after which there are more, None when there are none."""

    events: tuple[StoredEvent, ...]
    next_after: int | None


class Deliveries:
    """The receiving end of the runs' subscriptions. ``append`` puts an event into a run's log, once per id."""

    def __init__(self, store: RunStore, append: Append) -> None:
        self._store = store
        self._append = append

    async def take(
        self,
        run_id: str,
        body: bytes,
        *,
        signed: bytes,
        signature: str | None,
        delivery_id: str | None,
        event_type: str | None,
    ) -> DeliveryFate:
        """Check and keep a delivery; on disk before it returns. ``signed``: the bytes that were received, of which
        ``body`` differs when they were compressed. The id and the type given beside the body are not
        signed, and count only where the body has none. Raises Unauthorized, RunNotFound, Overloaded, ActorError."""
        secrets = [left.secret for left in await self._store.leftovers(run_id) if left.secret]
        if not is_signed(signed, signature, secrets):
            raise Unauthorized("this is not signed with the secret of a subscription of this run")
        made = partial(delivered, run_id, body, delivery_id, event_type)
        # A large one takes tens of milliseconds to read, and others wait for the loop meanwhile.
        return await self._append(run_id, await READING.do(made) if len(body) > _LARGE else made())

    async def subscription(self, run_id: str) -> Mapping[str, Any] | None:
        """``{"id", "url", "events"}`` of the run's latest subscription while there is one."""
        left = await self._store.leftovers(run_id)
        hooks = [hook for hook in left if hook.kind == "webhook" and hook.name is not None]
        return {"id": hooks[-1].name, "url": hooks[-1].url, "events": list(hooks[-1].events)} if hooks else None

    async def foreign_count(self, run_id: str) -> int:
        """Deliveries about other runs beyond those that became events."""
        return await self._store.foreign_count(run_id)

    async def pages(
        self, run_id: str, *, event_type: str | None = None, after: int = 0, limit: int
    ) -> AsyncGenerator[DeliveryPage]:
        """What was delivered to a run, of one type if given: at most ``limit`` in all, a bounded page at a time."""
        left = limit
        while left > 0:
            page = await self._store.read(run_id, after=after, limit=left, event_type=DELIVERED)
            events = page.events
            if event_type is not None:
                events = tuple([entry for entry in events if decode(entry.body).get("event_type") == event_type])
            left -= len(events)
            after = page.next_after
            yield DeliveryPage(events, after if page.more else None)
            if not page.more:
                return


def is_signed(body: bytes, signature: str | None, secrets: Iterable[str]) -> bool:
    """Whether ``signature`` is ``sha256=`` and the hex HMAC-SHA256 of these bytes under one of the secrets.

    Compared in constant time, with every secret.
    """
    claimed = _SIGNATURE.fullmatch(signature or "")
    if claimed is None:
        return False
    digest = bytes.fromhex(claimed[1])
    matches = [hmac.compare_digest(hmac.digest(secret.encode(), body, "sha256"), digest) for secret in secrets]
    return any(matches)


def delivered(run_id: str, body: bytes, delivery_id: str | None = None, event_type: str | None = None) -> EventDraft:
    """The event that a verified body becomes. Copies of one delivery become the same event, by its id.

    One that names another run in ``payload.runId`` says so (``foreign``) and leaves its payload out.
    """
    document = _document(body)
    signed = document.get("deliveryId")
    known = isinstance(signed, str) and bool(signed)
    digest = hashlib.sha256(body).hexdigest()
    identity = ["signed", signed] if known else ["header", delivery_id, digest]
    payload = document.get("payload")
    about = payload.get("runId") if isinstance(payload, dict) else None
    foreign = isinstance(about, str) and bool(about) and about != run_id
    return draft(
        DELIVERED,
        # repr: one text for each list of texts, lone surrogates included.
        id=str(uuid.uuid5(uuid.NAMESPACE_URL, repr([run_id, *identity]))),
        delivery_id=str(signed if known else delivery_id or f"sha256:{digest}")[:_LONGEST_NAME],
        event_type=_name(document.get("eventType")) or _name(event_type),
        foreign=True if foreign else None,
        payload=None if foreign else payload if isinstance(payload, dict) else document,
    )


def _document(body: bytes) -> dict[str, Any]:
    """The JSON object; whatever else it is becomes ``{"raw": text}``."""
    try:
        document = decode_json(body)
        if isinstance(document, dict) and _is_shallow(document):
            return document
    except (ValueError, RecursionError):
        pass
    return {"raw": body.decode("utf-8", "replace")}


def _is_shallow(document: Any) -> bool:
    """Whether an event can hold it: level by level, since recursion is what must be avoided."""
    level = [document]
    for _ in range(_MOST_LEVELS):
        nested = [item for item in level if isinstance(item, dict | list)]
        level = [part for item in nested for part in (item.values() if isinstance(item, dict) else item)]
        if not level:
            return True
    return False


def _name(value: Any) -> str | None:
    return value[:_LONGEST_NAME] if isinstance(value, str) and value else None
