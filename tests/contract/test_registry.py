"""Discovery: who is listed, in which order, with which fields; and leaving."""

from __future__ import annotations

import json
from typing import Any
from urllib.parse import quote

import aitp
import pytest

from tests.contract.agents import Agent, enroll, listed, register, registered
from tests.contract.wire import POSTGRES_TIME, ControlPlane


def names(agents: list[dict[str, Any]]) -> list[str]:
    return [agent["displayName"] for agent in agents]


async def test_a_registered_agent_is_discovered_with_all_fields(cp: ControlPlane, unique: str) -> None:
    agent = Agent(f"n-{unique}", "demo", f"demo.{unique}", endpoint=f"http://localhost:1/{unique}/aitp/handshake/hello")
    await registered(cp, agent, namespace=unique)

    (found,) = await listed(cp, capability=f"demo.{unique}")

    registered_at, enrolled_at = found.pop("registeredAt"), found.pop("lastEnrolledAt")
    assert POSTGRES_TIME.fullmatch(registered_at)
    assert POSTGRES_TIME.fullmatch(enrolled_at)
    assert found == {
        "aid": agent.aid,
        "displayName": f"n-{unique}",
        "handshakeEndpoint": agent.endpoint,
        "offeredCaps": ["demo", f"demo.{unique}"],
        "status": "active",
        "namespace": unique,
        "lastSeenAt": None,
        "manifestUrl": f"/api/registry/agents/{quote(agent.aid, safe='')}/manifest",
        "agentManifestHint": found["agentManifestHint"],
    }
    assert found["agentManifestHint"].endswith("/.well-known/aitp-manifest")


async def test_a_capability_is_one_whole_case_sensitive_string(cp: ControlPlane, unique: str) -> None:
    await registered(cp, Agent(unique, f"demo.{unique}.read"))

    assert names(await listed(cp, capability=f"demo.{unique}.read")) == [unique]
    for other in (f"demo.{unique}", f"DEMO.{unique}.read", f"demo.{unique}.*", f"demo.{unique}.read,x"):
        assert await listed(cp, capability=other) == []


async def test_of_repeated_parameters_the_first_counts(cp: ControlPlane, unique: str) -> None:
    await registered(cp, Agent(unique, f"one.{unique}"))

    both = f"capability=one.{unique}&capability=two.{unique}"
    swapped = f"capability=two.{unique}&capability=one.{unique}"
    assert len((await cp.get(f"/api/registry/agents?{both}")).json()["agents"]) == 1
    assert (await cp.get(f"/api/registry/agents?{swapped}")).json()["agents"] == []


async def test_an_empty_capability_lists_every_agent(cp: ControlPlane, unique: str) -> None:
    await registered(cp, Agent(unique), namespace=unique)

    assert names(await listed(cp, capability="", namespace=unique)) == [unique]


@pytest.mark.parametrize("name", ["displayName", "display_name"])
async def test_agents_are_found_by_name(cp: ControlPlane, unique: str, name: str) -> None:
    await registered(cp, Agent(unique))

    assert names(await listed(cp, **{name: unique})) == [unique]
    assert await listed(cp, **{name: unique[:-1]}) == []


async def test_agents_are_found_by_aid(cp: ControlPlane, unique: str) -> None:
    agent = Agent(unique)
    await registered(cp, agent)

    assert names(await listed(cp, aid=agent.aid)) == [unique]


async def test_the_first_registered_comes_first_and_registering_again_moves_nobody(
    cp: ControlPlane, unique: str
) -> None:
    older, newer = Agent("older"), Agent("newer")
    await registered(cp, older, namespace=unique)
    await registered(cp, newer, namespace=unique)
    before = await listed(cp, namespace=unique)
    await registered(cp, older, namespace=unique)
    after = await listed(cp, namespace=unique)

    assert names(before) == names(after) == ["older", "newer"]
    assert after[0]["registeredAt"] == before[0]["registeredAt"]
    assert after[0]["lastEnrolledAt"] != before[0]["lastEnrolledAt"]


async def test_pages_of_agents_follow_one_another(cp: ControlPlane, unique: str) -> None:
    for name in ("a", "b", "c"):
        await registered(cp, Agent(name), namespace=unique)

    assert names(await listed(cp, namespace=unique, limit=2)) == ["a", "b"]
    assert names(await listed(cp, namespace=unique, limit=2, offset=2)) == ["c"]


async def test_status_is_no_filter(cp: ControlPlane, unique: str) -> None:
    await registered(cp, Agent(unique), namespace=unique)

    assert names(await listed(cp, namespace=unique, status="deregistered")) == [unique]


async def test_the_manifest_is_kept_as_it_was_registered(cp: ControlPlane, unique: str) -> None:
    agent = Agent(unique)
    manifest = await registered(cp, agent)

    (found,) = await listed(cp, aid=agent.aid, include_manifest="true")
    assert json.loads(found["manifestJson"]) == json.loads(manifest)
    aitp.verify_manifest_json(found["manifestJson"])
    raw = await cp.get(f"/api/registry/agents/{quote(agent.aid, safe='')}/manifest", key=None)
    aitp.verify_manifest_json(raw.body.decode())
    assert "manifestJson" not in (await listed(cp, aid=agent.aid))[0]


async def test_a_manifest_changed_after_enrolment_is_served_as_a_forgery(cp: ControlPlane, unique: str) -> None:
    agent = Agent(unique)
    manifest = agent.manifest()
    changed = agent.altered(manifest, handshake_endpoint=f"http://localhost:2/{unique}", offered_capabilities=[unique])

    assert (await register(cp, changed, await enroll(cp, manifest))).status == 201

    (found,) = await listed(cp, capability=unique, include_manifest="true")
    assert found["handshakeEndpoint"] == f"http://localhost:2/{unique}"
    with pytest.raises(aitp.ManifestVerificationError) as refused:
        aitp.verify_manifest_json(found["manifestJson"])
    assert refused.value.code == "signature_invalid"


async def test_an_agent_was_seen_when_an_event_names_it(cp: ControlPlane, unique: str) -> None:
    agent = Agent(unique)
    await registered(cp, agent)
    await cp.ingest({"type": "demo", "aid_b": agent.aid})

    (found,) = await listed(cp, aid=agent.aid)
    assert POSTGRES_TIME.fullmatch(found["lastSeenAt"])


async def test_one_agent_is_shown_with_fewer_fields_for_thirty_seconds(cp: ControlPlane, unique: str) -> None:
    agent = Agent(unique)
    await registered(cp, agent)

    answer = await cp.get(f"/api/registry/agents/{quote(agent.aid, safe='')}", key=None)

    assert answer.headers["Cache-Control"] == "public, max-age=30"
    shown = answer.json()
    assert shown["aid"] == agent.aid
    assert shown["status"] == "active"
    assert not shown.keys() & {"namespace", "lastEnrolledAt", "agentManifestHint"}


@pytest.mark.parametrize("tail", ["", "/manifest"])
async def test_an_agent_nobody_registered_is_not_found(cp: ControlPlane, unique: str, tail: str) -> None:
    assert (await cp.get(f"/api/registry/agents/aid:pubkey:{unique}{tail}", key=None)).refusal() == (404, "NOT_FOUND")


async def test_who_is_deregistered_is_no_longer_listed_but_still_shown(cp: ControlPlane, unique: str) -> None:
    agent = Agent(unique)
    await registered(cp, agent)
    path = f"/api/registry/agents/{quote(agent.aid, safe='')}"

    for _ in range(2):
        assert (await cp.delete(path)).json() == {"aid": agent.aid, "status": "deregistered"}

    assert await listed(cp, aid=agent.aid) == []
    assert (await cp.get(path)).json()["status"] == "deregistered"
    assert len(await cp.history(aid=agent.aid, type="agent.deregistered")) == 2


async def test_registering_again_revives_the_deregistered(cp: ControlPlane, unique: str) -> None:
    agent = Agent(unique)
    await registered(cp, agent)
    assert (await cp.delete(f"/api/registry/agents/{quote(agent.aid, safe='')}")).status == 200

    await registered(cp, agent)

    assert names(await listed(cp, aid=agent.aid)) == [unique]


async def test_registering_again_without_namespace_moves_the_agent_to_default(cp: ControlPlane, unique: str) -> None:
    agent = Agent(unique)
    await registered(cp, agent, namespace=unique)
    await registered(cp, agent)

    assert [found["namespace"] for found in await listed(cp, aid=agent.aid)] == ["default"]


async def test_a_namespace_may_stand_in_the_manifest_and_the_header_goes_before_it(
    cp: ControlPlane, unique: str
) -> None:
    agent = Agent(unique)
    manifest = agent.manifest()
    extended = agent.altered(manifest, extensions={"namespace": f"m-{unique}"})

    assert (await register(cp, extended, await enroll(cp, manifest))).status == 201
    assert [found["namespace"] for found in await listed(cp, aid=agent.aid)] == [f"m-{unique}"]

    token = await enroll(cp, manifest)
    assert (await register(cp, extended, token, X_Aitp_Namespace=f"h-{unique}")).status == 201
    assert [found["namespace"] for found in await listed(cp, aid=agent.aid)] == [f"h-{unique}"]


async def test_an_agent_is_exported_as_a_file(cp: ControlPlane, unique: str) -> None:
    agent = Agent(unique)
    await registered(cp, agent)

    exported = await cp.get(f"/api/registry/agents/{quote(agent.aid, safe='')}/export")

    assert exported.headers["Content-Disposition"].startswith("attachment;")
    assert agent.aid in exported.body.decode()
    assert exported.json()
