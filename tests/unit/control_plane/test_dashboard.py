"""The console's figures, over HTTP."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from tests.unit.control_plane.asking import Plane, manifest
from tests.unit.control_plane.serving import Served, serving

#: 2026-11-22 15:50:43 UTC.
NOW = 1795362643.0


@pytest.fixture
async def cp(tmp_path: Path) -> AsyncIterator[Served]:
    async with serving(tmp_path) as served:
        served.stop_the_clock().now = NOW
        yield served


def invoked(capability: str, ts: float = NOW, **fields: Any) -> dict[str, Any]:
    return {"type": "capability.invoked", "ts": ts, "payload": {"capability": capability}, **fields}


async def test_a_new_control_plane_counts_nothing(cp: Served) -> None:
    overview = await cp.get("/api/dashboard/overview")
    assert set(overview["kpis"].values()) == {0}
    assert overview["recentSessions"] == []
    assert overview["charts"] == {"handshakesByBoundary": [], "handshakesOverTime": [], "topCapabilities": []}


async def test_handshakes_are_counted_by_session_and_charted_by_event(cp: Served) -> None:
    await cp.ingest(
        {"type": "handshake.started", "session_id": "good", "payload": {"boundary": "internal"}},
        {"type": "handshake.complete", "session_id": "good", "grants": ["g"]},
        {"type": "handshake.started", "session_id": "open"},
    )
    overview = await cp.get("/api/dashboard/overview")
    kpis = overview["kpis"]
    assert (kpis["handshakesTotal"], kpis["handshakesInRange"]) == (2, 2)
    assert (kpis["handshakesSuccessInRange"], kpis["activeSessions"]) == (1, 1)
    charts = overview["charts"]
    assert charts["handshakesByBoundary"] == [
        {"boundary": "internal", "count": 1},
        {"boundary": "unknown", "count": 1},
    ]
    assert charts["handshakesOverTime"] == [{"bucket": "2026-11-22 15:00:00+00", "count": 3}]
    assert [row["sessionId"] for row in overview["recentSessions"]] == ["open", "good"]
    assert overview["recentSessions"][1]["grants"] == ["g"]


@pytest.mark.parametrize(
    ("asked", "range_", "bucket", "count"),
    [
        ({"range": "1h"}, "1h", "2026-11-22 15:50:00+00", 1),
        ({"range": "7d"}, "7d", "2026-11-22 00:00:00+00", 3),
        ({"range": "30d"}, "30d", "2026-11-22 00:00:00+00", 3),
        ({"window": "7d"}, "24h", "2026-11-22 15:00:00+00", 2),
        ({"range": "2h"}, "24h", "2026-11-22 15:00:00+00", 2),
    ],
)
async def test_a_range_says_how_far_back_and_how_finely(
    cp: Served, asked: dict[str, str], range_: str, bucket: str, count: int
) -> None:
    await cp.ingest(
        invoked("demo"),
        invoked("demo", ts=NOW - 7200),
        invoked("demo", ts=NOW - 3 * 86_400),
        {"type": "handshake.started", "ts": NOW, "session_id": "s"},
    )
    overview = await cp.get("/api/dashboard/overview", **asked)
    assert overview["range"] == range_
    assert overview["charts"]["handshakesOverTime"] == [{"bucket": bucket, "count": 1}]
    assert overview["charts"]["topCapabilities"] == [{"capability": "demo", "count": count}]
    assert overview["kpis"]["capabilityInvocationsInRange"] == count


async def test_a_webhook_delivery_that_waits_is_counted(cp: Served) -> None:
    status, _ = await cp.call("POST", "/api/webhooks", {"url": "http://127.0.0.1:9/", "events": ["handshake.failed"]})
    assert status == 201
    await cp.ingest({"type": "handshake.failed"}, {"type": "handshake.complete"})
    assert (await cp.get("/api/dashboard/overview"))["kpis"]["pendingWebhookDeliveries"] == 1


async def test_registered_agents_are_listed_with_their_counts_and_strangers_are_not(cp: Served) -> None:
    plane = Plane(cp.running)
    aid, text = manifest()
    cp.running.service.clock = time.time
    assert (await plane.register(text, await plane.enroll(text))).status == 201
    cp.stop_the_clock().now = NOW
    await cp.ingest(
        {"type": "handshake.started", "session_id": "1", "aidA": aid, "aidB": "aid:x"},
        {"type": "handshake.started", "session_id": "2", "aidA": "aid:x", "aidB": aid},
        {"type": "handshake.started", "session_id": "3", "aidA": "aid:y", "aidB": aid},
        invoked("demo", aid_a=aid, aid_b="aid:x"),
        invoked("demo", aid_a="aid:x", aid_b=aid),
    )
    (row,) = (await cp.get("/api/dashboard/agents"))["agents"]
    counts = ("handshakesAsInitiator", "handshakesAsResponder", "capabilityInvocations")
    assert (row["aid"], *(row[name] for name in counts)) == (aid, 1, 2, 1)
    assert row["lastSeenAt"] == "2026-11-22 15:50:43+00"
    assert (await cp.get("/api/dashboard/overview"))["kpis"]["agentsRegistered"] == 1
