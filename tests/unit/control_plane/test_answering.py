"""What all answers have in common: failures, health in bad times, counting, pages that may call."""

from __future__ import annotations

import asyncio
import gzip
import json
from typing import Any
from urllib.parse import urlsplit

import pytest

from aitp_playground.control_plane.app import ROUTES
from tests.unit.control_plane.asking import Plane


async def test_every_keyed_route_refuses_strangers_before_it_looks_at_anything(plane: Plane) -> None:
    keyed = [route for route in ROUTES if route.auth == "key"]
    assert len(keyed) > 20
    for route in keyed:
        path = route.path.replace("{id}", "x").replace("{aid}", "x")
        answer = await plane.ask(route.method, path, Authorization="Bearer wrong")
        assert answer.json == {"error": "Unauthorized", "code": "INVALID_API_KEY"}, route


async def test_a_lost_database_is_told_by_health_and_readiness_and_breaks_the_rest(plane: Plane) -> None:
    plane.service.db.lost = True
    health, ready = await plane.ask("GET", "/api/health"), await plane.ask("GET", "/api/readyz")
    assert (health.status, health.json["ok"], health.json["db"]) == (503, False, "error")
    assert (ready.status, ready.json["ready"], ready.json["reason"]) == (503, False, "db")
    for method, path in (("GET", "/api/audit"), ("POST", "/api/events"), ("GET", "/api/registry/agents")):
        broken = await plane.ask(method, path, [{"type": "t"}] if method == "POST" else None)
        assert (broken.status, broken.body) == (500, b"")
        assert "Content-Type" not in broken.headers
    plane.service.db.lost = False
    assert (await plane.ask("GET", "/api/health")).json == {
        "ok": True, "service": "aitp-control-plane", "aid": plane.running.aid, "db": "ok",
    }  # fmt: skip
    assert (await plane.ask("GET", "/api/readyz")).json == {"ready": True}


async def test_requests_and_events_are_counted_by_route_and_never_by_what_was_typed(plane: Plane) -> None:
    await plane.ask("POST", "/api/events", [{"type": "t"}] * 3)
    await plane.ask("GET", "/api/trust-anchors/x")
    await plane.ask("PROPFIND", "/api/secret-path")
    text = (await plane.ask("GET", "/api/metrics")).body.decode()
    assert 'aitp_cp_http_requests_total{method="POST",route="/api/events",status_class="2xx"} 1.0' in text
    assert 'aitp_cp_http_requests_total{method="GET",route="/api/trust-anchors/{id}",status_class="5xx"} 1.0' in text
    assert 'aitp_cp_http_requests_total{method="other",route="unmatched",status_class="4xx"} 1.0' in text
    assert "aitp_cp_events_total 3.0" in text
    assert "secret-path" not in text
    assert "PROPFIND" not in text


@pytest.mark.parametrize("brought", ["x" * 256, ""], ids=["long", "empty"])
async def test_a_request_id_that_is_no_use_is_replaced(plane: Plane, brought: str) -> None:
    given = (await plane.ask("GET", "/api/health", X_Request_Id=brought)).headers["X-Request-Id"]
    assert given.startswith("cp-")


async def test_a_path_of_slashes_is_not_sent_to_another_host(plane: Plane) -> None:
    answer = await plane.ask("GET", "//elsewhere.example/a/?q=1")
    assert (answer.status, answer.headers["Location"]) == (308, "/elsewhere.example/a?q=1")


@pytest.mark.parametrize("origin", ["http://localhost:3000", "http://127.0.0.1:8080", "http://[::1]:1"])
async def test_a_console_on_loopback_may_ask_and_read(plane: Plane, origin: str) -> None:
    asked = await plane.ask(
        "OPTIONS", "/api/events", Origin=origin, Access_Control_Request_Method="POST", Authorization=""
    )
    assert asked.status == 204
    assert "Idempotency-Key" not in asked.headers["Access-Control-Allow-Headers"]
    for path in ("/api/audit", "/api/nothing"):
        assert (await plane.ask("GET", path, Origin=origin)).headers["Access-Control-Allow-Origin"] == origin
    assert (
        "Access-Control-Allow-Origin"
        not in (await plane.ask("GET", "/.well-known/aitp-revocation-list", Origin=origin)).headers
    )


@pytest.mark.parametrize(
    "origin", ["https://evil.example", "http://localhost.evil.example", "null", "http://[", "file://localhost"]
)
async def test_pages_from_elsewhere_may_not(plane: Plane, origin: str) -> None:
    asked = await plane.ask("OPTIONS", "/api/events", Origin=origin, Access_Control_Request_Method="POST")
    got = await plane.ask("GET", "/api/health", Origin=origin)
    for refused in (asked, got):
        assert (refused.status, refused.json["code"]) == (403, "ORIGIN_NOT_ALLOWED")
        assert "Access-Control-Allow-Origin" not in refused.headers


@pytest.mark.parametrize(
    "host",
    ["evil.example", "localhost.evil.example:80", "127.0.0.1.nip.io", "169.254.169.254", "localhost, x", "[::2]"],
)
async def test_a_name_that_was_pointed_at_this_machine_is_refused(plane: Plane, host: str) -> None:
    refused = await plane.ask("GET", "/.well-known/aitp-manifest", Host=host)
    assert (refused.status, refused.json["code"]) == (421, "HOST_NOT_ALLOWED")


@pytest.mark.parametrize("host", ["localhost:1", "LOCALHOST.", "127.0.0.1", "[::1]:4000", "cp.internal:8"])
async def test_loopback_and_the_names_let_in_are_answered(start: Any, host: str) -> None:
    plane: Plane = await start(allowed_hosts=("cp.internal",))
    assert (await plane.ask("GET", "/api/health", Host=host)).status == 200
    console = await plane.ask("GET", "/api/health", Origin="https://cp.internal")
    assert console.headers["Access-Control-Allow-Origin"] == "https://cp.internal"


async def test_an_absolute_target_counts_before_the_host_header(plane: Plane) -> None:
    host = urlsplit(plane.url)
    reader, writer = await asyncio.open_connection(host.hostname, host.port)
    writer.write(b"GET http://evil.example/api/health HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
    assert (await reader.readline()).split()[1] == b"421"
    writer.close()


async def test_a_chunked_body_is_bounded_and_the_service_goes_on(plane: Plane) -> None:
    host = urlsplit(plane.url)
    reader, writer = await asyncio.open_connection(host.hostname, host.port)
    head = f"POST /api/trust-anchors HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {plane.running.key}\r\n"
    writer.write(f"{head}Transfer-Encoding: chunked\r\n\r\n".encode())
    for _ in range(17):
        writer.write(b"10000\r\n" + b"x" * 65536 + b"\r\n")
    assert b" 413 " in await asyncio.wait_for(reader.readline(), 300)
    writer.close()
    await writer.wait_closed()
    assert (await plane.ask("GET", "/api/health")).status == 200


async def test_a_body_that_breaks_off_changes_nothing(plane: Plane) -> None:
    host = urlsplit(plane.url)
    _, writer = await asyncio.open_connection(host.hostname, host.port)
    body = json.dumps([{"type": "t"}]).encode()
    head = f"POST /api/events HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {plane.running.key}\r\n"
    writer.write(f"{head}Content-Length: {len(body) + 1}\r\n\r\n".encode() + body)
    await writer.drain()
    writer.close()
    await writer.wait_closed()
    assert (await plane.ask("GET", "/api/events/history")).json["count"] == 0


async def test_gzip_is_not_undone(plane: Plane) -> None:
    answer = await plane.ask("POST", "/api/events", raw=gzip.compress(b"[]"), Content_Encoding="gzip")
    assert (answer.status, answer.json["code"]) == (400, "BODY_INVALID")


async def test_no_key_or_seed_shows_in_how_the_service_prints(start: Any) -> None:
    plane = await start(api_keys=("very-secret",))
    assert "very-secret" not in repr(plane.running) + repr(plane.service.options) + repr(plane.service.keys)
