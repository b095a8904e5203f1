"""Whoever reaches a worker's port without being its peer: turned away, and unable to use that as a weapon."""

from __future__ import annotations

import asyncio
import gzip
import json
import re
import resource
import zlib

from base.telemetry import REFUSALS_AT_ONCE
from tests.integration.agents.harness import SdkPeer, Start, TelemetrySink, WorkerProcess, introduce

SECRET = "eyJhbGciOiJFZERTQSJ9.c2VjcmV0.c2lnbmF0dXJl"


async def raw(worker: WorkerProcess, request: bytes, *, until: bytes = b"") -> bytes:
    """Send exactly these bytes; the answer, unless the connection is to be dropped after ``until`` was seen."""
    reader, writer = await asyncio.open_connection("127.0.0.1", worker.port)
    try:
        writer.write(request)
        async with asyncio.timeout(300):
            return await (reader.readuntil(until) if until else reader.read())
    finally:
        writer.close()


async def served(worker: WorkerProcess) -> None:
    """Worked through: what came earlier on other connections was met before this answer."""
    assert (await worker.request("GET", "/.well-known/aitp-manifest")).status == 200


async def test_a_web_page_is_turned_away_and_leaves_no_trace_in_the_log(start: Start, sink: TelemetrySink) -> None:
    worker = await start("alice")
    for path in ("/capabilities/demo.echo", "/aitp/handshake/hello", "/aitp/pop/challenge"):
        answer = await worker.request("POST", path, "{}", {"Origin": "http://localhost:8000"})
        assert (answer.status, answer.body["error"]["code"]) == (403, "forbidden")
    await worker.admin("flush", {})
    assert sink.events == []


async def test_a_flood_of_anonymous_calls_is_counted_and_cannot_fill_the_runs_log(
    start: Start, sink: TelemetrySink
) -> None:
    worker, calls = await start("alice"), REFUSALS_AT_ONCE * 2
    for _ in range(calls // 100):
        answers = await asyncio.gather(*(worker.request("POST", "/capabilities/demo.echo", "{}") for _ in range(100)))
        assert {(answer.status, answer.body["error"]["code"]) for answer in answers} == {(403, "POLICY_VIOLATION")}
    await worker.admin("flush", {})
    denied = await sink.wait_for("capability.denied")
    counted = sum(event.get("payload", {}).get("dropped", 0) for event in denied)
    told = sum(event.get("error") != "events were dropped" for event in denied)
    assert told + counted == calls
    assert len(denied) < calls * 3 // 4


async def test_an_introduced_peer_is_served_in_the_middle_of_a_flood(start: Start, sink: TelemetrySink) -> None:
    worker, peer = await start("alice"), SdkPeer("carol")
    await introduce(worker, peer)
    flood = asyncio.gather(*(worker.request("POST", "/aitp/pop/challenge", "{}") for _ in range(300)))
    token = await peer.token_from(worker)
    answer = await worker.request("POST", "/capabilities/demo.echo", "{}", await peer.proof(worker, token))
    await flood
    assert answer.status == 200


async def test_a_token_in_a_header_that_is_not_http_is_not_quoted_in_what_the_worker_prints(start: Start) -> None:
    worker = await start("alice")
    for header in (f"X-AITP-TCT: {SECRET}\x01", f"X-AITP TCT: {SECRET}", f"X-AITP-TCT: {SECRET}\r\nContent-Length: -1"):
        request = f"POST /capabilities/demo.echo HTTP/1.1\r\nHost: localhost\r\n{header}\r\n\r\n".encode()
        assert b" 400 " in (await raw(worker, request)).splitlines()[0]
    worker.process.terminate()
    await worker.ended()
    assert worker.err.count(b"not HTTP: ") == 1  # a line a minute: whoever reaches the port can cause these
    assert SECRET.encode() not in worker.err
    assert b"Traceback" not in worker.err


async def test_hanging_up_in_the_middle_of_a_body_leaves_no_trace_in_the_workers_output(start: Start) -> None:
    worker = await start("alice")
    path, expect = b"/aitp/handshake/hello", b"Content-Length: 900\r\nExpect: 100-continue"
    expect += b"\r\nContent-Type: application/json"  # without it nothing of the body would be waited for
    head = b"POST %b HTTP/1.1\r\nHost: localhost\r\n%b\r\n\r\n" % (path, expect)
    assert b" 100 " in await raw(worker, head, until=b"\r\n\r\n")
    await served(worker)
    worker.process.terminate()
    await worker.ended()
    assert worker.err == b""


async def test_what_comes_packed_is_undone_for_callers_alone_and_no_further_than_its_limit(start: Start) -> None:
    worker, peer = await start("alice"), SdkPeer("peer")
    await introduce(worker, peer)
    token = await peer.token_from(worker)
    for pack, encoding in ((gzip.compress, "gzip"), (zlib.compress, "deflate"), (bytes, "identity")):
        packed = {"Content-Type": "application/json", "Content-Encoding": encoding}
        for body, status in ((pack(b"{}"), 200), (pack(b"{}")[:-1], 400), (pack(bytes(64 << 20)), 413)):
            headers = {**packed, **await peer.proof(worker, token)}
            assert (await worker.request("POST", "/capabilities/demo.echo", body, headers)).status == status
        for path in ("/aitp/handshake/", "/aitp/handshake/hello", "/aitp/delegation/challenge", "/aitp/tct/renew"):
            answer = await worker.request("POST", path, pack(b"{}"), packed)
            assert answer.status == (400 if encoding == "identity" else 415), (path, answer)
    await served(worker)


async def test_what_http_itself_refuses_is_answered_in_json_and_names_no_server_software(start: Start) -> None:
    worker = await start("alice")
    head = b"POST /aitp/handshake/hello HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
    for request, status in (
        (b"GET / HTTP/1.1\r\nno header line\r\n\r\n", b"400"),
        (b"HELLO WORLD\r\n\r\n", b"400"),
        (b"GET /" + b"a" * 9000 + b" HTTP/1.1\r\nHost: localhost\r\n\r\n", b"400"),
        (head + b"Content-Length: 2\r\nContent-Length: 3\r\n\r\n{}", b"400"),
        (head + b"Transfer-Encoding: rot13\r\n\r\n{}", b"400"),
        *(
            (head + b"Connection: close\r\nContent-Encoding: %b\r\nContent-Length: 2\r\n\r\n{}" % encoding, b"415")
            for encoding in (b"rot13", b"br", b"zstd", b"gzip", b"gzip, gzip")
        ),
        (head + b"Connection: close\r\nExpect: rot13\r\nContent-Length: 2\r\n\r\n{}", b"417"),
    ):
        answer_head, _, body = (await raw(worker, request)).partition(b"\r\n\r\n")
        assert answer_head.split(b" ")[1] == status, request
        assert b"content-type: application/json" in answer_head.lower()
        assert not re.search(rb"server:|aiohttp|python", answer_head + body, re.IGNORECASE)
        # What is no HTTP has no code of the standard; what reached a route of the protocol has.
        assert json.loads(body)["error"]["code"] == ("INVALID_ENVELOPE" if status == b"415" else "invalid_request")
    await served(worker)


async def test_silent_connections_keep_nobody_out(start: Start) -> None:
    worker = await start("alice")
    resource.prlimit(worker.process.pid, resource.RLIMIT_NOFILE, (100, resource.prlimit(0, resource.RLIMIT_NOFILE)[1]))
    crowd = [await asyncio.open_connection("127.0.0.1", worker.port) for _ in range(200)]
    try:
        await served(worker)
    finally:
        for _reader, writer in crowd:
            writer.transport.abort()


async def test_a_name_that_is_not_loopback_is_not_this_worker(start: Start) -> None:
    worker = await start("alice")
    for host in ("evil.example", "localhost.evil.example", "localhost:80@evil.example", ""):
        request = f"GET /.well-known/aitp-manifest HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n"
        answer = (await raw(worker, request.encode())).partition(b"\r\n\r\n")[2]
        assert json.loads(answer)["error"]["code"] == "forbidden", host
