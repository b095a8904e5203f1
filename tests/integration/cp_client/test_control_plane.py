"""The client against the development Control Plane: its routes, its traps and its misbehaviour, over real sockets."""

from __future__ import annotations

import asyncio
import time
import uuid
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import aitp
import pytest

from aitp_playground.config import Settings
from aitp_playground.control_plane.options import Options
from aitp_playground.control_plane.server import Running, control_plane
from aitp_playground.cp_client import CpClient
from aitp_playground.cp_client.breaker import Breaker
from aitp_playground.net import client_session

A, B = aitp.AitpAgent.from_seed(b"a" * 32), aitp.AitpAgent.from_seed(b"b" * 32)
REST = "aid:pubkey:"


@pytest.fixture
async def cp() -> AsyncIterator[Running]:
    async with control_plane(Options()) as running:
        yield running


@pytest.fixture
async def client(cp: Running, tmp_path: Path) -> AsyncIterator[CpClient]:
    def breaker(probe: Any, **more: Any) -> Breaker:
        return Breaker(probe, sleep=lambda _: asyncio.sleep(0), **more)

    settings = Settings.load(
        _env_file=None, state_dir=tmp_path, cp_base_url=f"{cp.url}/api/", cp_api_key=cp.key, cp_timeout_ms=20_000
    )
    async with client_session() as http:
        one = CpClient(settings, http, breaker=breaker)
        yield one
        await one.close()


def token(jti: str) -> dict[str, Any]:
    now = int(time.time())
    claims = {"jti": jti, "iss": A.aid, "sub": B.aid, "aud": B.aid, "grants": ["demo.a"], "iat": now, "exp": now + 600}
    return {"token": "t", "claims": claims}


def handshake(run_id: str, session_id: str, jti: str) -> list[dict[str, Any]]:
    shared = {"run_id": run_id, "session_id": session_id, "aid_a": A.aid, "aid_b": B.aid, "source": "test"}
    return [
        {**shared, "type": "handshake.started", "ts": "2026-11-22T15:00:00.000Z", "payload": {}},
        {
            **shared,
            "type": "handshake.complete",
            "ts": "2026-11-22T15:00:01.000Z",
            "grants": ["demo.a"],
            "payload": {"tcts": [token(jti)]},
        },
    ]


async def test_what_was_ingested_is_read_back_through_every_projection(client: CpClient) -> None:
    run_id, session_id, jti = "run-1", "s/1", str(uuid.uuid4())
    batch = handshake(run_id, session_id, jti)
    outcome = await client.ingest_events.outcome(batch, idempotency_key="k")
    assert (outcome.value.fate, outcome.value.count, outcome.reason) == ("stored", 2, None)

    history = await client.fetch_events_history(run_id=run_id, since=0.0, until="2030-01-01T00:00:00+00:00")
    assert [row["type"] for row in history] == ["handshake.complete", "handshake.started"]
    assert [row["sessionId"] for row in await client.fetch_sessions(run_id=run_id, status="complete")] == [session_id]
    assert [row["type"] for row in await client.replay_session(session_id)] == [one["type"] for one in batch]
    assert [row["jti"] for row in await client.fetch_tcts(session_id=session_id, issuer=A.aid, active=True)] == [jti]
    assert await client.fetch_tcts(session_id="s/2") == []
    overview = await client.fetch_dashboard_overview("1h")
    assert (overview["range"], overview["kpis"]["handshakesTotal"]) == ("1h", 1)


async def test_a_batch_sent_twice_under_its_key_is_stored_once(client: CpClient) -> None:
    for _ in range(2):
        assert (await client.ingest_events([{"type": "x", "run_id": "r"}], idempotency_key="k")).fate == "stored"
    assert len(await client.fetch_events_history(run_id="r")) == 1


async def test_a_batch_over_the_limit_is_known_not_to_be_stored(client: CpClient) -> None:
    outcome = await client.ingest_events.outcome([{"type": "x", "run_id": "r"}] * 501)
    assert (outcome.value.fate, outcome.reason, outcome.status) == ("not_stored", "http_4xx", 413)
    assert await client.fetch_events_history(run_id="r") == []


async def test_a_revocation_appears_on_the_list_that_verifies_against_the_pin(client: CpClient, cp: Running) -> None:
    jti = str(uuid.uuid4())
    assert await client.fetch_revocation_list() == []
    assert await client.publish_revocation(jti.upper(), "lost")
    assert [(one["jti"], one["reason"]) for one in await client.fetch_revocation_list()] == [(jti, "lost")]
    assert await client.pinned_aid() == cp.aid


@pytest.mark.parametrize("how", ["tampered", "foreign", "stale"])
async def test_a_forged_list_is_refused(how: str, client: CpClient, cp: Running) -> None:
    await client.publish_revocation(str(uuid.uuid4()))
    cp.service.switches.set({"fault": "forged_list", "how": how, "calls": 1})
    outcome = await client.fetch_revocation_list.outcome()
    assert (outcome.value, outcome.reason) == ([], "list_unverified")
    assert len(await client.fetch_revocation_list()) == 1


async def test_a_webhook_is_made_and_deleted_and_gone_is_as_good_as_deleted(client: CpClient) -> None:
    hook = await client.create_webhook("http://127.0.0.1:9/hook", ["tct.revoked"], "s" * 32)
    assert hook is not None
    assert "secret" not in hook
    assert [await client.delete_webhook(hook["id"]) for _ in range(2)] == [True, True]


async def test_an_anchor_upserted_twice_is_one_anchor_with_the_latest_label(client: CpClient) -> None:
    for label in ("first", "second", "second"):
        anchor = await client.upsert_trust_anchor("https://idp.example", namespace="pack", label=label)
        assert anchor is not None
        assert anchor["label"] == label
    assert [row["label"] for row in await client.list_trust_anchors("pack")] == ["second"]
    assert await client.list_trust_anchors("other") == []


async def test_callers_who_upsert_one_anchor_together_all_succeed(client: CpClient) -> None:
    """All look first and find nothing; the POSTs of all but one meet the bare 500 of a conflict."""
    outcomes = await asyncio.gather(
        *(client.upsert_trust_anchor.outcome("https://idp.example", label=f"l{n}") for n in range(8))
    )
    assert {one.reason for one in outcomes} == {None}
    assert len(await client.list_trust_anchors()) == 1


async def test_a_pinned_key_is_read_back_in_its_namespace(client: CpClient) -> None:
    key = A.aid.removeprefix(REST)
    row = await client.upsert_pinned_key(A.aid, key, namespace="pack", label="agent", expires_at=time.time() + 60)
    assert row is not None
    (listed,) = await client.list_pinned_keys("pack")
    assert (listed["aid"], listed["pubkey"], listed["label"]) == (A.aid, key, "agent")
    assert listed["expiresAt"]


async def test_an_agent_that_enrolled_is_discovered_with_its_signed_manifest(client: CpClient, cp: Running) -> None:
    manifest = A.build_manifest("a", "http://localhost:1/aitp/handshake/hello", ["demo.a"], ttl_secs=3600)
    async with client_session() as http:
        async with http.post(f"{cp.url}/api/registry/enroll", data=manifest) as enrolled:
            bearer = {"Authorization": f"Bearer {(await enrolled.json())['token']}"}
        async with http.post(f"{cp.url}/api/registry/agents", data=manifest, headers=bearer) as registered:
            assert registered.status == 201
    (found,) = await client.discover_by_capability("demo.a", include_manifest=True)
    assert (found["aid"], found["manifestJson"]) == (A.aid, manifest)
    assert await client.discover_by_capability("demo.b") == []
    assert [row["aid"] for row in await client.fetch_dashboard_agents()] == [A.aid]


async def test_a_root_that_is_a_delegation_gives_its_tree(client: CpClient) -> None:
    parent, child = str(uuid.uuid4()), str(uuid.uuid4())
    issued = {
        "type": "delegation.issued",
        "payload": {"jti": child, "parent_jti": parent, "delegator": A.aid, "delegatee": B.aid, "scope": ["demo.a"]},
    }
    await client.ingest_events([issued])
    assert [row["jti"] for row in await client.fetch_delegations(parent_jti=parent)] == [child]
    assert [row["jti"] for row in await client.fetch_delegations(root_jti=child, delegator=A.aid)] == [child]
    assert await client.fetch_delegations(root_jti=child, delegator=B.aid) == []
    assert (await client.fetch_delegations.outcome(root_jti="no-uuid")).reason == "http_4xx"


@pytest.mark.parametrize(
    ("switch", "reason"),
    [
        ({"fault": "status", "status": 500}, "http_5xx"),
        ({"fault": "status", "status": 429}, "rate_limited"),
        ({"fault": "html"}, "not_json"),
        ({"fault": "truncate"}, "truncated"),
        ({"fault": "drop"}, "truncated"),
    ],
)
async def test_misbehaviour_has_its_class_and_ends_when_it_is_switched_off(
    switch: dict[str, Any], reason: str, client: CpClient, cp: Running
) -> None:
    await client.ingest_events(handshake("r", "s", str(uuid.uuid4())))
    cp.service.switches.set(switch)
    outcome = await client.fetch_tcts.outcome()
    assert (outcome.value, outcome.reason) == ([], reason)
    cp.service.switches.clear()
    assert len(await client.fetch_tcts()) == 1


async def test_a_response_lost_after_the_commit_is_an_unknown_fate_and_the_key_makes_it_whole(
    client: CpClient, cp: Running
) -> None:
    cp.service.switches.set({"fault": "drop", "path": "/api/events", "calls": 1})
    events = [{"type": "x", "run_id": "r"}]
    assert (await client.ingest_events(events, idempotency_key="k")).fate == "unknown"
    assert (await client.ingest_events(events, idempotency_key="k")).fate == "stored"
    assert len(await client.fetch_events_history(run_id="r")) == 1


async def test_a_black_hole_opens_the_circuit_and_a_sign_of_life_closes_it(cp: Running, tmp_path: Path) -> None:
    back, probing = asyncio.Event(), asyncio.Event()

    async def until_allowed(_: float) -> None:
        await probing.wait()

    settings = Settings.load(
        _env_file=None, state_dir=tmp_path, cp_base_url=cp.url, cp_api_key=cp.key, cp_timeout_ms=300
    )
    async with client_session() as http:
        client = CpClient(
            settings,
            http,
            on_state=lambda state: back.set() if state == "closed" else None,
            breaker=lambda probe, **more: Breaker(probe, sleep=until_allowed, **more),
        )
        cp.service.switches.set({"fault": "black_hole"})
        assert [(await client.fetch_tcts.outcome()).reason for _ in range(2)] == ["timeout", "breaker_open"]
        cp.service.switches.clear()
        assert client.state == "open"
        probing.set()
        await back.wait()
        assert (client.state, client.trouble) == ("closed", None)
        await client.close()


async def test_a_wrong_key_closes_all_but_the_public_routes(cp: Running, tmp_path: Path) -> None:
    settings = Settings.load(_env_file=None, state_dir=tmp_path, cp_base_url=cp.url, cp_api_key="wrong")
    async with client_session() as http:
        client = CpClient(settings, http)
        assert (await client.fetch_tcts.outcome()).reason == "unauthorized"
        assert (await client.fetch_revocation_list.outcome()).reason is None
        assert (await client.discover_by_capability.outcome("demo.a")).reason is None
        await client.close()
