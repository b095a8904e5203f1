"""Agents whose manifests run out."""

from __future__ import annotations

import asyncio
from typing import Any

from tests.unit.control_plane.asking import Plane, manifest


async def _joined(plane: Plane) -> str:
    aid, text = manifest(ttl=400)
    assert (await plane.register(text, await plane.enroll(text))).status == 201
    return aid


async def test_an_expired_agent_leaves_discovery_at_once_but_reads_active_until_the_sweep(plane: Plane) -> None:
    aid = await _joined(plane)
    plane.skip(401)
    assert (await plane.ask("GET", "/api/registry/agents")).json == {"agents": []}
    assert (await plane.agent(aid))["status"] == "active"


async def test_the_sweep_marks_expired_agents_and_says_so_once(start: Any) -> None:
    plane: Plane = await start(time_scale=1e-5)
    aid = await _joined(plane)
    other, text = manifest(ttl=7200)
    await plane.register(text, await plane.enroll(text))
    expired: asyncio.Queue[dict[str, Any]] = asyncio.Queue()
    plane.service.bus.subscribe(lambda event: expired.put_nowait(event) if event["type"] == "agent.expired" else None)
    plane.skip(401)
    await plane.ask("POST", "/api/events", [])
    event = await asyncio.wait_for(expired.get(), 300)
    assert event["aidA"] == aid
    assert (await plane.agent(aid))["status"] == "expired"
    assert (await plane.agent(other))["status"] == "active"
    plane.skip(7200)
    assert (await asyncio.wait_for(expired.get(), 300))["aidA"] == other, "the first is not told of again"


async def test_the_sweep_waits_for_the_first_ingest(start: Any) -> None:
    plane: Plane = await start(time_scale=1e-5)
    aid = await _joined(plane)
    plane.skip(401)
    for _ in range(20):
        assert (await plane.agent(aid))["status"] == "active"
    swept = asyncio.Event()
    plane.service.bus.subscribe(lambda event: swept.set() if event["type"] == "agent.expired" else None)
    await plane.ask("POST", "/api/events", [])
    await asyncio.wait_for(swept.wait(), 300)


async def test_registering_again_revives_an_expired_agent_in_its_old_place(start: Any) -> None:
    plane: Plane = await start()
    aid, text = manifest(ttl=400, name="older")
    await plane.register(text, await plane.enroll(text))
    newer, other = manifest(name="newer")
    await plane.register(other, await plane.enroll(other))
    await plane.service.db.write(
        lambda conn: conn.execute("UPDATE agents SET status = 'expired' WHERE aid = ?", (aid,))
    )
    await plane.register(text, await plane.enroll(text))
    listed = (await plane.ask("GET", "/api/registry/agents")).json["agents"]
    assert [agent["aid"] for agent in listed] == [aid, newer]
