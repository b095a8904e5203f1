"""One error shape, whatever went wrong, and nothing leaks."""

from __future__ import annotations

import pytest
import structlog
from aiohttp import web

from aitp_playground.actors import ActorStopped, AskTimeout, Lane, MailboxFull
from aitp_playground.errors import (
    ConfigurationError,
    InputsInvalid,
    Overloaded,
    PlaygroundError,
    RegistryInvalid,
    RunNotTerminal,
    ScenarioNotFound,
    SdkUnavailable,
    StoreUnavailable,
)

from .conftest import Client, Connect, raw
from .memory import MemoryDirectory


@pytest.mark.parametrize(
    ("fault", "status", "code"),
    [
        (ScenarioNotFound("gone"), 404, "scenario_not_found"),
        (InputsInvalid("bad", details=[{"pointer": "/a", "message": "m"}]), 422, "inputs_invalid"),
        (RegistryInvalid("broken", details=[{"file": "f", "line": 1}]), 422, "registry_validation_error"),
        (RunNotTerminal("wait"), 409, "run_not_terminal"),
        (SdkUnavailable("no sdk"), 503, "sdk_unavailable"),
    ],
)
async def test_known_faults_keep_code_message_and_details(
    client: Client, directory: MemoryDirectory, fault: PlaygroundError, status: int, code: str
) -> None:
    directory.fault = fault
    response = await client.get("/runs/run-1")
    details = {} if fault.details is None else {"details": fault.details}
    assert response.status == status
    assert response.content_type == "application/json"
    assert await response.json() == {"error": {"code": code, "message": fault.message, **details}}


@pytest.mark.parametrize(
    ("fault", "after"),
    [
        (Overloaded("full", retry_after=7), "7"),
        (StoreUnavailable("disk full"), "1"),
        (ActorStopped("run/1"), "1"),
        (MailboxFull("run/1", Lane.DATA), "1"),
        (AskTimeout("run/1", 3.0), "1"),
    ],
)
async def test_overload_says_when_to_come_back(
    client: Client, directory: MemoryDirectory, fault: Exception, after: str
) -> None:
    directory.fault = fault
    response = await client.get("/runs/run-1")
    assert (response.status, response.headers["Retry-After"]) == (503, after)
    assert (await response.json())["error"]["code"] == "overloaded"


@pytest.mark.parametrize(
    "fault", [RuntimeError("secret-seed"), ConfigurationError("secret-seed"), TimeoutError("secret-seed")]
)
async def test_the_unexpected_is_logged_under_a_reference_and_not_told(
    client: Client, directory: MemoryDirectory, fault: Exception
) -> None:
    directory.fault = fault
    with structlog.testing.capture_logs() as lines:
        response = await client.get("/runs/run-1")
    body = await response.text()
    reference = (await response.json())["error"]["details"]["reference"]
    assert response.status == 500
    assert "secret-seed" not in body
    assert [line["exc_info"] for line in lines if line.get("reference") == reference] == [fault]
    assert lines[0]["route"] == "/runs/{run_id}"


@pytest.mark.parametrize("path", ["/", "/nowhere", "/runs/", "/healthz/", "/runs/a/b/c", "/%2e%2e/etc"])
async def test_nothing_at_an_address_is_404(client: Client, path: str) -> None:
    response = await client.get(path, allow_redirects=False)
    assert response.status == 404
    assert (await response.json())["error"]["code"] == "not_found"


async def test_a_wrong_method_is_405_and_told_the_right_ones(client: Client) -> None:
    response = await client.put("/runs")
    assert response.status == 405
    assert {name.strip() for name in response.headers["Allow"].split(",")} == {"GET", "HEAD", "OPTIONS", "POST"}
    assert (await response.json())["error"]["code"] == "method_not_allowed"


async def test_options_tells_the_methods_and_opens_nothing_to_other_origins(client: Client) -> None:
    response = await client.options("/runs/run-1")
    assert response.status == 204
    assert "DELETE" in response.headers["Allow"]
    assert not [name for name in response.headers if name.lower().startswith("access-control")]


async def test_head_answers_like_get_without_a_body(client: Client, directory: MemoryDirectory) -> None:
    directory.add(events=2)
    for path in ("/healthz", "/runs", "/runs/run-1", "/agents", "/metrics"):
        response = await client.head(path)
        assert (response.status, await response.read()) == (200, b"")


@pytest.mark.parametrize("path", ["/healthz", "/nowhere", "/runs", "/runs/missing", "/metrics"])
async def test_every_answer_carries_the_security_headers(client: Client, path: str) -> None:
    headers = (await client.get(path)).headers
    assert headers["X-Content-Type-Options"] == "nosniff"
    assert headers["X-Frame-Options"] == "DENY"
    assert headers["Cache-Control"] == "no-store"
    assert "default-src 'none'" in headers["Content-Security-Policy"]
    assert "Server" not in headers


async def test_a_handlers_own_policy_wins(connect: Connect) -> None:
    async def page(_request: web.Request) -> web.Response:
        return web.Response(headers={"Content-Security-Policy": "default-src 'self'"})

    client = await connect(routes=(web.get("/page", page),))
    assert (await client.get("/page")).headers["Content-Security-Policy"] == "default-src 'self'"


@pytest.mark.parametrize(
    ("status", "code"), [(400, "invalid_request"), (413, "payload_too_large"), (415, "invalid_request")]
)
async def test_what_the_http_layer_raises_takes_the_same_shape(connect: Connect, status: int, code: str) -> None:
    async def raising(_request: web.Request) -> web.Response:
        kinds: dict[int, web.HTTPException] = {
            400: web.HTTPBadRequest(),
            413: web.HTTPRequestEntityTooLarge(max_size=1, actual_size=2),
            415: web.HTTPUnsupportedMediaType(),
        }
        raise kinds[status]

    client = await connect(routes=(web.get("/raising", raising),))
    response = await client.get("/raising")
    assert response.status == status
    assert (await response.json())["error"]["code"] == code


async def test_a_redirect_stays_a_redirect(connect: Connect) -> None:
    async def moved(_request: web.Request) -> web.Response:
        raise web.HTTPFound("/healthz")

    client = await connect(routes=(web.get("/moved", moved),))
    assert (await client.get("/moved", allow_redirects=False)).headers["Location"] == "/healthz"


async def test_bytes_that_are_no_request_do_not_stop_the_server(client: Client) -> None:
    assert b" 400 " in await raw(client, b"\x00\x01nonsense\r\n\r\n")
    assert (await client.get("/healthz")).status == 200
