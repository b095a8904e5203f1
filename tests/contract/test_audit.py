"""The audit log: admin actions, without who did them."""

from __future__ import annotations

from typing import Any
from uuid import uuid4

from tests.contract.agents import Agent, enroll
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


async def test_actions_have_these_names(cp: ControlPlane, unique: str) -> None:
    told = {"X-Request-Id": unique}
    agent = Agent(unique)
    manifest = agent.manifest()
    token = await enroll(cp, manifest)
    await cp.post("/api/registry/agents", data=manifest, key=token, headers=told)
    made = (await cp.post("/api/trust-anchors", {"issuerUrl": f"https://{unique}.example"}, headers=told)).json(201)
    await cp.delete(f"/api/trust-anchors/{made['id']}", headers=told)
    pin = {"namespace": unique, "aid": agent.aid, "pubkey": agent.aid.removeprefix("aid:pubkey:")}
    await cp.post("/api/pinned-keys", pin, headers=told)
    await cp.post("/api/revocation/entries", {"jti": str(uuid4())}, headers=told)
    await cp.post(f"/api/webhooks/{uuid4()}/circuit-breaker/reset", headers=told)

    actions = [entry["action"] for entry in reversed(await audited(cp, unique))]

    assert [action.partition(".")[0] for action in actions[1:4]] == ["trust-anchor", "trust-anchor", "pinned-key"]
    assert actions[:1] + actions[4:] == ["agent.register", "revocation.add", "webhook.circuit-breaker.reset"]
