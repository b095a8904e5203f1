"""Rules all routes share: who may ask, how a refusal looks, what a query string means."""

from __future__ import annotations

import pytest
from yarl import URL

from tests.contract.wire import ControlPlane

JSON_POSTS = (
    "/api/events",
    "/api/webhooks",
    "/api/trust-anchors",
    "/api/pinned-keys",
    "/api/revocation/entries",
)
KEYED = (
    ("GET", "/api/events/history"),
    ("GET", "/api/events/stream"),
    ("GET", "/api/sessions"),
    ("GET", "/api/sessions/x"),
    ("GET", "/api/sessions/x/replay"),
    ("GET", "/api/sessions/x/export"),
    ("GET", "/api/registry/agents/aid:pubkey:x/export"),
    ("GET", "/api/tcts"),
    ("GET", "/api/delegations"),
    ("GET", "/api/webhooks"),
    ("GET", "/api/trust-anchors"),
    ("GET", "/api/pinned-keys"),
    ("GET", "/api/dashboard/overview"),
    ("GET", "/api/dashboard/agents"),
    ("GET", "/api/audit"),
    ("DELETE", "/api/registry/agents/aid:pubkey:x"),
    *(("POST", path) for path in JSON_POSTS),
)
PUBLIC = (
    "/api/health",
    "/api/readyz",
    "/api/metrics",
    "/.well-known/aitp-manifest",
    "/.well-known/aitp-revocation-list",
    "/api/registry/agents",
    "/api/well-known/aitp-manifest",
    "/api/well-known/aitp-revocation-list",
)


@pytest.mark.parametrize(("method", "path"), KEYED, ids=lambda part: part)
async def test_a_keyed_route_without_the_key_is_401(cp: ControlPlane, method: str, path: str) -> None:
    answer = await cp.ask(method, path, key=None)

    assert answer.json(401) == {"error": "Unauthorized", "code": "INVALID_API_KEY"}


@pytest.mark.parametrize(
    "header", ["bearer {}", "Bearer  {}", "BEARER {}", "Basic {}", "{}x", "Bearer {}x", "Bearer ", "Bearer"]
)
async def test_the_key_counts_only_behind_exactly_bearer_and_one_space(cp: ControlPlane, header: str) -> None:
    answer = await cp.get("/api/sessions", key=None, headers={"Authorization": header.format(cp.key)})

    assert answer.json(401) == {"error": "Unauthorized", "code": "INVALID_API_KEY"}


async def test_the_bare_key_is_taken_too(cp: ControlPlane) -> None:
    assert (await cp.get("/api/sessions", key=None, headers={"Authorization": cp.key})).status == 200


async def test_another_header_for_the_key_is_ignored(cp: ControlPlane) -> None:
    assert (await cp.get("/api/sessions", key=None, headers={"X-API-Key": cp.key})).status == 401


@pytest.mark.parametrize("path", PUBLIC)
async def test_a_public_route_needs_no_key_and_ignores_a_wrong_one(cp: ControlPlane, path: str) -> None:
    assert (await cp.get(path, key=None)).status == 200
    assert (await cp.get(path, key="wrong")).status == 200


async def test_an_unknown_route_is_a_page_for_the_key_and_401_without(cp: ControlPlane) -> None:
    assert (await cp.get("/api/no-such-thing")).refusal() == (404, "html")
    assert (await cp.get("/api/no-such-thing", key=None)).refusal() == (401, "INVALID_API_KEY")


@pytest.mark.parametrize("raw", [b"", b"{", b"hello", b'{"a":1}x', b"\xff\xfe"])
@pytest.mark.parametrize("path", JSON_POSTS)
async def test_a_body_that_is_no_json_is_refused_in_the_same_words_everywhere(
    cp: ControlPlane, path: str, raw: bytes
) -> None:
    answer = await cp.post(path, data=raw)

    assert answer.json(400) == {"error": "body must be JSON", "code": "BODY_INVALID"}


@pytest.mark.parametrize("path", JSON_POSTS[1:])
async def test_the_literal_null_is_an_empty_500(cp: ControlPlane, path: str) -> None:
    answer = await cp.post(path, None)

    assert (answer.status, answer.body) == (500, b"")
    assert "Content-Type" not in answer.headers


async def test_the_literal_null_as_events_ingests_nothing(cp: ControlPlane) -> None:
    assert (await cp.post("/api/events", None)).json() == {"ingested": 0}


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/api/events"),
        ("DELETE", "/api/events"),
        ("POST", "/api/sessions"),
        ("GET", "/api/revocation/entries"),
        ("DELETE", "/api/revocation/entries"),
        ("GET", "/api/webhooks/00000000-0000-4000-8000-000000000000"),
        ("PATCH", "/api/pinned-keys"),
        ("POST", "/api/health"),
    ],
)
async def test_a_wrong_method_is_an_empty_405(cp: ControlPlane, method: str, path: str) -> None:
    answer = await cp.ask(method, path)

    assert (answer.status, answer.body) == (405, b"")


@pytest.mark.parametrize(("method", "path"), [("POST", "/api/events"), ("GET", "/api/sessions")])
async def test_a_trailing_slash_is_redirected_and_does_nothing(
    cp: ControlPlane, unique: str, method: str, path: str
) -> None:
    body = {"events": [{"type": "demo", "run_id": unique}]} if method == "POST" else ...

    answer = await cp.ask(method, path + "/", json_body=body)

    assert answer.status == 308
    assert URL(answer.headers["Location"]).path == path
    assert await cp.history(runId=unique) == []


async def test_a_request_id_is_echoed_or_made(cp: ControlPlane, unique: str) -> None:
    assert (await cp.get("/api/health", headers={"X-Request-Id": unique})).headers["x-request-id"] == unique
    assert (await cp.get("/api/sessions", key=None)).headers["x-request-id"]


@pytest.mark.parametrize("path", PUBLIC[3:5])
async def test_the_well_known_documents_carry_no_request_id(cp: ControlPlane, path: str) -> None:
    assert "x-request-id" not in (await cp.get(path, key=None)).headers


async def test_an_unknown_parameter_is_ignored_and_an_empty_one_filters_nothing(cp: ControlPlane, unique: str) -> None:
    await cp.ingest({"type": "one", "run_id": unique}, {"type": "two", "run_id": unique})

    assert len(await cp.history(runId=unique, typ="one")) == 2
    assert len(await cp.history(runId=unique, type="")) == 2
    assert len(await cp.history(runId=unique, type="one")) == 1


async def test_a_raw_plus_in_a_time_is_a_space_and_refused(cp: ControlPlane) -> None:
    raw = await cp.get("/api/events/history?since=2026-11-22T15:00:00+00:00")
    encoded = await cp.get("/api/events/history?since=2026-11-22T15:00:00%2B00:00&limit=1")

    assert raw.refusal() == (400, "FILTER_INVALID")
    assert encoded.status == 200
