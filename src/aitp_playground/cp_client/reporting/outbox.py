"""Batches for the outbox: which events, under which key, and what remains when some are there already."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, replace
from typing import Any, Final

import orjson

from aitp_playground.cp_client.reporting.mapping import AidBook
from aitp_playground.cp_client.reporting.sanitising import FRAME, MAX_EVENT, Outgoing, outgoing
from aitp_playground.store.port import OutboxBatch, StoredEvent

#: Of the 500 that a batch may hold: handshakes are projected one by one, and 500 of them take over a second.
MAX_EVENTS: Final = 200

#: An event's ``(id, seq)``, by which it is known again.
Mark = tuple[str, int]


@dataclass(frozen=True, slots=True)
class Composed:
    """A batch, and those of its events that are not as the run has them."""

    batch: OutboxBatch
    altered: tuple[Outgoing, ...]


def compose(
    run_id: str,
    entries: Sequence[StoredEvent],
    aids: AidBook,
    *,
    most: int = MAX_EVENTS,
    known: AbstractSet[Mark] = frozenset(),
) -> Composed:
    """The first of ``entries`` (at least one), as many as one batch holds, without those ``known`` to be there."""
    chosen: list[Outgoing] = []
    size, last = 0, entries[0].seq - 1
    for entry in entries[:most]:
        event = outgoing(entry, aids)
        size += len(event.json) + 1
        if chosen and size - 1 > MAX_EVENT:
            break
        last = entry.seq
        if not known or mark(orjson.loads(event.json)) not in known:
            chosen.append(event)
    batch = assemble(run_id, entries[0].seq, last, [event.json for event in chosen])
    return Composed(batch, tuple(event for event in chosen if event.condition != "whole"))


def assemble(run_id: str, first: int, last: int, events: Sequence[bytes]) -> OutboxBatch:
    """The batch of these events. Its key follows from run, range and content, as the Control Plane's memory demands."""
    body = FRAME[0] + b",".join(events) + FRAME[1]
    key = _key(f"{run_id} {first} {last} ".encode(), body)
    return OutboxBatch(first=first, last=last, count=len(events), key=key, body=body)


def renewed(batch: OutboxBatch) -> OutboxBatch:
    """The same batch under another key: a refusal is remembered, too, and would be the answer again."""
    return replace(batch, key=_key(f"{batch.key} ".encode(), batch.body), given_up=0)


def contents(batch: OutboxBatch) -> list[dict[str, Any]]:
    """The events of a batch, parsed."""
    events: list[dict[str, Any]] = orjson.loads(batch.body)["events"]
    return events


def without(run_id: str, batch: OutboxBatch, known: AbstractSet[Mark]) -> OutboxBatch:
    """What is left of a batch when the events ``known`` are taken out; its range stays."""
    left = [orjson.dumps(event) for event in contents(batch) if mark(event) not in known]
    return batch if len(left) == batch.count else assemble(run_id, batch.first, batch.last, left)


def halved(run_id: str, batch: OutboxBatch) -> OutboxBatch:
    """The first half of a batch of several events; the rest comes after it."""
    head = contents(batch)[: batch.count // 2]
    return assemble(run_id, batch.first, head[-1]["payload"]["seq"], [orjson.dumps(event) for event in head])


def mark(event: dict[str, Any]) -> Mark | None:
    """The mark of an event that came from here; None of any other."""
    payload = event.get("payload")
    event_id, seq = (payload.get("id"), payload.get("seq")) if isinstance(payload, dict) else (None, None)
    return (event_id, seq) if isinstance(event_id, str) and isinstance(seq, int) else None


def _key(context: bytes, body: bytes) -> str:
    return f"ingest-{hashlib.sha256(context + body).hexdigest()}"
