"""Webhook deliveries: written with the event, signed once, tried until they arrive or the tries are used up.

A delivery is a row from the event's commit on, so a crash loses none. Body and signature are made when the event is
stored: every try carries the same, also after the hook got another secret. A row ends with its delivery.
"""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import sqlite3
import uuid
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import aiohttp
import orjson
import structlog

from aitp_playground.control_plane.service import ControlPlane
from aitp_playground.control_plane.wire.times import iso_time

TABLES: tuple[str, ...] = (
    """
    CREATE TABLE IF NOT EXISTS deliveries (
        seq INTEGER PRIMARY KEY,
        id TEXT NOT NULL UNIQUE,
        webhook_id TEXT NOT NULL REFERENCES webhooks (id) ON DELETE CASCADE,
        event_type TEXT NOT NULL,
        body BLOB NOT NULL,
        signature TEXT NOT NULL,
        failures INTEGER NOT NULL DEFAULT 0,
        due_at REAL NOT NULL
    )
    """,
    "CREATE INDEX IF NOT EXISTS deliveries_by_due ON deliveries (due_at)",
    "CREATE INDEX IF NOT EXISTS deliveries_by_webhook ON deliveries (webhook_id)",
)

DELIVERABLE = frozenset(
    {
        "agent.registered",
        "agent.expired",
        "agent.deregistered",
        "handshake.complete",
        "handshake.failed",
        "tct.revoked",
    }
)
#: Seconds from one failure to the next try; after the last the delivery is given up.
RETRIES = (30.0, 120.0)
SWEEP_SECONDS = 60.0
TIMEOUT_SECONDS = 10.0
#: However short the waits are scaled, a receiver on a busy machine gets this long.
LEAST_TIMEOUT_SECONDS = 1.0
#: Deliveries under way, of one hook and of all: a slow receiver does not hold up the others.
PER_HOOK = 16
AT_ONCE = 256

log = structlog.get_logger(__name__)


# -- with the event ---------------------------------------------------------------------------------------------------


def enqueue(connection: sqlite3.Connection, frames: Iterable[Mapping[str, Any]], now: float) -> None:
    """A delivery, due at once, for each of these events and each active hook that asked for its type."""
    wanted = [frame for frame in frames if frame["type"] in DELIVERABLE]
    if not wanted:
        return
    hooks = connection.execute("SELECT id, secret, events FROM webhooks WHERE active ORDER BY seq").fetchall()
    for hook in hooks:
        types = set(orjson.loads(hook["events"])) or DELIVERABLE
        key = hook["secret"].encode()
        rows = [_row(hook["id"], key, frame, now) for frame in wanted if frame["type"] in types]
        connection.executemany(
            "INSERT INTO deliveries (id, webhook_id, event_type, body, signature, due_at) VALUES (?, ?, ?, ?, ?, ?)",
            rows,
        )


def _row(hook: str, key: bytes, frame: Mapping[str, Any], now: float) -> Sequence[Any]:
    delivery_id = str(uuid.uuid4())
    body = orjson.dumps(
        {"deliveryId": delivery_id, "eventType": frame["type"], "payload": frame, "enqueuedAt": iso_time(now)}
    )
    signature = f"sha256={hmac.new(key, body, hashlib.sha256).hexdigest()}"
    return delivery_id, hook, frame["type"], body, signature, now


# -- afterwards -------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, eq=False)
class _Try:
    """One try of a delivery. Two of the same delivery may be under way, hence compared by identity."""

    id: str
    webhook_id: str
    url: str
    event_type: str
    body: bytes
    signature: str
    active: bool


async def deliver(cp: ControlPlane) -> None:
    """Send what is due, as long as the service lives; returns when the database cannot be used."""
    courier = _Courier(cp)
    unsubscribe = cp.bus.subscribe(courier.notice)
    try:
        async with asyncio.TaskGroup() as group:
            await courier.run(group)
    except* sqlite3.Error as failures:
        log.warning("control_plane.deliveries_paused", error=str(failures.exceptions[0]))
    finally:
        unsubscribe()


class _Courier:
    def __init__(self, cp: ControlPlane) -> None:
        self._cp = cp
        self._scale = cp.options.time_scale
        self._under_way: set[_Try] = set()
        self._next_sweep = cp.clock() + SWEEP_SECONDS * self._scale

    def notice(self, event: Mapping[str, Any]) -> None:
        """An event was stored."""
        if event["type"] in DELIVERABLE:
            self._cp.breakers.changed.set()

    async def run(self, group: asyncio.TaskGroup) -> None:
        """Start what is due, then wait for an event, an answer, or the next moment at which something is due."""
        while True:
            self._cp.breakers.changed.clear()
            now = self._cp.clock()
            passed_over = json_array(sorted(each.id for each in self._under_way))
            if now >= self._next_sweep:
                # The sweep takes what is under way for unfinished: a slow receiver gets it once more.
                self._next_sweep, passed_over = now + SWEEP_SECONDS * self._scale, json_array([])
            hooks = {each.webhook_id for each in self._under_way} | self._cp.breakers.keys()
            query = {
                "now": now,
                "under_way": passed_over,
                "held": json_array(sorted(hook for hook in hooks if self._room(hook, now) <= 0)),
                "room": AT_ONCE - len(self._under_way),
            }
            found, next_due = await self._cp.db.read(partial(_due, query=query))
            for each in found:
                if self._room(each.webhook_id, now) > 0:
                    self._start(group, each)
            if not found:
                await self._wait(next_due)

    def _room(self, hook: str, now: float) -> int:
        under_way = sum(each.webhook_id == hook for each in self._under_way)
        return self._cp.breakers.of(hook).room(now, under_way, PER_HOOK)

    def _start(self, group: asyncio.TaskGroup, each: _Try) -> None:
        if each.active:
            self._cp.breakers.of(each.webhook_id).probe()
        self._under_way.add(each)
        group.create_task(self._attempt(each), name=f"delivery-{each.id}")

    async def _wait(self, next_due: float | None) -> None:
        now = self._cp.clock()
        probes = [breaker.probe_at for breaker in self._cp.breakers.values()]
        moments = [self._next_sweep, *(moment for moment in (next_due, *probes) if moment is not None and moment > now)]
        try:
            async with asyncio.timeout(max(min(moments) - now, 0)):
                await self._cp.breakers.changed.wait()
        except TimeoutError:
            return

    async def _attempt(self, each: _Try) -> None:
        try:
            if not each.active:
                await self._cp.db.write(lambda connection: _give_up(connection, each.id))
                log.info("control_plane.delivery_given_up", delivery=each.id, type=each.event_type, cause="hook is off")
                return
            async with self._cp.switches.delivery(each.webhook_id) as copies:
                arrived = any(await asyncio.gather(*(self._post(each) for _ in range(copies))))
            await self._settle(each, arrived)
        finally:
            self._under_way.discard(each)
            self._cp.breakers.changed.set()

    async def _post(self, each: _Try) -> bool:
        """Whether some 2xx came back. Redirects are followed, and turn into a GET without the event, as fetch does."""
        headers = {
            "Content-Type": "application/json",
            "X-Aitp-Event": each.event_type,
            "X-Aitp-Delivery": each.id,
            "X-Aitp-Signature": each.signature,
        }
        patience = aiohttp.ClientTimeout(total=max(TIMEOUT_SECONDS * self._scale, LEAST_TIMEOUT_SECONDS))
        try:
            async with self._cp.http.post(each.url, data=each.body, headers=headers, timeout=patience) as response:
                return 200 <= response.status < 300
        except (aiohttp.ClientError, OSError, TimeoutError, ValueError) as failure:
            log.info("control_plane.delivery_failed", delivery=each.id, error=type(failure).__name__)
            return False

    async def _settle(self, each: _Try, arrived: bool) -> None:
        now = self._cp.clock()
        later = None if arrived else [now + pause * self._scale for pause in RETRIES]
        tries = await self._cp.db.write(lambda connection: _settled(connection, each.id, later))
        if tries is None:
            return
        self._cp.breakers.record(each.webhook_id, arrived, now, self._scale)
        if not arrived and tries > len(RETRIES):
            log.warning("control_plane.delivery_given_up", delivery=each.id, event_type=each.event_type, tries=tries)


def _due(connection: sqlite3.Connection, query: Mapping[str, Any]) -> tuple[list[_Try], float | None]:
    """What may start now, and when the next delivery that is not held back will be due."""
    if query["room"] <= 0:
        return [], None
    found = [_Try(*row) for row in connection.execute(_FIND_DUE, query)]
    return found, None if found else connection.execute(_FIND_NEXT, query).fetchone()[0]


_OPEN = """
    id NOT IN (SELECT value FROM json_each(:under_way)) AND webhook_id NOT IN (SELECT value FROM json_each(:held))
"""
_FIND_DUE = f"""
    SELECT due.id, due.webhook_id, webhooks.url, due.event_type, due.body, due.signature,
        webhooks.active
    FROM (SELECT * FROM deliveries WHERE due_at <= :now AND {_OPEN} ORDER BY due_at, seq LIMIT :room) AS due
    JOIN webhooks ON webhooks.id = due.webhook_id ORDER BY due.due_at, due.seq
"""  # noqa: S608 - literals of this module
_FIND_NEXT = f"SELECT min(due_at) FROM deliveries WHERE {_OPEN}"  # noqa: S608 - as above


def _settled(connection: sqlite3.Connection, delivery_id: str, next_tries: Sequence[float] | None) -> int | None:
    """Note an arrival (None) or a failure, with the moments of the next tries.

    Returns how often the delivery was tried; None if it is gone by now.
    """
    row = connection.execute("SELECT failures FROM deliveries WHERE id = ?", (delivery_id,)).fetchone()
    if row is None:
        return None
    failures: int = row["failures"]
    if next_tries is None or failures >= len(next_tries):
        connection.execute("DELETE FROM deliveries WHERE id = ?", (delivery_id,))
    else:
        connection.execute(
            "UPDATE deliveries SET failures = failures + 1, due_at = ? WHERE id = ?",
            (next_tries[failures], delivery_id),
        )
    return failures + 1


def _give_up(connection: sqlite3.Connection, delivery_id: str) -> None:
    connection.execute("DELETE FROM deliveries WHERE id = ?", (delivery_id,))


def json_array(values: Sequence[str]) -> str:
    """A list as SQLite's ``json_each`` takes it."""
    return orjson.dumps(values).decode()


BACKGROUND = (deliver,)
