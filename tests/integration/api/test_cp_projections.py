"""The projections of a real playground over a real Control Plane, well and unwell."""

from __future__ import annotations

import asyncio
import time
import uuid
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aitp
import pytest
import pytest_asyncio
from aiohttp import ClientSession

from aitp_playground.control_plane.options import Options
from aitp_playground.control_plane.server import Running, control_plane
from aitp_playground.service import Playground
from tests.support.playground import VARIANTS, playground_at, run

PATIENCE = 300.0
A, B, C = (aitp.AitpAgent.from_seed(letter * 32).aid for letter in (b"a", b"b", b"c"))
ANCHOR = "https://idp.example/"

pytestmark = pytest.mark.asyncio(loop_scope="module")


@dataclass(frozen=True, slots=True)
class Reported:
    """What was told to the Control Plane: a handshake of ours and one of a stranger, and a chain of delegations."""

    run_id: str
    session_id: str
    tcts: tuple[str, str]
    stranger: str
    chain: tuple[str, str]


@dataclass(frozen=True, slots=True)
class Stage:
    """A Control Plane and a playground that uses it."""

    cp: Running
    http: ClientSession

    async def get(self, path: str, **query: str) -> Any:
        async with asyncio.timeout(PATIENCE), self.http.get(path, params=query) as response:
            assert response.status == 200, await response.text()
            return await response.json()

    async def items(self, path: str, **query: str) -> list[dict[str, Any]]:
        body = await self.get(path, **query)
        items: list[dict[str, Any]] = body.pop("items")
        assert body == {"cp_enabled": True, "count": len(items)}
        return items

    async def tell(self, path: str, body: Any) -> Any:
        headers = {"Authorization": f"Bearer {self.cp.key}"}
        async with asyncio.timeout(PATIENCE), self.http.post(self.cp.url + path, json=body, headers=headers) as answer:
            assert answer.status in {200, 201}, await answer.text()
            return await answer.json()

    async def enrol(self, agent: aitp.AitpAgent) -> None:
        manifest = agent.build_manifest("Shown", "http://localhost:9/aitp/handshake/hello", ["demo.a"], ttl_secs=3600)
        async with self.http.post(f"{self.cp.url}/api/registry/enroll", data=manifest) as answer:
            token = (await answer.json())["token"]
        headers = {"Authorization": f"Bearer {token}"}
        async with self.http.post(f"{self.cp.url}/api/registry/agents", data=manifest, headers=headers) as answer:
            assert answer.status == 201, await answer.text()


def token(jti: str, issuer: str, subject: str, *, ends: int = 600) -> dict[str, Any]:
    now = int(time.time())
    claims = {"jti": jti, "iss": issuer, "sub": subject, "aud": subject, "grants": ["demo.a"], "iat": now}
    return {"claims": {**claims, "exp": now + ends}}


def handshake(run_id: str, session_id: str, tokens: list[dict[str, Any]]) -> list[dict[str, Any]]:
    shared = {"run_id": run_id, "session_id": session_id, "aid_a": A, "aid_b": B, "source": "test"}
    return [
        {**shared, "type": "handshake.started", "ts": "2026-11-22T15:00:00.000Z", "payload": {}},
        {
            **shared,
            "type": "handshake.complete",
            "ts": "2026-11-22T15:00:01.000Z",
            "grants": ["demo.a"],
            "payload": {"tcts": tokens},
        },
    ]


def delegation(jti: str, parent: str, delegator: str, delegatee: str) -> dict[str, Any]:
    payload = {"jti": jti, "parent_jti": parent, "delegator_aid": delegator, "delegatee_aid": delegatee}
    return {"type": "delegation.issued", "source": "test", "payload": payload}


async def a_run(running: Playground) -> str:
    return (await run(running, "lifecycle/act@1.0.0", inputs={"act": "echo"})).run_id


async def report(stage: Stage, run_id: str) -> Reported:
    ids = [str(uuid.uuid4()) for _ in range(5)]
    told = Reported(run_id, f"ours/{ids[0]}", (ids[0], ids[1]), ids[2], (ids[3], ids[4]))
    first, second = told.chain
    await stage.tell(
        "/api/events",
        {
            "events": [
                *handshake(run_id, told.session_id, [token(ids[0], A, B), token(ids[1], B, A, ends=-60)]),
                *handshake("another-run", f"theirs/{ids[2]}", [token(ids[2], A, C)]),
                {"type": "demo.seen", "run_id": run_id, "ts": "2026-11-22T14:00:00.000Z", "source": "test"},
                delegation(first, ids[0], B, C),
                delegation(second, first, C, A),
            ]
        },
    )
    return told


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def staged(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[tuple[Stage, Reported]]:
    settings = {"scenarios_dir": str(VARIANTS / "scenarios"), "cp_timeout_ms": 20_000}
    async with (
        control_plane(Options()) as cp,
        playground_at(
            tmp_path_factory.mktemp("projections"), cp_base_url=cp.url, cp_api_key=cp.key, **settings
        ) as running,
        ClientSession(running.url) as http,
    ):
        stage = Stage(cp, http)
        yield stage, await report(stage, await a_run(running))


@pytest.fixture
def stage(staged: tuple[Stage, Reported]) -> Iterator[Stage]:
    """The Control Plane is well again after each test."""
    yield staged[0]
    staged[0].cp.service.switches.clear()


@pytest.fixture
def told(staged: tuple[Stage, Reported]) -> Reported:
    return staged[1]


async def test_an_audit_shows_the_events_of_its_run_alone(stage: Stage, told: Reported) -> None:
    audit = await stage.get(f"/runs/{told.run_id}/cp-audit")
    assert (audit["run_id"], audit["cp_enabled"], audit["count"]) == (told.run_id, True, len(audit["events"]))
    assert {event["runId"] for event in audit["events"]} == {told.run_id}
    assert audit["event_types"] == sorted({event["type"] for event in audit["events"]})
    assert {"demo.seen", "handshake.started", "handshake.complete"} <= set(audit["event_types"])


async def test_an_audit_is_narrowed_by_type_and_limit(stage: Stage, told: Reported) -> None:
    audit = await stage.get(f"/runs/{told.run_id}/cp-audit", type="demo.seen")
    assert (audit["count"], audit["event_types"]) == (1, ["demo.seen"])
    assert (await stage.get(f"/runs/{told.run_id}/cp-audit", limit="2"))["count"] == 2
    nothing = await stage.get(f"/runs/{told.run_id}/cp-audit", type="demo.unseen")
    assert nothing == {"run_id": told.run_id, "cp_enabled": True, "events": [], "event_types": [], "count": 0}


async def test_a_run_shows_its_own_sessions_by_status(stage: Stage, told: Reported) -> None:
    path = f"/runs/{told.run_id}/cp-sessions"
    shown = await stage.get(path, status="complete")
    (session,) = shown.pop("sessions")
    assert shown == {"run_id": told.run_id, "cp_enabled": True, "count": 1}
    assert (session["sessionId"], session["status"], session["grants"]) == (told.session_id, "complete", ["demo.a"])
    assert (await stage.get(path, status="failed"))["sessions"] == []


async def test_tokens_are_found_by_every_filter(stage: Stage, told: Reported) -> None:
    there, back = told.tcts

    async def jtis(**query: str) -> set[str]:
        return {row["jti"] for row in await stage.items("/cp/tcts", **query)}

    assert await jtis() == {there, back, told.stranger}
    assert await jtis(session_id=told.session_id) == {there, back}
    assert await jtis(session_id=told.session_id, active="true") == {there}
    assert await jtis(session_id=told.session_id, active="false") == {there, back}
    assert await jtis(issuer=A, subject=B) == {there}
    assert await jtis(audience=C) == {told.stranger}
    assert await jtis(issuer=B, capability="demo.a") == {back}
    assert await jtis(capability="demo.b") == set()
    assert len(await jtis(limit="1")) == 1


async def test_delegations_are_a_tree_below_a_delegations_jti(stage: Stage, told: Reported) -> None:
    first, second = told.chain

    async def jtis(**query: str) -> list[str]:
        return [row["jti"] for row in await stage.items("/cp/delegations", **query)]

    assert await jtis(parent_jti=told.tcts[0].upper()) == [first]
    assert await jtis(root_jti=first.upper()) == [first, second]
    assert await jtis(root_jti=first.upper(), parent_jti=first.upper()) == [second]
    assert await jtis(root_jti=told.tcts[0]) == []
    assert await jtis(delegator=C, delegatee=A, active="true") == [second]


async def test_a_session_is_replayed_oldest_first_and_within_times(stage: Stage, told: Reported) -> None:
    path = f"/cp/sessions/{told.session_id.replace('/', '%2F')}/replay"

    async def types(**query: str) -> list[str]:
        return [row["type"] for row in await stage.items(path, **query)]

    assert await types() == ["handshake.started", "handshake.complete"]
    (row, _) = await stage.items(path)
    assert await types(until=row["ts"]) == ["handshake.started"]
    assert await types(since="1795359600.5") == ["handshake.complete"]
    assert await types(limit="1") == ["handshake.started"]
    assert await stage.items("/cp/sessions/nobody/replay") == []


async def test_agents_anchors_and_pins_are_listed(stage: Stage) -> None:
    await stage.enrol(aitp.AitpAgent.from_seed(b"a" * 32))
    await stage.tell("/api/trust-anchors", {"issuerUrl": ANCHOR, "namespace": "shown"})
    await stage.tell("/api/pinned-keys", {"aid": A, "pubkey": A.rpartition(":")[2], "namespace": "shown"})

    assert A in [row["aid"] for row in await stage.items("/cp/agents")]
    for path, field, value in (("/cp/trust-anchors", "issuerUrl", ANCHOR), ("/cp/pinned-keys", "aid", A)):
        assert [row[field] for row in await stage.items(path, namespace="shown")] == [value]
        assert await stage.items(path, namespace="hidden") == []
        assert len(await stage.items(path)) == 1


async def test_the_dashboard_is_of_the_window_asked_for(stage: Stage) -> None:
    for query, window in (({}, "24h"), ({"window": "1h"}, "1h"), ({"window": "30d"}, "30d")):
        board = await stage.get("/cp/dashboard", **query)
        assert (board["cp_enabled"], board["data"]["range"]) == (True, window)
        assert board["data"]["kpis"]["handshakesTotal"] >= 2


def failing(run_id: str, reason: str) -> dict[str, dict[str, Any]]:
    said = {"cp_enabled": True, "cp_error": reason}
    items = {**said, "items": [], "count": 0}
    return {
        f"/runs/{run_id}/cp-audit": {**said, "run_id": run_id, "events": [], "event_types": [], "count": 0},
        f"/runs/{run_id}/cp-sessions": {**said, "run_id": run_id, "sessions": [], "count": 0},
        "/cp/tcts": items,
        "/cp/delegations": items,
        "/cp/sessions/s/replay": items,
        "/cp/agents": items,
        "/cp/trust-anchors": items,
        "/cp/pinned-keys": items,
        "/cp/dashboard": {**said, "data": {}},
    }


@pytest.mark.parametrize(
    ("switch", "reason"),
    [
        ({"fault": "status", "status": 500}, "http_5xx"),
        ({"fault": "status", "status": 429}, "rate_limited"),
        ({"fault": "status", "status": 401}, "unauthorized"),
        ({"fault": "html"}, "not_json"),
        ({"fault": "truncate"}, "truncated"),
    ],
)
async def test_a_failing_control_plane_leaves_empty_lists_that_say_how_it_failed(
    stage: Stage, told: Reported, switch: dict[str, Any], reason: str
) -> None:
    stage.cp.service.switches.set({**switch, "method": "GET"})
    for path, empty in failing(told.run_id, reason).items():
        assert await stage.get(path) == empty
    stage.cp.service.switches.clear()
    assert "cp_error" not in await stage.get("/cp/tcts")


async def test_a_control_plane_that_never_answers_costs_one_time_out_and_nothing_else(tmp_path: Path) -> None:
    settings = {"scenarios_dir": str(VARIANTS / "scenarios"), "cp_timeout_ms": 100}
    async with (
        control_plane(Options(switches=("black_hole",))) as cp,
        playground_at(tmp_path, cp_base_url=cp.url, cp_api_key=cp.key, **settings) as running,
        ClientSession(running.url) as http,
    ):
        stage = Stage(cp, http)
        run_id = await a_run(running)
        reasons = [(await stage.get(path)).get("cp_error") for path in failing(run_id, "")]
        assert set(reasons) <= {"timeout", "breaker_open"}
        assert reasons[-1] == "breaker_open"
        ready = await stage.get("/readyz")
        assert (ready["status"], ready["control_plane"]["breaker"]) == ("ready", "open")


async def test_the_playgrounds_own_pages_are_the_same_while_the_control_plane_fails(stage: Stage) -> None:
    paths = ("/capabilities", "/healthz", "/packs", "/scenarios")
    well = [await stage.get(path) for path in paths]
    stage.cp.service.switches.set({"fault": "status", "status": 500})
    await stage.get("/cp/agents")
    assert [await stage.get(path) for path in paths] == well
