"""Enrolling and registering: the manifest is the proof, the token is good once."""

from __future__ import annotations

import re
import time
from typing import Any

import pytest

from tests.contract.agents import Agent, enroll, listed, register, registered
from tests.contract.wire import ISO_TIME, ControlPlane


async def test_an_enrolment_gives_a_token_for_five_minutes(cp: ControlPlane, unique: str) -> None:
    agent = Agent(unique)

    found = (await cp.post("/api/registry/enroll", data=agent.manifest(), key=None)).json()

    assert re.fullmatch(r"[\w-]+\.[\w-]+", found.pop("token"))
    assert found == {"expiresIn": 300, "aid": agent.aid}


async def test_a_registration_tells_when_and_is_an_event(cp: ControlPlane, unique: str) -> None:
    agent = Agent(unique)
    manifest = agent.manifest()

    found = (await register(cp, manifest, await enroll(cp, manifest))).json(201)

    assert ISO_TIME.fullmatch(found.pop("registeredAt"))
    assert found == {"aid": agent.aid, "displayName": unique}
    (event,) = await cp.history(aid=agent.aid, type="agent.registered")
    assert event["source"] == "cp"
    assert "aid" not in event["payload"]


async def test_p256_identities_are_accepted(cp: ControlPlane, unique: str) -> None:
    agent = Agent(unique, suite="p256")
    await registered(cp, agent)

    assert agent.aid.startswith("aid:pubkey:p256:")
    assert len(await listed(cp, aid=agent.aid)) == 1


@pytest.mark.parametrize(("ttl", "status"), [(-10, 400), (299, 400), (300, 400), (330, 200)])
async def test_a_manifest_must_live_longer_than_a_token(cp: ControlPlane, unique: str, ttl: int, status: int) -> None:
    answer = await cp.post("/api/registry/enroll", data=Agent(unique).manifest(ttl), key=None)

    assert answer.status == status
    if status == 400:
        assert answer.refusal() == (400, "MANIFEST_INVALID")


@pytest.mark.parametrize("changes", [{"display_name": "other"}, {"surprise": 1}, {"signature": "AAAA"}, {"aid": None}])
async def test_a_manifest_that_does_not_verify_is_refused(
    cp: ControlPlane, unique: str, changes: dict[str, Any]
) -> None:
    agent = Agent(unique)

    answer = await cp.post("/api/registry/enroll", data=agent.altered(agent.manifest(), **changes), key=None)

    assert answer.refusal() == (400, "MANIFEST_INVALID")


@pytest.mark.parametrize(
    ("raw", "code"), [(b"{}", "MANIFEST_INVALID"), (b"[]", "MANIFEST_INVALID"), (b"{", "BODY_INVALID")]
)
async def test_what_is_no_manifest_is_refused(cp: ControlPlane, raw: bytes, code: str) -> None:
    assert (await cp.post("/api/registry/enroll", data=raw, key=None)).refusal() == (400, code)


@pytest.mark.parametrize("token", ["nonsense", "a.b"])
async def test_a_token_that_is_none_is_refused(cp: ControlPlane, unique: str, token: str) -> None:
    assert (await register(cp, Agent(unique).manifest(), token)).refusal() == (401, "TOKEN_INVALID")


async def test_a_bare_token_is_taken(cp: ControlPlane, unique: str) -> None:
    manifest = Agent(unique).manifest()
    bare = {"Authorization": await enroll(cp, manifest)}

    assert (await cp.post("/api/registry/agents", data=manifest, key=None, headers=bare)).status == 201


async def test_without_a_token_nobody_registers(cp: ControlPlane, unique: str) -> None:
    assert (await cp.post("/api/registry/agents", data=Agent(unique).manifest(), key=None)).status == 401


async def test_the_api_key_is_no_token(cp: ControlPlane, unique: str) -> None:
    answer = await cp.post("/api/registry/agents", data=Agent(unique).manifest())

    assert answer.refusal() == (401, "TOKEN_INVALID")


async def test_a_token_serves_its_own_agent_alone(cp: ControlPlane, unique: str) -> None:
    token = await enroll(cp, Agent(unique).manifest())

    assert (await register(cp, Agent("other").manifest(), token)).refusal() == (401, "TOKEN_INVALID")


async def test_a_token_is_good_once(cp: ControlPlane, unique: str) -> None:
    manifest = Agent(unique).manifest()
    token = await enroll(cp, manifest)

    assert (await register(cp, manifest, token)).status == 201
    assert (await register(cp, manifest, token)).refusal() == (401, "TOKEN_REPLAYED")


async def test_a_registration_that_fails_late_has_spent_the_token(cp: ControlPlane, unique: str) -> None:
    agent = Agent(unique)
    manifest = agent.manifest()
    token = await enroll(cp, manifest)

    broken = await register(cp, agent.altered(manifest, handshake_endpoint=None), token)

    assert (broken.status, broken.body) == (500, b"")
    assert (await register(cp, manifest, token)).refusal() == (401, "TOKEN_REPLAYED")


@pytest.mark.parametrize("left", [-1_000_000_000, 1, 295])
async def test_a_registered_manifest_must_live_for_five_minutes_more(cp: ControlPlane, unique: str, left: int) -> None:
    agent = Agent(unique)
    manifest = agent.manifest()
    token = await enroll(cp, manifest)

    short = agent.altered(manifest, expires_at=int(time.time()) + left)
    assert (await register(cp, short, token)).refusal() == (400, "MANIFEST_EXPIRED")
    assert (await register(cp, manifest, token)).refusal() == (401, "TOKEN_REPLAYED")


async def test_a_namespace_over_128_letters_is_an_empty_500(cp: ControlPlane, unique: str) -> None:
    manifest = Agent(unique).manifest()

    answer = await register(cp, manifest, await enroll(cp, manifest), X_Aitp_Namespace="n" * 129)

    assert (answer.status, answer.body) == (500, b"")


async def test_registering_the_literal_null_is_an_empty_500(cp: ControlPlane, unique: str) -> None:
    answer = await register(cp, "null", await enroll(cp, Agent(unique).manifest()))

    assert (answer.status, answer.body) == (500, b"")


async def test_a_manifest_that_is_no_json_is_refused_in_words_of_its_own(cp: ControlPlane, unique: str) -> None:
    token = await enroll(cp, Agent(unique).manifest())

    for refused in (await cp.post("/api/registry/enroll", data=b"{", key=None), await register(cp, "{", token)):
        assert refused.json(400)["code"] == "BODY_INVALID"
        assert refused.json(400)["error"] != "body must be JSON"
