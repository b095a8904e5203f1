"""Readers that never read: what each costs is bounded by bytes, whatever events hold, and given back when it goes."""

from __future__ import annotations

import asyncio
import contextlib
import tracemalloc
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from aitp_playground.runs.requests import NewRun
from aitp_playground.service import Playground
from aitp_playground.store.port import RunSummary, StoredEvent
from tests.support.playground import playground_at

MIB = 1024 * 1024
READERS = 20
EVENTS, EVENT_BYTES = 60, 900_000
#: For what the readers have in common: connections, tasks, the pages that threads are reading at the moment.
COMMON = 32 * MIB


@contextlib.contextmanager
def traced() -> Iterator[None]:
    tracemalloc.start()
    try:
        yield
    finally:
        tracemalloc.stop()


async def large_run(running: Playground) -> str:
    """A run of the store whose log is large; nothing conducts it."""
    submitted = await running.directory.submit(NewRun(scenario_ref="intra-org/trust-gate@1.0.0"))
    run_id = submitted.row.header.run_id
    async for _ in running.directory.stream(run_id):
        pass
    count = (await running.directory.row(run_id)).summary.event_count
    store = running.services.store
    filler = b"x" * EVENT_BYTES
    for seq in range(count + 1, count + 1 + EVENTS):
        body = b'{"seq":%d,"id":"e%d","type":"cp.webhook.delivered","ts":1.0,"run_id":"r","payload":{"raw":"%b"}}'
        event = StoredEvent(seq, "cp.webhook.delivered", 1.0, body % (seq, seq, filler))
        await store.append(run_id, [event], RunSummary(run_id=run_id, status="success", event_count=seq))
    return run_id


@pytest.mark.parametrize("path", ["/runs/{}/events", "/runs/{}", "/runs/{}/cp-deliveries"])
async def test_readers_that_never_read_cost_a_page_each(tmp_path: Path, path: str) -> None:
    async with playground_at(tmp_path) as running:
        run_id = await large_run(running)
        address = urlsplit(running.url)
        request = f"GET {path.format(run_id)} HTTP/1.1\r\nHost: {address.netloc}\r\n\r\n".encode()
        readers: list[tuple[asyncio.StreamReader, asyncio.StreamWriter]] = []
        with traced():
            before, _ = tracemalloc.get_traced_memory()
            try:
                for _ in range(READERS):
                    # No more than one buffer's worth is ever taken off the connection.
                    reader, writer = await asyncio.open_connection(address.hostname, address.port, limit=1024)
                    writer.write(request)
                    readers.append((reader, writer))
                await asyncio.gather(*(reader.readexactly(12) for reader, _ in readers))
                await settled()
                _, peak = tracemalloc.get_traced_memory()
                assert peak - before < READERS * 1.3 * MIB + COMMON
            finally:
                for _, writer in readers:
                    writer.transport.abort()
                    with contextlib.suppress(ConnectionError):
                        await writer.wait_closed()
            async with asyncio.timeout(300):
                while tracemalloc.get_traced_memory()[0] - before > COMMON:  # noqa: ASYNC110 - memory sends no events
                    await asyncio.sleep(0.05)


async def settled() -> None:
    """Return when memory has not grown for a while: every reader has been given what it will ever be given."""
    peak, since = 0, 0
    while since < 20:
        await asyncio.sleep(0.05)
        _, now = tracemalloc.get_traced_memory()
        peak, since = (now, 0) if now > peak else (peak, since + 1)
