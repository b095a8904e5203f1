"""Figures for a dashboard: counted over everybody, so a test looks at differences."""

from __future__ import annotations

import re
from typing import Any

import pytest

from tests.contract.agents import Agent, registered
from tests.contract.wire import ControlPlane

OVERVIEW = "/api/dashboard/overview"


async def overview(cp: ControlPlane, range_: str = "24h") -> dict[str, Any]:
    found: dict[str, Any] = (await cp.get(OVERVIEW, range=range_)).json()
    return found


@pytest.mark.parametrize("asked", ["1h", "24h", "7d", "30d"])
async def test_a_range_is_told_back(cp: ControlPlane, asked: str) -> None:
    assert (await overview(cp, asked))["range"] == asked


@pytest.mark.parametrize("query", [{"range": "1y"}, {"range": ""}, {"window": "7d"}, {}], ids=str)
async def test_any_other_range_is_a_day(cp: ControlPlane, query: dict[str, str]) -> None:
    assert (await cp.get(OVERVIEW, **query)).json()["range"] == "24h"


async def test_an_overview_has_its_figures_sessions_and_charts(cp: ControlPlane, unique: str) -> None:
    await cp.ingest({"type": "handshake.started", "session_id": unique, "payload": {}})

    found = await overview(cp)

    assert found.keys() == {"range", "kpis", "recentSessions", "charts"}
    assert found["kpis"].keys() == {
        "agentsRegistered",
        "handshakesTotal",
        "handshakesInRange",
        "handshakesSuccessInRange",
        "capabilityInvocationsInRange",
        "activeSessions",
        "pendingWebhookDeliveries",
    }
    assert found["recentSessions"][0].keys() == {
        "sessionId",
        "aidA",
        "aidB",
        "status",
        "grants",
        "boundary",
        "startedAt",
        "completedAt",
    }
    assert found["charts"].keys() == {"handshakesByBoundary", "handshakesOverTime", "topCapabilities"}


async def test_handshakes_and_invocations_are_counted(own_cp: ControlPlane, unique: str) -> None:
    before = (await overview(own_cp))["kpis"]
    invoked = {"type": "capability.invoked", "payload": {"capability": unique}}
    await own_cp.ingest(
        {"type": "handshake.started", "session_id": "1", "payload": {"boundary": "cross_org"}},
        {"type": "handshake.complete", "session_id": "1", "payload": {}},
        {"type": "handshake.started", "session_id": "2", "payload": {}},
        invoked,
        {**invoked, "ts": "2020-01-01T00:00:00Z"},
    )
    after = await overview(own_cp)

    grown = {name: after["kpis"][name] - before[name] for name in before}
    assert grown == {
        "agentsRegistered": 0,
        "handshakesTotal": 2,
        "handshakesInRange": 2,
        "handshakesSuccessInRange": 1,
        "capabilityInvocationsInRange": 1,
        "activeSessions": 1,
        "pendingWebhookDeliveries": 0,
    }
    charts = after["charts"]
    boundaries = {chart["boundary"]: chart["count"] for chart in charts["handshakesByBoundary"]}
    assert boundaries == {"cross_org": 1, "unknown": 1}
    assert sum(chart["count"] for chart in charts["handshakesOverTime"]) == 3
    assert charts["topCapabilities"] == [{"capability": unique, "count": 1}]


async def test_an_agent_is_credited_with_its_handshakes_and_calls(cp: ControlPlane, unique: str) -> None:
    agent = Agent(unique)
    await registered(cp, agent)
    await cp.ingest(
        {"type": "handshake.started", "session_id": f"{unique}-1", "aid_a": agent.aid, "aid_b": "x", "payload": {}},
        {"type": "handshake.started", "session_id": f"{unique}-2", "aid_a": "x", "aid_b": agent.aid, "payload": {}},
        {"type": "handshake.started", "session_id": f"{unique}-3", "aid_a": "x", "aid_b": agent.aid, "payload": {}},
        {"type": "capability.invoked", "aid_a": agent.aid, "aid_b": "x", "payload": {"capability": "c"}},
        {"type": "capability.invoked", "aid_a": "x", "aid_b": agent.aid, "payload": {"capability": "c"}},
    )

    rows = (await cp.get("/api/dashboard/agents")).json()["agents"]
    (row,) = (row for row in rows if row["aid"] == agent.aid)

    assert row.pop("registeredAt")
    assert row.pop("lastSeenAt")
    assert row == {
        "aid": agent.aid,
        "displayName": unique,
        "status": "active",
        "handshakesAsInitiator": 1,
        "handshakesAsResponder": 2,
        "capabilityInvocations": 1,
    }


async def test_agents_that_left_stay_on_the_dashboard(cp: ControlPlane, unique: str) -> None:
    agent = Agent(unique)
    await registered(cp, agent)
    await cp.delete(f"/api/registry/agents/{agent.aid}")

    rows = (await cp.get("/api/dashboard/agents")).json()["agents"]
    assert [row["status"] for row in rows if row["aid"] == agent.aid] == ["deregistered"]


@pytest.mark.parametrize(
    ("asked", "bucket"),
    [("1h", r".*:\d\d:00\+00"), ("24h", r".*:00:00\+00"), ("7d", r".* 00:00:00\+00"), ("30d", r".* 00:00:00\+00")],
)
async def test_handshakes_are_counted_by_minute_hour_or_day(cp: ControlPlane, asked: str, bucket: str) -> None:
    await cp.ingest({"type": "handshake.started", "payload": {}})

    buckets = (await overview(cp, asked))["charts"]["handshakesOverTime"]
    assert buckets
    assert all(re.fullmatch(bucket, found["bucket"]) and found["count"] for found in buckets)
