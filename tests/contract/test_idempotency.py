"""``Idempotency-Key``: the first answer again, whatever is sent, where a key counts."""

from __future__ import annotations

from typing import Any
from uuid import uuid4

import pytest

from tests.contract.agents import Agent, enroll, register
from tests.contract.wire import ControlPlane


def keyed(key: str) -> dict[str, Any]:
    return {"headers": {"Idempotency-Key": key}}


async def test_a_batch_under_one_key_is_stored_once(cp: ControlPlane, unique: str) -> None:
    batch = [{"type": "demo", "run_id": unique}]

    answers = [await cp.post("/api/events", batch, **keyed(unique)) for _ in range(3)]

    assert [answer.json() for answer in answers] == [{"ingested": 1}] * 3
    assert len(await cp.history(runId=unique)) == 1


async def test_another_body_under_the_same_key_is_silently_dropped(cp: ControlPlane, unique: str) -> None:
    await cp.post("/api/events", [{"type": "first", "run_id": unique}], **keyed(unique))
    second = await cp.post("/api/events", [{"type": "second", "run_id": unique}] * 2, **keyed(unique))

    assert second.json() == {"ingested": 1}
    assert [row["type"] for row in await cp.history(runId=unique)] == ["first"]


async def test_a_key_belongs_to_its_endpoint(cp: ControlPlane, unique: str) -> None:
    await cp.post("/api/events", [{"type": "demo", "run_id": unique}], **keyed(unique))

    anchor = await cp.post(
        "/api/trust-anchors", {"namespace": unique, "issuerUrl": "https://a.example"}, **keyed(unique)
    )
    assert anchor.json(201)["namespace"] == unique


@pytest.mark.parametrize(
    ("path", "body", "status"),
    [
        ("/api/revocation/entries", lambda name: {"jti": str(uuid4())}, 201),
        ("/api/trust-anchors", lambda name: {"namespace": name, "issuerUrl": "https://a.example"}, 201),
        ("/api/pinned-keys", lambda name: {"namespace": name, "aid": name, "pubkey": "k" * 43}, 201),
        ("/api/webhooks", lambda name: {"url": "https://example.com/hook", "active": False}, 201),
    ],
    ids=lambda part: part if isinstance(part, str) else None,
)
async def test_a_creation_under_one_key_happens_once(
    cp: ControlPlane, unique: str, path: str, body: Any, status: int
) -> None:
    first, again = [await cp.post(path, body(unique), **keyed(unique)) for _ in range(2)]

    assert first.json(status) == again.json(status)


async def test_a_refusal_sticks_to_its_key(cp: ControlPlane, unique: str) -> None:
    path = "/api/revocation/entries"
    assert (await cp.post(path, {"jti": "x"}, **keyed(unique))).refusal() == (400, "JTI_INVALID")

    mended = await cp.post(path, {"jti": str(uuid4())}, **keyed(unique))
    assert mended.refusal() == (400, "JTI_INVALID")
    assert (await cp.post(path, {"jti": str(uuid4())}, **keyed(unique + "2"))).status == 201


@pytest.mark.parametrize(
    "bad",
    [
        {"data": b"{"},
        {"json_body": [{"type": "demo"}] * 501},
        {"json_body": {"events": {}}},
        {"key": "wrong", "data": b"[]"},
    ],
    ids=["no json", "413", "500", "401"],
)
async def test_some_failures_leave_the_key_free(cp: ControlPlane, unique: str, bad: dict[str, Any]) -> None:
    assert (await cp.post("/api/events", **bad, **keyed(unique))).status >= 400

    after = await cp.post("/api/events", [{"type": "demo", "run_id": unique}], **keyed(unique))
    assert after.json() == {"ingested": 1}
    assert len(await cp.history(runId=unique)) == 1


@pytest.mark.parametrize("length", [256, 300])
async def test_a_key_too_long_is_refused(cp: ControlPlane, unique: str, length: int) -> None:
    answer = await cp.post("/api/events", [], **keyed(unique.ljust(length, "k")))

    assert answer.refusal() == (400, "IDEMPOTENCY_KEY_INVALID")
    assert (await cp.post("/api/events", [], **keyed(unique.ljust(255, "k")))).status == 200


async def test_a_registration_is_looked_up_before_its_token(cp: ControlPlane, unique: str) -> None:
    manifest = Agent(unique).manifest()
    token = await enroll(cp, manifest)
    first = await register(cp, manifest, token, Idempotency_Key=unique)
    replay = await register(cp, manifest, "nonsense", Idempotency_Key=unique)

    assert first.json(201) == replay.json(201)


async def test_a_refused_registration_sticks_to_its_key(cp: ControlPlane, unique: str) -> None:
    agent = Agent(unique)
    manifest = agent.manifest()
    expired = agent.altered(manifest, expires_at=1)
    refused = await register(cp, expired, await enroll(cp, manifest), Idempotency_Key=unique)
    mended = await register(cp, manifest, await enroll(cp, manifest), Idempotency_Key=unique)

    assert refused.refusal() == mended.refusal() == (400, "MANIFEST_EXPIRED")
