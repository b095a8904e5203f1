"""Events on their way to the service: numbered, in order, bounded, and never in anybody's way.

``emit`` only appends to a buffer. One task sends batches, the next as soon as the last was acknowledged, so an idle
agent's event leaves at once and a busy one's events share requests. A batch that fails is sent again; the receiver
drops what it has seen by number.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import random
import sys
import time
import uuid
from collections import Counter, deque
from collections.abc import Callable
from typing import Any, Final, Literal

import aiohttp

from base.http import step_mark
from base.http.tracing import Span, Tracer
from base.process.bootstrap import TelemetryConfig
from base.process.tasks import end_task

MAX_EVENTS = 10_000
MAX_BYTES = 16 << 20
MAX_EVENT_BYTES = 64 << 10
BATCH_EVENTS = 500
BATCH_BYTES = 512 << 10
#: Spans that go along with a batch.
BATCH_SPANS = 200
#: Statuses that say that something in a batch is at fault: sent again as it is, it would be refused again.
REFUSED: Final = frozenset({400, 413, 422})
POST_TIMEOUT = 5.0
FIRST_PAUSE = 0.05
LONGEST_PAUSE = 2.0
#: Refusals that are told one by one: so many at once, and so many more each second.
REFUSALS_AT_ONCE = 500
REFUSALS_PER_SECOND = 5.0

#: Fields that stand at the top of an event; whatever else an emitter names goes to ``payload``.
TOP_LEVEL = frozenset(
    {"capability", "initiator", "target", "aid", "aid_a", "aid_b", "session_id", "grants", "jti", "error", "cause"}
    | {"source_url", "notes", "payload"}
)

_MISSING = "events were dropped"

SessionFactory = Callable[[], aiohttp.ClientSession]


class Allowance:
    """A token bucket: ``burst`` at once, ``rate`` more a second."""

    def __init__(self, burst: float, rate: float) -> None:
        self._burst = self._left = burst
        self._rate = rate
        self._counted_at = time.monotonic()

    def take(self) -> bool:
        """Use one up; False when there is none."""
        now = time.monotonic()
        self._left = min(self._burst, self._left + (now - self._counted_at) * self._rate)
        self._counted_at = now
        if self._left < 1:
            return False
        self._left -= 1
        return True


class Telemetry:
    """One agent's event stream. ``emitter_seq`` is the number of the last event emitted, 0 before the first.

    When the buffer is full an event is not numbered but counted, per type; when there is room again one event of that
    type says ``payload.dropped`` = how many are missing, so that a flood costs detail and not honesty.
    """

    def __init__(
        self, config: TelemetryConfig, session: SessionFactory, tracer: Tracer, *, max_events: int = MAX_EVENTS
    ) -> None:
        self._config = config
        self._session = session
        self._tracer = tracer
        self._max_events = max_events
        self.emitter_seq = 0
        self._acknowledged = 0
        self._buffer: deque[tuple[int, bytes]] = deque()
        self._size = 0
        self._dropped: Counter[str] = Counter()
        self._refusals = Allowance(REFUSALS_AT_ONCE, REFUSALS_PER_SECOND)
        self._withheld: Counter[str] = Counter()
        self._batch_limit = BATCH_EVENTS
        self._span_limit = BATCH_SPANS
        #: What goes alone next, since a batch of both was refused.
        self._alone: Literal["events", "spans"] | None = None
        self._work = asyncio.Event()
        self._hurry = asyncio.Event()
        self._progress = asyncio.Condition()
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Begin sending; the task belongs to this object and ends with :meth:`close`."""
        self._task = asyncio.create_task(self._send_forever(), name="telemetry")

    async def close(self) -> None:
        if self._task is not None:
            await end_task(self._task)

    def emit(self, event_type: str, /, **fields: Any) -> None:
        """Record an event; fields that are None are left out. Never blocks, never raises for what a field holds."""
        if len(self._buffer) >= self._max_events or self._size >= MAX_BYTES:
            self._dropped[event_type] += 1
            return
        self._append(event_type, fields)
        self._work.set()

    def emit_refusal(self, event_type: str, /, **fields: Any) -> None:
        """Record that a caller who has proven nothing was turned away.

        Whoever reaches the port can cause these, and a run's log is finite: beyond an allowance they are counted, and
        the next one, or the next flush, says ``payload.dropped``.
        """
        if not self._refusals.take():
            self._withheld[event_type] += 1
            return
        if missing := self._withheld.pop(event_type, 0):
            fields["payload"] = {**(fields.get("payload") or {}), "dropped": missing}
        self.emit(event_type, **fields)

    def _append(self, event_type: str, fields: dict[str, Any]) -> None:
        self.emitter_seq += 1
        head = {"emitter_seq": self.emitter_seq, "id": str(uuid.uuid4()), "type": event_type, "ts": time.time()}
        if (mark := step_mark.current()) is not None:
            head["step_mark"] = mark
        encoded = _encode(head | _arranged(fields))
        if len(encoded) > MAX_EVENT_BYTES:
            encoded = _encode(head | {"payload": {"omitted_bytes": len(encoded)}})
        self._buffer.append((self.emitter_seq, encoded))
        self._size += len(encoded)

    async def flush(self, timeout: float) -> bool:
        """Wait until everything emitted so far is acknowledged, at most ``timeout`` seconds. Says whether it is."""
        withheld, self._withheld = self._withheld, Counter()
        with step_mark.outside():  # strangers were turned away, whichever step asks for the rest
            for event_type, missing in withheld.items():
                self.emit(event_type, error=_MISSING, payload={"dropped": missing})
        goal, spans = self.emitter_seq, self._tracer.made
        if self._tracer.settled < spans:
            self._work.set()
        self._hurry.set()
        try:
            async with asyncio.timeout(timeout), self._progress:
                await self._progress.wait_for(lambda: self._acknowledged >= goal and self._tracer.settled >= spans)
        except TimeoutError:
            return False
        return True

    async def _send_forever(self) -> None:
        pause = FIRST_PAUSE
        while True:
            await self._work.wait()
            # Before sending: a flush that comes while this batch is failing is to be tried for at once.
            self._hurry.clear()
            try:
                sent = await self._send_batch()
            except Exception as error:  # noqa: BLE001 - the one sender must outlive whatever a receiver does to it
                sys.stderr.write(f"telemetry: {type(error).__name__}\n")
                sent = False
            if sent:
                pause = FIRST_PAUSE
                continue
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(pause * random.uniform(0.75, 1.25)):  # noqa: S311 - jitter, not a secret
                    await self._hurry.wait()
            pause = min(pause * 2, LONGEST_PAUSE)

    async def _send_batch(self) -> bool:
        """Send the oldest events and spans. False: try again later.

        Of a batch that is refused each kind goes alone, in halves, until the one entry at fault is passed over.
        """
        batch = self._take()
        spans = [] if batch and self._alone == "events" else self._tracer.take(self._span_limit)
        if spans and self._alone == "spans":
            batch = []
        if not batch and not spans:
            self._work.clear()
            return True
        status = await self._post(batch, spans)
        if status == 200:
            self._batch_limit, self._span_limit = BATCH_EVENTS, BATCH_SPANS
            self._alone = "events" if self._alone == "spans" else None
        elif status in REFUSED and len(batch) + len(spans) == 1:
            self._alone = None
            passed_over = f"event {batch[0][0]}" if batch else "a span"
            sys.stderr.write(f"telemetry: {passed_over} was refused with status {status}\n")
        else:
            self._tracer.give_back(spans)
            if status in REFUSED:
                self._send_less(len(batch), len(spans))
            return status in REFUSED
        self._tracer.settle(spans)
        await self._acknowledge(len(batch))
        return True

    def _send_less(self, events: int, spans: int) -> None:
        """Than so many together, which were refused."""
        if events and spans:
            self._alone = "spans"
        elif events:
            self._batch_limit = events // 2
        else:
            self._span_limit = spans // 2

    def _take(self) -> list[tuple[int, bytes]]:
        batch: list[tuple[int, bytes]] = []
        size = 0
        for entry in self._buffer:
            if len(batch) >= self._batch_limit or (batch and size + len(entry[1]) > BATCH_BYTES):
                break
            batch.append(entry)
            size += len(entry[1])
        return batch

    async def _acknowledge(self, count: int) -> None:
        for _ in range(count):
            self._acknowledged, encoded = self._buffer.popleft()
            self._size -= len(encoded)
        dropped, self._dropped = self._dropped, Counter()
        for event_type, missing in dropped.items():
            self._append(event_type, {"error": _MISSING, "payload": {"dropped": missing}})
        async with self._progress:
            self._progress.notify_all()

    async def _post(self, batch: list[tuple[int, bytes]], spans: list[Span]) -> int | None:
        last = batch[-1][0] if batch else self._acknowledged
        traced = b',"spans":%b' % _encode([span.told() for span in spans]) if spans else b""
        events = b",".join(encoded for _, encoded in batch)
        body = b'{"emitter_seq":%d,"events":[%b]%b}' % (last, events, traced)
        headers = {"Authorization": f"Bearer {self._config.token}", "Content-Type": "application/json"}
        try:
            async with (
                asyncio.timeout(POST_TIMEOUT),
                self._session().post(self._config.url, data=body, headers=headers, allow_redirects=False) as response,
            ):
                await response.content.read(4096)
                return response.status
        except (aiohttp.ClientError, OSError, TimeoutError):
            return None


def _arranged(fields: dict[str, Any]) -> dict[str, Any]:
    present = {name: value for name, value in fields.items() if value is not None}
    top = {name: value for name, value in present.items() if name in TOP_LEVEL}
    if rest := {name: value for name, value in present.items() if name not in TOP_LEVEL}:
        top["payload"] = top.get("payload", {}) | rest
    return top


def _encode(event: dict[str, Any] | list[dict[str, Any]]) -> bytes:
    # "replace": lone surrogates come in with what strangers send and are not UTF-8.
    return json.dumps(event, ensure_ascii=False, separators=(",", ":"), default=str).encode("utf-8", "replace")
