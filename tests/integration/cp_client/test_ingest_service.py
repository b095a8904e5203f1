"""The whole service beside a Control Plane: real agents, real handshakes, real projections."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from aitp_playground.control_plane.server import Running
from aitp_playground.events.tokens import fingerprint
from aitp_playground.store.sqlite import SqliteRunStore
from tests.support.playground import Outcome, playground_at, run

from .ingesting import Reports, assert_same

RESEARCH, DELEGATION = "intra-org/research-and-write@1.0.0", "intra-org/cp-delegation-tree@1.0.0"


@pytest.fixture
async def reported(tmp_path: Path, cp: Running) -> Outcome:
    """A delegation between real agents; the service has been closed since, without being told to wait."""
    async with playground_at(tmp_path, cp_base_url=cp.url, cp_api_key=cp.key) as running:
        outcome = await run(running, DELEGATION)
        assert outcome.status == "success", outcome.view.error
    return outcome


async def test_a_run_arrives_before_its_process_ends_and_fills_every_projection(
    reported: Outcome, reports: Reports
) -> None:
    assert_same(await reports.rows(reported.run_id), reported.events)
    handshakes = reported.of("handshake.complete")
    assert handshakes
    sessions = {
        row["sessionId"]: row for row in (await reports.get("/api/sessions", runId=reported.run_id))["sessions"]
    }
    assert len(sessions) == len(handshakes)
    for handshake in handshakes:
        session = sessions[handshake.get("session_id")]
        assert (session["status"], session["aidA"], session["aidB"]) == (
            "complete",
            handshake.get("aid_a"),
            handshake.get("aid_b"),
        )
        assert session["grants"] == handshake.get("grants")
        tcts = (await reports.get("/api/tcts", sessionId=session["sessionId"]))["tcts"]
        assert {row["jti"] for row in tcts} == {claims["jti"] for claims in handshake.payload["tcts"]}
        assert len(tcts) == (2 if handshake.payload["direction"] == "both" else 1)
    (issued,) = reported.of("delegation.issued")
    listed = (await reports.get("/api/delegations", parent_jti=issued.payload["parent_jti"]))["delegations"]
    assert [(row["jti"], row["delegator"], row["delegatee"]) for row in listed] == [
        (issued.get("jti"), issued.get("aid_a"), issued.get("aid_b"))
    ]
    for side, aid in (("delegator", issued.get("aid_a")), ("delegatee", issued.get("aid_b"))):
        assert (await reports.get("/api/delegations", **{side: aid}))["delegations"] == listed


async def test_a_token_in_the_log_leaves_as_its_fingerprint(reported: Outcome, reports: Reports) -> None:
    token = reported.outputs["delegate"]["delegation_token"]
    assert token.startswith("ey")
    told = json.dumps(await reports.rows(reported.run_id))
    assert fingerprint(token) in told
    assert token not in told
    assert not re.search(r"eyJ[\w-]+\.[\w-]+\.[\w-]+", told)


async def test_parties_are_named_by_aid_and_never_by_the_id_they_have_in_the_run(
    reported: Outcome, reports: Reports
) -> None:
    aids = {event.get("agent_id"): event.get("aid") for event in reported.of("agent.ready")}
    rows = await reports.rows(reported.run_id)
    named = {row[side] for row in rows for side in ("aidA", "aidB")} - {None}
    assert named == set(aids.values())
    establishing = [row for row in rows if row["type"] == "trust.establishing"]
    assert establishing
    for row in establishing:
        assert (row["aidA"], row["aidB"]) == (aids[row["payload"]["initiator"]], aids[row["payload"]["target"]])


async def test_without_a_control_plane_nothing_is_kept_for_one(tmp_path: Path) -> None:
    async with playground_at(tmp_path) as running:
        await run(running, RESEARCH)
    assert await unreported(tmp_path) == []


async def test_what_a_failing_control_plane_did_not_take_waits_for_the_next_start(
    tmp_path: Path, cp: Running, reports: Reports
) -> None:
    cp.service.switches.set({"fault": "status", "status": 503})
    address = {"cp_base_url": cp.url, "cp_api_key": cp.key, "cp_ingest_settle_secs": 0.05}
    async with playground_at(tmp_path, **address) as running:
        outcome = await run(running, RESEARCH)
        assert outcome.status == "success"
    assert await unreported(tmp_path) == [outcome.run_id]
    cp.service.switches.clear()
    async with playground_at(tmp_path, **address):
        rows = await reports.has(outcome.run_id, len(outcome.events))
    assert_same(rows, outcome.events)
    assert await unreported(tmp_path) == []


async def unreported(directory: Path) -> list[str]:
    """What the outbox of a service that has ended owes."""
    store = SqliteRunStore(str(directory / "state" / "runs.db"), state_dir=directory / "state")
    await store.open()
    try:
        return await store.unreported()
    finally:
        await store.close()
