"""The Control Plane's projections: their shapes, what is sent on, and what is refused at the door."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator
from typing import Any
from urllib.parse import quote

import pytest

from tests.unit.cp_client.rogue import Rogue, black_hole, rogue_server, says

from .conftest import Client, Connect, raw
from .memory import MemoryDirectory

NO_ITEMS = {"cp_enabled": False, "items": [], "count": 0}
EMPTY: dict[str, dict[str, Any]] = {
    "/runs/run-1/cp-audit": {
        "run_id": "run-1",
        "cp_enabled": False,
        "events": [],
        "event_types": [],
        "count": 0,
    },
    "/runs/run-1/cp-sessions": {"run_id": "run-1", "cp_enabled": False, "sessions": [], "count": 0},
    "/cp/tcts": NO_ITEMS,
    "/cp/delegations": NO_ITEMS,
    "/cp/sessions/s-1/replay": NO_ITEMS,
    "/cp/agents": NO_ITEMS,
    "/cp/trust-anchors": NO_ITEMS,
    "/cp/pinned-keys": NO_ITEMS,
    "/cp/dashboard": {"cp_enabled": False, "data": {}},
}
JTI = "3E2C2239-0000-4000-8000-00000000000A"


@pytest.fixture
async def rogue() -> AsyncIterator[Rogue]:
    """A Control Plane that has nothing, and remembers what it was asked."""
    async with rogue_server(says({"items": [], "kpis": {}})) as server:
        yield server


@pytest.fixture
async def client(connect: Connect, directory: MemoryDirectory, rogue: Rogue) -> Client:
    directory.add("run-1")
    return await connect(cp_base_url=rogue.url)


@pytest.mark.parametrize("path", EMPTY)
async def test_without_a_control_plane_the_shape_is_whole_and_empty(
    connect: Connect, directory: MemoryDirectory, path: str
) -> None:
    directory.add("run-1")
    client = await connect()
    response = await client.get(path)
    assert (response.status, await response.json()) == (200, EMPTY[path])


@pytest.mark.parametrize("path", EMPTY)
async def test_a_failing_control_plane_is_told_from_an_empty_one(client: Client, rogue: Rogue, path: str) -> None:
    well = await (await client.get(path)).json()
    assert well.pop("cp_enabled") is True
    assert "cp_error" not in well
    rogue.behaviour = says(b"", 503)
    response = await client.get(path)
    failing = EMPTY[path] | {"cp_enabled": True, "cp_error": "http_5xx"}
    assert (response.status, await response.json()) == (200, failing)


@pytest.mark.parametrize("path", EMPTY)
async def test_every_projection_is_behind_the_key(
    connect: Connect, directory: MemoryDirectory, rogue: Rogue, path: str
) -> None:
    directory.add("run-1")
    client = await connect(cp_base_url=rogue.url, keys=("k",))
    assert (await client.get(path)).status == 401
    assert rogue.seen == []
    assert (await client.get(path, headers={"Authorization": "Bearer k"})).status == 200
    assert len(rogue.seen) == 1


@pytest.mark.parametrize("route", ["cp-audit", "cp-sessions"])
@pytest.mark.parametrize("query", ["", "?limit=none"])
async def test_an_unknown_run_is_404_before_anything_is_asked(
    client: Client, rogue: Rogue, route: str, query: str
) -> None:
    response = await client.get(f"/runs/nobody/{route}{query}")
    assert (response.status, (await response.json())["error"]["code"]) == (404, "run_not_found")
    assert rogue.seen == []


@pytest.mark.parametrize(
    ("asked", "sent"),
    [
        ("/runs/run-1/cp-audit", ("/api/events/history", {"runId": "run-1", "limit": "100"})),
        (
            "/runs/run-1/cp-audit?type=tct.revoked&limit=7",
            ("/api/events/history", {"runId": "run-1", "type": "tct.revoked", "limit": "7"}),
        ),
        ("/runs/run-1/cp-sessions?status=failed&limit=7", ("/api/sessions", {"runId": "run-1", "status": "failed"})),
        (
            "/cp/tcts?issuer=I&subject=S&audience=A&capability=demo.echo&session_id=x/1&active=true&limit=1000",
            (
                "/api/tcts",
                {
                    "issuer": "I",
                    "subject": "S",
                    "audience": "A",
                    "capability": "demo.echo",
                    "sessionId": "x/1",
                    "active": "true",
                    "limit": "1000",
                },
            ),
        ),
        ("/cp/tcts?active=false", ("/api/tcts", {"limit": "100"})),
        ("/cp/tcts?active=1", ("/api/tcts", {"active": "true", "limit": "100"})),
        (
            f"/cp/delegations?parent_jti={JTI}&delegator=D&delegatee=E&active=true",
            (
                "/api/delegations",
                {"parent_jti": JTI.lower(), "delegator": "D", "delegatee": "E", "active": "true", "limit": "100"},
            ),
        ),
        (f"/cp/delegations?root_jti={JTI}", ("/api/delegations", {"root_jti": JTI.lower(), "limit": "100"})),
        ("/cp/sessions/a%2Fb%20c/replay", ("/api/sessions/a%2Fb%20c/replay", {"limit": "100"})),
        ("/cp/agents", ("/api/dashboard/agents", {})),
        ("/cp/trust-anchors?namespace=demo", ("/api/trust-anchors", {"namespace": "demo"})),
        ("/cp/trust-anchors", ("/api/trust-anchors", {})),
        ("/cp/pinned-keys?namespace=demo", ("/api/pinned-keys", {"namespace": "demo"})),
        ("/cp/dashboard", ("/api/dashboard/overview", {"range": "24h"})),
        ("/cp/dashboard?window=7d", ("/api/dashboard/overview", {"range": "7d"})),
    ],
)
async def test_filters_are_sent_on_under_the_names_that_are_understood(
    client: Client, rogue: Rogue, asked: str, sent: tuple[str, dict[str, str]]
) -> None:
    response = await client.get(asked)
    assert (response.status, "cp_error" in await response.json()) == (200, False)
    (seen,) = rogue.seen
    assert (seen.raw_path.partition("?")[0], seen.query) == sent


@pytest.mark.parametrize(
    ("given", "sent"),
    [
        ("1795362518.796", "2026-11-22T15:48:38.796Z"),
        ("1795362518", "2026-11-22T15:48:38.000Z"),
        ("2026-11-22 15:48:38.796+00", "2026-11-22T15:48:38.796Z"),
        ("2026-11-22T17:48:38.79+02:00", "2026-11-22T15:48:38.790Z"),
        ("2026-11-22T15:48:38", "2026-11-22T15:48:38.000Z"),
        ("2026-11-22", "2026-11-22T00:00:00.000Z"),
    ],
)
@pytest.mark.parametrize("name", ["since", "until"])
async def test_times_are_sent_on_in_the_one_form_that_cannot_be_misread(
    client: Client, rogue: Rogue, name: str, given: str, sent: str
) -> None:
    assert (await client.get("/cp/sessions/s/replay", params={name: given})).status == 200
    assert rogue.seen[0].query == {name: sent, "limit": "100"}


async def test_a_time_without_zone_is_utc_wherever_this_machine_stands(
    client: Client, rogue: Rogue, monkeypatch: pytest.MonkeyPatch
) -> None:
    try:
        with monkeypatch.context() as patch:
            patch.setenv("TZ", "EST5")
            time.tzset()
            await client.get("/cp/sessions/s/replay?since=2026-11-22T15:48:38")
    finally:
        time.tzset()
    assert rogue.seen[0].query["since"] == "2026-11-22T15:48:38.000Z"


WRONG = [
    *(
        (f"{path}?limit={limit}", "limit")
        for path in ("/runs/run-1/cp-audit", "/runs/run-1/cp-sessions", "/cp/tcts", "/cp/delegations")
        for limit in ("0", "1001", "-1", "ten", "")
    ),
    ("/cp/sessions/s/replay?limit=1001", "limit"),
    ("/runs/run-1/cp-audit?type=", "type"),
    (f"/runs/run-1/cp-audit?type={'t' * 129}", "type"),
    ("/runs/run-1/cp-audit?type=a%00b", "type"),
    ("/runs/run-1/cp-sessions?status=finished", "status"),
    ("/runs/run-1/cp-sessions?status=", "status"),
    *((f"/cp/tcts?{name}=", name) for name in ("issuer", "subject", "audience", "capability", "session_id")),
    *((f"/cp/tcts?{name}=%00", name) for name in ("issuer", "subject", "audience", "capability", "session_id")),
    ("/cp/tcts?active=yes", "active"),
    ("/cp/tcts?active=True", "active"),
    (f"/cp/tcts?issuer={'i' * 513}", "issuer"),
    *(
        (f"/cp/delegations?{name}={jti}", name)
        for name in ("root_jti", "parent_jti")
        for jti in ("", "no-uuid", JTI.replace("-", ""), f"{JTI}0", f"%20{JTI}", f"{JTI}%0A")
    ),
    ("/cp/delegations?delegator=", "delegator"),
    ("/cp/delegations?delegatee=%7F", "delegatee"),
    ("/cp/delegations?active=2", "active"),
    *(
        (f"/cp/sessions/s/replay?{name}={quote(moment)}", name)
        for name in ("since", "until")
        for moment in ("", "yesterday", "-1", "nan", "1e9", "1795362518796", "2026-13-01", "0001-01-01T00:00+05:00")
    ),
    ("/cp/sessions/s/replay?since=2026-11-22T15:48:38+00:00", "since"),
    ("/cp/sessions/a%00b/replay", "sid"),
    (f"/cp/sessions/{'s' * 256}/replay", "sid"),
    ("/cp/trust-anchors?namespace=", "namespace"),
    (f"/cp/trust-anchors?namespace={'n' * 129}", "namespace"),
    ("/cp/pinned-keys?namespace=%0A", "namespace"),
    ("/cp/dashboard?window=1d", "window"),
    ("/cp/dashboard?window=", "window"),
]


@pytest.mark.parametrize(("path", "parameter"), WRONG)
async def test_a_callers_mistake_is_named_and_not_sent_on(
    client: Client, rogue: Rogue, path: str, parameter: str
) -> None:
    response = await client.get(path)
    assert response.status == 422, await response.text()
    error = (await response.json())["error"]
    assert (error["code"], error["details"][0]["parameter"]) == ("invalid_request", parameter)
    assert rogue.seen == []


async def test_a_mistake_is_one_also_without_a_control_plane(connect: Connect) -> None:
    client = await connect()
    for path in ("/cp/dashboard?window=1d", "/cp/delegations?root_jti=x", "/cp/tcts?limit=0"):
        assert (await client.get(path)).status == 422


@pytest.mark.parametrize("sid", [b".", b"..", b"%2E%2E"])
async def test_no_session_id_leads_to_another_route(client: Client, rogue: Rogue, sid: bytes) -> None:
    request = b"GET /cp/sessions/" + sid + b"/replay HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"
    assert (await raw(client, request)).split()[1] in {b"404", b"422"}
    assert rogue.seen == []


async def test_the_types_of_an_audit_are_those_seen_each_once(client: Client, rogue: Rogue) -> None:
    rows = [{"type": "b"}, {"type": "a"}, {"type": None}, {}, {"type": "b"}]
    rogue.behaviour = says({"events": rows, "count": 99})
    audit = await (await client.get("/runs/run-1/cp-audit")).json()
    assert audit == {"run_id": "run-1", "cp_enabled": True, "events": rows, "event_types": ["a", "b"], "count": 5}


async def test_sessions_are_cut_to_the_limit_though_the_control_plane_knows_none(client: Client, rogue: Rogue) -> None:
    rogue.behaviour = says({"sessions": [{"sessionId": str(number)} for number in range(200)]})
    shown = await (await client.get("/runs/run-1/cp-sessions?limit=3")).json()
    assert ([row["sessionId"] for row in shown["sessions"]], shown["count"]) == (["0", "1", "2"], 3)


async def ready(client: Client) -> dict[str, Any]:
    response = await client.get("/readyz")
    assert response.status == 200
    body: dict[str, Any] = await response.json()
    return body


async def test_readiness_says_that_there_is_no_control_plane(connect: Connect) -> None:
    assert await ready(await connect()) == {"status": "ready", "control_plane": {"cp_enabled": False}}


async def test_readiness_follows_the_control_planes_troubles_and_asks_it_nothing(client: Client, rogue: Rogue) -> None:
    well = {"status": "ready", "control_plane": {"cp_enabled": True, "breaker": "closed"}}
    assert await ready(client) == well
    assert rogue.seen == []
    rogue.behaviour = says(b"<html>", kind="text/html")
    await client.get("/cp/agents")
    troubled = await ready(client)
    assert troubled["control_plane"] == {"cp_enabled": True, "breaker": "closed", "cp_error": "not_json"}
    rogue.behaviour = says({"agents": []})
    await client.get("/cp/agents")
    assert await ready(client) == well
    assert len(rogue.seen) == 2


async def test_the_service_is_ready_while_its_control_plane_hangs(connect: Connect, rogue: Rogue) -> None:
    rogue.behaviour = black_hole
    client = await connect(cp_base_url=rogue.url, cp_timeout_ms=20)
    assert (await (await client.get("/cp/agents")).json())["cp_error"] == "timeout"
    assert (await ready(client))["control_plane"]["breaker"] == "open"
    assert (await (await client.get("/cp/tcts")).json())["cp_error"] == "breaker_open"
