"""The audit log: admin actions, without who did them."""

from __future__ import annotations

from typing import Any

from tests.contract.wire import POSTGRES_TIME, ControlPlane


async def audited(cp: ControlPlane, request_id: str) -> list[dict[str, Any]]:
    """The entries of this request."""
    found = (await cp.get("/api/audit", limit=1000)).json()
    assert found["count"] == len(found["entries"])
    return [entry for entry in found["entries"] if entry["requestId"] == request_id]


async def test_an_admin_action_is_audited_under_its_request_id(cp: ControlPlane, unique: str) -> None:
    body = {"namespace": unique, "issuerUrl": "https://idp.example/"}
    made = (await cp.post("/api/trust-anchors", body, headers={"X-Request-Id": unique})).json(201)

    (entry,) = await audited(cp, unique)

    assert entry.keys() == {"id", "action", "actorId", "targetId", "details", "requestId", "createdAt"}
    assert "anchor" in entry["action"]
    assert entry["targetId"] == made["id"]
    assert entry["actorId"] is None
    assert POSTGRES_TIME.fullmatch(entry["createdAt"])


async def test_events_are_no_admin_action(cp: ControlPlane, unique: str) -> None:
    await cp.post("/api/events", [{"type": "demo"}], headers={"X-Request-Id": unique})

    assert await audited(cp, unique) == []


async def test_a_patched_secret_is_written_in_clear(cp: ControlPlane, unique: str) -> None:
    created = await cp.post("/api/webhooks", {"url": "https://example.com/hook", "events": ["never"]})
    hook = created.json(201)["id"]
    headers = {"X-Request-Id": unique}
    await cp.patch(f"/api/webhooks/{hook}", {"secret": f"s-{unique}"}, headers=headers)
    await cp.delete(f"/api/webhooks/{hook}", headers=headers)

    deleted, patched = await audited(cp, unique)

    assert (deleted["action"], deleted["targetId"], deleted["details"]) == ("webhook.delete", hook, {})
    assert f"s-{unique}" in str(patched["details"])


async def test_other_filters_are_ignored_and_pages_follow(cp: ControlPlane) -> None:
    await cp.post("/api/trust-anchors", {"issuerUrl": "https://idp.example/"})

    one = (await cp.get("/api/audit", limit="1", action="no.such.action")).json()
    assert one["count"] == 1
