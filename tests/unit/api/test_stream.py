"""Event streams: framing, resuming, heartbeats, slow and leaving readers, shutdown."""

from __future__ import annotations

import asyncio
import json

import pytest
from aiohttp import ClientResponse, web

from aitp_playground.api import StreamOptions
from aitp_playground.api.stream import STREAMS, pieces
from aitp_playground.api.streaming import PIECE_BYTES
from aitp_playground.errors import RunNotFound, StoreUnavailable
from aitp_playground.observability.metrics import Metrics
from aitp_playground.store.port import StoredEvent

from .conftest import CALM, Client, Connect, eventually, raw
from .memory import MemoryDirectory

END = b'data: {"type":"stream.end"}\n\n'


async def frame(response: ClientResponse) -> bytes:
    """The next frame, empty at the end of the stream."""
    async with asyncio.timeout(300):
        try:
            return await response.content.readuntil(b"\n\n")
        except asyncio.IncompleteReadError as short:
            return short.partial


async def seqs(response: ClientResponse) -> list[int]:
    """The ids of all frames up to the end of the stream, which must be said."""
    async with asyncio.timeout(300):
        body = await response.read()
    assert body.endswith(END)
    return [int(line.removeprefix(b"id: ")) for line in body.split(b"\n") if line.startswith(b"id: ")]


async def test_an_event_is_one_frame_and_the_end_is_said(client: Client, directory: MemoryDirectory) -> None:
    directory.add(events=1)
    await directory.end("run-1")
    response = await client.get("/runs/run-1/events")
    first, last = directory.logs["run-1"]
    assert await response.read() == b"id: 1\ndata: %b\n\nid: 2\ndata: %b\n\n" % (first.body, last.body) + END


async def test_a_stream_is_not_cached_buffered_or_compressed(client: Client, directory: MemoryDirectory) -> None:
    directory.add()
    response = await client.get("/runs/run-1/events", headers={"Accept-Encoding": "gzip, deflate"})
    assert response.headers["Content-Type"] == "text/event-stream"
    assert response.headers["Cache-Control"] == "no-cache"
    assert response.headers["X-Accel-Buffering"] == "no"
    assert response.headers["X-Content-Type-Options"] == "nosniff"
    assert "Content-Encoding" not in response.headers
    response.close()


async def test_live_events_follow_the_stored_ones(client: Client, directory: MemoryDirectory) -> None:
    directory.add(events=2)
    response = await client.get("/runs/run-1/events")
    assert [(await frame(response)).split(b"\n")[0] for _ in range(2)] == [b"id: 1", b"id: 2"]
    await directory.record("run-1")
    data = (await frame(response)).split(b"\n")[1].removeprefix(b"data: ")
    assert json.loads(data)["seq"] == 3
    await directory.end("run-1")
    assert await seqs(response) == [4]


@pytest.mark.parametrize(
    ("query", "header", "first"),
    [
        ("", None, 1),
        ("?after=0", None, 1),
        ("?after=2", None, 3),
        ("", "3", 4),
        ("?after=1", "3", 4),
        ("?after=3", "1", 4),
        ("?after=2", "", 3),
    ],
)
async def test_a_reader_resumes_after_the_greater_of_what_it_names(
    client: Client, directory: MemoryDirectory, query: str, header: str | None, first: int
) -> None:
    directory.add(events=4)
    await directory.end("run-1")
    headers = {} if header is None else {"Last-Event-ID": header}
    response = await client.get(f"/runs/run-1/events{query}", headers=headers)
    assert await seqs(response) == list(range(first, 6))


async def test_a_reader_beyond_the_end_of_a_finished_run_is_told_so(client: Client, directory: MemoryDirectory) -> None:
    directory.add(events=1, status="success")
    assert await (await client.get("/runs/run-1/events?after=99")).read() == END


@pytest.mark.parametrize(
    ("query", "header"), [("?after=x", "1"), ("?after=-1", "1"), ("", "abc"), ("", "1.5"), ("", "-1")]
)
async def test_a_malformed_position_is_422(client: Client, directory: MemoryDirectory, query: str, header: str) -> None:
    directory.add()
    response = await client.get(f"/runs/run-1/events{query}", headers={"Last-Event-ID": header})
    assert response.status == 422


async def test_head_of_a_stream_ends_at_once(client: Client, directory: MemoryDirectory) -> None:
    directory.add()
    response = await client.head("/runs/run-1/events")
    assert (response.status, response.content_type) == (200, "text/event-stream")
    assert directory.streams == 0


async def test_a_quiet_stream_beats_and_loses_nothing_by_it(connect: Connect, directory: MemoryDirectory) -> None:
    client = await connect(streams=StreamOptions(heartbeat=0.01))
    directory.add()
    response = await client.get("/runs/run-1/events")
    beats = [await frame(response) for _ in range(3)]
    assert all(beat.startswith(b":") for beat in beats)
    await directory.record("run-1")
    await directory.end("run-1")
    assert await seqs(response) == [1, 2]


async def test_a_reader_that_leaves_releases_its_subscription(
    client: Client, directory: MemoryDirectory, metrics: Metrics
) -> None:
    directory.add(events=1)
    response = await client.get("/runs/run-1/events")
    await frame(response)
    assert b"aitp_playground_sse_subscribers 1.0" in metrics.render()
    response.close()
    await eventually(lambda: directory.streams == 0)
    await eventually(lambda: b"aitp_playground_sse_subscribers 0.0" in metrics.render())


async def test_a_slow_reader_gets_every_event_and_holds_the_source_back(
    connect: Connect, directory: MemoryDirectory
) -> None:
    client = await connect()
    directory.add(events=6000, size=4000)
    await directory.end("run-1")
    reader, writer = await asyncio.open_connection("127.0.0.1", client.port, limit=1 << 14)
    writer.write(b"GET /runs/run-1/events HTTP/1.0\r\nHost: localhost\r\n\r\n")
    await reader.readuntil(b"\r\n\r\n")
    assert await settled(client) < 4 * PIECE_BYTES
    body = bytearray()
    async with asyncio.timeout(300):
        while chunk := await reader.read(1 << 14):
            body += chunk
    writer.close()
    await writer.wait_closed()
    ids = [int(line[4:]) for line in bytes(body).split(b"\n") if line.startswith(b"id: ")]
    assert ids == list(range(1, 6002))
    assert bytes(body).endswith(END)


def connections(client: Client) -> list[web.RequestHandler]:
    runner = client.server.runner
    assert runner is not None
    assert isinstance(runner.server, web.Server)
    return runner.server.connections


async def settled(client: Client) -> int:
    """Bytes that wait in the server for a reader who does not read, once no more are added."""
    before = -1
    while True:
        waiting = sum(c.transport.get_write_buffer_size() for c in connections(client) if c.transport)
        if waiting == before and waiting:
            return waiting
        before = waiting
        await asyncio.sleep(0.05)


async def test_a_reader_that_never_reads_is_let_go(connect: Connect, directory: MemoryDirectory) -> None:
    client = await connect(streams=StreamOptions(heartbeat=60, stall=0.05))
    directory.add(events=6000, size=4000)
    reader, writer = await asyncio.open_connection("127.0.0.1", client.port, limit=1 << 14)
    writer.write(b"GET /runs/run-1/events HTTP/1.1\r\nHost: localhost\r\n\r\n")
    await reader.readuntil(b"\r\n\r\n")
    await eventually(lambda: not connections(client))
    assert directory.streams == 0
    writer.transport.abort()


async def test_streams_are_bounded(connect: Connect, directory: MemoryDirectory) -> None:
    client = await connect(streams=StreamOptions(limit=1, poll=0.01))
    directory.add(events=1)
    first = await client.get("/runs/run-1/events")
    await frame(first)
    refused = await client.get("/runs/run-1/events")
    assert (refused.status, refused.headers["Retry-After"]) == (503, "5")
    assert (await refused.json())["error"]["code"] == "overloaded"
    await directory.end("run-1")
    assert await seqs(first) == [2]
    assert (await client.get("/runs/run-1/events")).status == 200


async def test_shutdown_ends_open_streams_before_the_services_go(connect: Connect, directory: MemoryDirectory) -> None:
    open_at_cleanup: list[int] = []

    async def look(_app: web.Application) -> None:
        open_at_cleanup.append(directory.streams)

    client = await connect(on_cleanup=look)
    directory.add(events=1)
    response = await client.get("/runs/run-1/events")
    await frame(response)
    async with asyncio.timeout(300):
        await client.server.close()
    assert open_at_cleanup == [0]
    assert await frame(response) == b""


async def test_shutdown_does_not_wait_for_a_reader_that_never_reads(
    connect: Connect, directory: MemoryDirectory
) -> None:
    client = await connect()
    directory.add(events=6000, size=4000)
    reader, writer = await asyncio.open_connection("127.0.0.1", client.port, limit=1 << 14)
    writer.write(b"GET /runs/run-1/events HTTP/1.1\r\nHost: localhost\r\n\r\n")
    await reader.readuntil(b"\r\n\r\n")
    await settled(client)
    async with asyncio.timeout(10):
        await client.server.close()
    assert directory.streams == 0
    writer.transport.abort()


async def test_no_stream_begins_once_the_service_shuts_down(client: Client, directory: MemoryDirectory) -> None:
    directory.add()
    assert client.app is not None
    await client.app[STREAMS].close(client.app)
    assert (await client.get("/runs/run-1/events")).status == 503


async def test_a_store_that_fails_midway_ends_the_stream_without_saying_it_is_over(
    client: Client, directory: MemoryDirectory
) -> None:
    directory.add(events=1)
    response = await client.get("/runs/run-1/events")
    await frame(response)
    directory.stream_fault = StoreUnavailable("gone")
    await directory.record("run-1")
    async with asyncio.timeout(300):
        rest = await response.read()
    assert END not in rest


async def test_a_run_deleted_under_its_reader_ends_the_stream(client: Client, directory: MemoryDirectory) -> None:
    directory.add(events=1)
    response = await client.get("/runs/run-1/events")
    await frame(response)
    directory.stream_fault = RunNotFound("deleted")
    await directory.record("run-1")
    async with asyncio.timeout(300):
        assert END not in await response.read()


async def test_a_client_of_http_1_0_reads_to_the_end(client: Client, directory: MemoryDirectory) -> None:
    directory.add(events=1, status="success")
    answer = await raw(client, b"GET /runs/run-1/events HTTP/1.0\r\nHost: localhost\r\n\r\n")
    assert answer.endswith(END)
    assert b"chunked" not in answer


def test_pieces_are_bounded_and_lose_nothing() -> None:
    batch = [StoredEvent(seq, "meta", 1.0, b"x" * 5000) for seq in range(1, 101)]
    parts = list(pieces(batch))
    assert len(parts) > 5
    assert max(map(len, parts)) <= PIECE_BYTES
    assert b"".join(parts) == b"".join(b"id: %d\ndata: %b\n\n" % (event.seq, event.body) for event in batch)
    large = StoredEvent(1, "meta", 1.0, bytes(range(256)) * (3 * PIECE_BYTES // 256) + b"end")
    cut = list(pieces([large, batch[0]]))
    assert max(map(len, cut)) == PIECE_BYTES
    assert b"".join(cut) == b"id: 1\ndata: %b\n\nid: 1\ndata: %b\n\n" % (large.body, batch[0].body)
    assert list(pieces([])) == []


def test_the_defaults_beat_every_quarter_minute() -> None:
    assert StreamOptions().heartbeat == 15
    assert CALM.heartbeat > StreamOptions().heartbeat
