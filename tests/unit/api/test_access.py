"""Access: Host and Origin against DNS rebinding, bearer keys, both before a body is read."""

from __future__ import annotations

import pytest
from aiohttp import web

from aitp_playground.api.access import canonical, host_of, origin_host

from .conftest import Client, Connect, raw, raw_head

KEYS = ("first-key", "second-key")
OPEN = ("/healthz", "/readyz")
LOCKED = (
    "/capabilities",
    "/packs",
    "/scenarios",
    "/runs",
    "/runs/run-1",
    "/runs/run-1/events",
    "/agents",
    "/metrics",
    "/nowhere",
)


async def page(_request: web.Request) -> web.Response:
    return web.Response(text="taken")


@pytest.mark.parametrize(
    "host",
    [
        "localhost",
        "localhost:8000",
        "LOCALHOST:1",
        "localhost.",
        "localhost.:8000",
        "localhost:",
        "127.0.0.1",
        "127.0.0.1:9",
        "[::1]",
        "[::1]:8000",
        "[0:0:0:0:0:0:0:1]:8000",
        "[::ffff:127.0.0.1]",
        "play.example.org",
        "Play.Example.Org.:443",
    ],
)
async def test_names_of_this_service_pass_as_host(connect: Connect, host: str) -> None:
    client = await connect(playground_base_url="https://play.example.org:8443/base")
    response = await client.get("/healthz", headers={"Host": host})
    assert response.status == 200


@pytest.mark.parametrize(
    "host",
    [
        "evil.example",
        "evil.example:8000",
        "localhost.evil.example",
        "127.0.0.1.evil.example",
        "evil.example#localhost",
        "localhost@evil.example",
        "evil@localhost",
        "play.example.org.evil.example",
        "192.168.1.7",
        "0.0.0.0",
        "[::2]",
        "::1",
        "[::1",
        "[localhost]",
        "localhost:port",
        "localhost:99999",
        "localhost..",
        "localhost, evil.example",
        "2130706433",
        "0x7f.1",
        "",
        ".",
    ],
)
async def test_other_names_are_refused_as_host(connect: Connect, host: str) -> None:
    client = await connect(playground_base_url="https://play.example.org")
    response = await client.get("/healthz", headers={"Host": host})
    assert response.status == 403
    assert (await response.json())["error"]["code"] == "forbidden"


async def test_an_internationalised_base_url_passes_in_its_ascii_form(connect: Connect) -> None:
    client = await connect(playground_base_url="https://b\u00fccher.example")
    assert (await client.get("/healthz", headers={"Host": "xn--bcher-kva.example"})).status == 200


async def test_an_ipv6_base_url_passes_in_any_spelling(connect: Connect) -> None:
    client = await connect(playground_base_url="http://[2001:DB8::0:1]:8000")
    assert (await client.get("/healthz", headers={"Host": "[2001:db8:0::1]:9"})).status == 200


async def test_a_request_without_host_is_refused(client: Client) -> None:
    assert b" 403 " in await raw(client, b"GET /runs HTTP/1.0\r\n\r\n")


async def test_two_host_headers_are_refused(client: Client) -> None:
    request = b"GET /healthz HTTP/1.1\r\nHost: localhost\r\nHost: evil.example\r\nConnection: close\r\n\r\n"
    assert (await raw(client, request)).split()[1] in {b"400", b"403"}


async def test_an_absolute_target_cannot_smuggle_another_host_past_the_header(client: Client) -> None:
    request = b"GET http://evil.example/healthz HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"
    assert b" 403 " in await raw(client, request)
    request = b"GET http://localhost:1/healthz HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"
    assert b" 200 " in await raw(client, request)


async def test_forwarded_host_headers_count_for_nothing(client: Client) -> None:
    headers = {"Host": "evil.example", "X-Forwarded-Host": "localhost", "Forwarded": "host=localhost"}
    assert (await client.get("/healthz", headers=headers)).status == 403


async def test_the_bind_address_passes_as_host(connect: Connect) -> None:
    client = await connect(host="box.lan", keys=KEYS)
    assert (await client.get("/healthz", headers={"Host": "box.lan:8000"})).status == 200
    assert (await client.get("/healthz", headers={"Host": "10.0.0.9"})).status == 403


async def test_a_wildcard_bind_answers_to_the_address_a_connection_arrived_at(connect: Connect) -> None:
    client = await connect(host="0.0.0.0", keys=KEYS)
    assert (await client.get("/healthz", headers={"Host": "127.0.0.1"})).status == 200
    assert (await client.get("/healthz", headers={"Host": "10.0.0.9"})).status == 403
    assert (await client.get("/healthz", headers={"Host": "evil.example"})).status == 403


@pytest.mark.parametrize("origin", ["http://localhost:3000", "https://127.0.0.1", "http://[::1]:5", "HTTP://LOCALHOST"])
async def test_pages_of_this_machine_pass_as_origin(client: Client, origin: str) -> None:
    assert (await client.get("/runs", headers={"Origin": origin})).status == 200


@pytest.mark.parametrize(
    "origin",
    [
        "http://evil.example",
        "https://evil.example:8000",
        "null",
        "",
        "file://",
        "localhost",
        "http://localhost.evil.example",
        "http://localhost@evil.example",
        "http://evil.example/localhost",
        "chrome-extension://localhost",
    ],
)
async def test_pages_of_other_origins_are_refused(client: Client, origin: str) -> None:
    response = await client.post("/runs", json={"scenario_ref": "demo/first@1"}, headers={"Origin": origin})
    assert response.status == 403


async def test_the_webhook_is_exempt_from_host_origin_and_key(connect: Connect) -> None:
    client = await connect(keys=KEYS)
    headers = {"Host": "cp-sees-us-as.example", "Origin": "null"}
    asked = await client.post("/webhooks/cp/run-1", headers=headers)
    assert (await asked.json())["error"]["code"] == "run_not_found"
    assert (await client.post("/webhooks/cp/run-1/more", headers=headers)).status == 403


@pytest.mark.parametrize("path", LOCKED)
@pytest.mark.parametrize(
    "authorization",
    [
        None,
        "",
        "Bearer",
        "Bearer ",
        "Bearer wrong",
        "Bearer first-ke",
        "Bearer first-keyy",
        "Bearer first-key,second-key",
        "Basic first-key",
        "first-key",
        "Bearer first-key second-key",
        "Bearer f\u00efrst-key",
    ],
)
async def test_without_a_right_key_every_other_route_is_401(
    connect: Connect, path: str, authorization: str | None
) -> None:
    client = await connect(keys=KEYS)
    response = await client.get(path, headers={} if authorization is None else {"Authorization": authorization})
    assert response.status == 401
    assert response.headers["WWW-Authenticate"].startswith("Bearer")
    assert (await response.json())["error"]["code"] == "unauthorized"


@pytest.mark.parametrize("authorization", ["Bearer first-key", "bearer second-key", "BEARER  first-key"])
async def test_each_key_opens(connect: Connect, authorization: str) -> None:
    client = await connect(keys=KEYS)
    assert (await client.get("/runs", headers={"Authorization": authorization})).status == 200


async def test_two_authorization_headers_do_not_open(connect: Connect) -> None:
    client = await connect(keys=KEYS)
    lines = b"Authorization: Bearer wrong\r\nAuthorization: Bearer first-key\r\n"
    answer = await raw(client, b"GET /runs HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n" + lines + b"\r\n")
    assert answer.split()[1] in {b"400", b"401"}


async def test_a_key_in_the_query_does_not_open(connect: Connect) -> None:
    client = await connect(keys=KEYS)
    assert (await client.get("/runs?api_key=first-key&access_token=first-key")).status == 401


@pytest.mark.parametrize("path", OPEN)
async def test_health_needs_no_key(connect: Connect, path: str) -> None:
    client = await connect(keys=KEYS)
    assert (await client.get(path)).status == 200


async def test_telemetry_needs_its_own_token_and_no_key(connect: Connect) -> None:
    client = await connect(keys=KEYS)
    body = {"emitter_seq": 1, "events": []}
    send = [("agent-token", 200), ("first-key", 401)]
    for token, status in send:
        headers = {"Authorization": f"Bearer {token}"}
        assert (await client.post("/internal/telemetry", json=body, headers=headers)).status == status


async def test_the_page_is_keyless_and_its_siblings_are_not(connect: Connect) -> None:
    client = await connect(keys=KEYS, routes=(web.get("/dashboard", page),))
    assert (await client.get("/dashboard")).status == 200
    assert (await client.get("/dashboard/")).status == 401


@pytest.mark.parametrize(
    ("head", "status"),
    [
        (b"Host: evil.example", b"403"),
        (b"Host: localhost\r\nOrigin: http://evil.example", b"403"),
        (b"Host: localhost", b"401"),
        (b"Host: localhost\r\nExpect: 100-continue", b"401"),
    ],
)
async def test_refusals_come_before_any_body(connect: Connect, head: bytes, status: bytes) -> None:
    client = await connect(keys=KEYS)
    answer = await raw_head(client, b"POST /runs HTTP/1.1\r\n" + head + b"\r\nContent-Length: 50\r\n\r\n")
    assert answer.split()[1] == status


async def test_host_is_checked_before_the_key(connect: Connect) -> None:
    client = await connect(keys=KEYS)
    assert (await client.get("/runs", headers={"Host": "evil.example"})).status == 403


@pytest.mark.parametrize(
    ("spelling", "host"),
    [("LocalHost.", "localhost"), ("0:0::1", "::1"), ("::FFFF:10.0.0.1", "10.0.0.1"), ("127.0.0.1.", "127.0.0.1")],
)
def test_a_host_has_one_spelling(spelling: str, host: str) -> None:
    assert canonical(spelling) == host


def test_an_ipv6_zone_stays_part_of_the_host() -> None:
    assert host_of("[fe80::1%eth0]:80") == "fe80::1%eth0"


def test_only_web_origins_have_a_host() -> None:
    assert origin_host("https://a.example:1") == "a.example"
    assert origin_host("https://a.example/") is None


@pytest.mark.parametrize("path", ["/healthz", "/readyz"])
async def test_a_probe_in_http_1_0_needs_no_host(client: Client, path: str) -> None:
    answer = await raw(client, f"GET {path} HTTP/1.0\r\n\r\n".encode())
    assert answer.split(b" ", 2)[1] == b"200"


@pytest.mark.parametrize(
    "head",
    [
        "GET /metrics HTTP/1.0\r\n\r\n",
        "GET /healthz HTTP/1.0\r\nHost: evil.example\r\n\r\n",
        "GET /healthz HTTP/1.0\r\nOrigin: http://evil.example\r\n\r\n",
    ],
)
async def test_no_other_request_goes_without_host_and_no_probe_lies_about_it(client: Client, head: str) -> None:
    assert (await raw(client, head.encode())).split(b" ", 2)[1] == b"403"


@pytest.mark.parametrize(
    ("method", "path"), [("PUT", "/healthz"), ("DELETE", "/openapi.json"), ("GET", "/webhooks/cp/x")]
)
async def test_a_method_that_a_keyless_path_does_not_have_is_405_and_no_question_of_keys(
    connect: Connect, method: str, path: str
) -> None:
    client = await connect(keys=("k",))
    response = await client.request(method, path)
    assert (response.status, (await response.json())["error"]["code"]) == (405, "method_not_allowed")
    assert "OPTIONS" in response.headers["Allow"]
    assert (await client.options(path)).status == 204
    for behind in ("/runs", "/nowhere"):
        assert (await client.request("PUT", behind)).status == 401
    assert (await client.request(method, path, headers={"Host": "evil.example"})).status == 403
