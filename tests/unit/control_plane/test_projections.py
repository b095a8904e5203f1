"""What events make of sessions, TCTs and delegations, over HTTP."""

from __future__ import annotations

import base64
import hashlib
import json
import uuid
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from tests.unit.control_plane.serving import Served, serving


@pytest.fixture
async def cp(tmp_path: Path) -> AsyncIterator[Served]:
    async with serving(tmp_path) as served:
        yield served


def claims(jti: str, **more: Any) -> dict[str, Any]:
    return {"jti": jti, "iss": "aid:i", "sub": "aid:s", "iat": 1795362643, "exp": 1795366243, "grants": ["g"], **more}


def v4() -> str:
    return str(uuid.uuid4())


async def delegate(cp: Served, parent: str, **payload: Any) -> str:
    jti = v4()
    row = {"jti": jti, "parent_jti": parent, "delegator": "aid:d", "delegatee": "aid:e", **payload}
    await cp.ingest({"type": "delegation.issued", "payload": row})
    return jti


# -- sessions ---------------------------------------------------------------------------------------------------------


async def test_a_handshake_fills_a_session(cp: Served) -> None:
    await cp.ingest(
        {
            "type": "handshake.started",
            "ts": 1795362643,
            "session_id": "s/1",
            "aidA": "A",
            "aidB": "B",
            "run_id": "r",
            "payload": {"boundary": "cross_org"},
        },
        {"type": "handshake.complete", "ts": 1795362644, "session_id": "s/1", "aidA": "X", "grants": ["g"]},
    )
    found = await cp.get("/api/sessions", run_id="r")
    (session,) = found["sessions"]
    shown = {name: session[name] for name in ("aidA", "aidB", "status", "grants", "boundary", "error")}
    assert shown == {
        "aidA": "A",
        "aidB": "B",
        "status": "complete",
        "grants": ["g"],
        "boundary": "cross_org",
        "error": None,
    }
    assert (session["startedAt"], session["completedAt"]) == ("2026-11-22 15:50:43+00", "2026-11-22 15:50:44+00")
    assert [row["sessionId"] for row in (await cp.get("/api/sessions", aid="B"))["sessions"]] == ["s/1"]
    assert (await cp.get("/api/sessions", status="failed"))["sessions"] == []


async def test_only_a_start_that_comes_first_makes_a_session(cp: Served) -> None:
    await cp.ingest(
        {"type": "handshake.complete", "session_id": "early"},
        {"type": "handshake.started", "session_id": "early"},
        {"type": "handshake.complete", "session_id": "alone"},
        {"type": "handshake.started", "session_id": "wide", "payload": {"boundary": "x" * 33}},
    )
    rows = (await cp.get("/api/sessions"))["sessions"]
    assert [(row["sessionId"], row["status"]) for row in rows] == [("early", "started")]


async def test_completing_a_failed_session_keeps_its_error(cp: Served) -> None:
    await cp.ingest(
        {"type": "handshake.started", "session_id": "s", "run_id": "first"},
        {"type": "handshake.started", "session_id": "s", "run_id": "second"},
        {"type": "handshake.failed", "session_id": "s", "payload": {"error": "IDENTITY_FAILED"}},
    )
    failed = (await cp.get("/api/sessions/s"))["session"]
    assert (failed["status"], failed["completedAt"]) == ("failed", None)
    await cp.ingest({"type": "handshake.complete", "session_id": "s"})
    flipped = (await cp.get("/api/sessions/s"))["session"]
    assert (flipped["status"], flipped["error"], flipped["runId"]) == ("complete", "IDENTITY_FAILED", "first")


async def test_a_replay_is_oldest_first_and_needs_no_session(cp: Served) -> None:
    await cp.ingest(*({"type": f"t{n}", "ts": 1795362643 + n // 2, "session_id": "a b/c"} for n in range(6)))
    replayed = await cp.get("/api/sessions/a%20b%2Fc/replay", limit=5, since="2026-11-22T15:50:44Z")
    assert (replayed["sessionId"], replayed["count"]) == ("a b/c", 4)
    assert [event["type"] for event in replayed["events"]] == ["t2", "t3", "t4", "t5"]
    assert await cp.get("/api/sessions/nobody/replay") == {"sessionId": "nobody", "count": 0, "events": []}
    assert (await cp.call("GET", "/api/sessions/nobody"))[1]["code"] == "NOT_FOUND"
    assert (await cp.call("GET", "/api/sessions/x/replay", until="17"))[1]["code"] == "BAD_REQUEST"


# -- TCTs -------------------------------------------------------------------------------------------------------------


async def test_active_leaves_out_what_has_expired_and_what_was_revoked(cp: Served) -> None:
    clock = cp.stop_the_clock()
    clock.now = 1795362650
    kept, revoked, endless = v4(), v4(), v4()
    await cp.ingest(
        {"type": "tct.issued", "payload": {"tct": claims(kept)}},
        {"type": "tct.issued", "payload": {"tct": {"claims": claims(revoked)}}},
        {"type": "tct.issued", "payload": {"tct": claims(endless, exp="tomorrow")}},
        {"type": "tct.revoked", "payload": {"jti": revoked.upper()}},
    )
    assert {row["jti"] for row in (await cp.get("/api/tcts", active="true"))["tcts"]} == {kept, endless}
    clock.now = 1795366244
    assert [row["jti"] for row in (await cp.get("/api/tcts", active="true"))["tcts"]] == [endless]
    assert len((await cp.get("/api/tcts", active="True"))["tcts"]) == 3


async def test_tcts_are_filtered_by_what_they_claim(cp: Served) -> None:
    one, two = v4(), v4()
    tcts = [{"claims": claims(one, grants=["a", "b"], cnf={"jkt": "k"})}, claims(two, aud="aid:x", iss="aid:other")]
    await cp.ingest({"type": "handshake.complete", "session_id": "s", "payload": {"tcts": tcts}})
    for query, expected in (
        ({"capability": "b"}, [one]),
        ({"capability": "a,b"}, []),
        ({"audience": "aid:x"}, [two]),
        ({"audience": "aid:s"}, [one]),
        ({"issuer": "aid:other"}, [two]),
        ({"sessionId": "s", "subject": "aid:s"}, [two, one]),
        ({"sessionId": "t"}, []),
    ):
        assert [row["jti"] for row in (await cp.get("/api/tcts", **query))["tcts"]] == expected, query
    assert (await cp.get("/api/tcts", capability="b"))["tcts"][0]["bindingCnf"] == "k"


# -- delegations ------------------------------------------------------------------------------------------------------


async def test_a_token_gets_the_same_jti_each_time_and_its_parent_from_the_voucher(cp: Served) -> None:
    source = v4()
    body = base64.urlsafe_b64encode(json.dumps({"src_jti": source}).encode()).rstrip(b"=").decode()
    token = {"token": "a.b.c", "claims": {"iss": "aid:d", "sub": "aid:e", "scope": ["x"], "voucher": f"h.{body}.s"}}
    for _ in range(2):
        await cp.ingest({"type": "delegation.issued", "payload": {"delegation": token}})
    (row,) = (await cp.get("/api/delegations", parentJti=source))["delegations"]
    made = bytearray(hashlib.sha1(b"aitp-delegation:a.b.c").digest()[:16])
    made[6], made[8] = made[6] & 0x0F | 0x50, made[8] & 0x3F | 0x80
    assert row["jti"] == str(uuid.UUID(bytes=bytes(made)))
    assert (row["delegator"], row["delegatee"], row["scope"], row["expiresAt"]) == ("aid:d", "aid:e", ["x"], None)


async def test_the_walk_takes_the_root_and_all_below_oldest_first_and_no_other_filter(cp: Served) -> None:
    tct = v4()
    root = await delegate(cp, tct, delegator="aid:root")
    child = await delegate(cp, root)
    grandchild = await delegate(cp, child)
    await delegate(cp, tct)
    found = await cp.get("/api/delegations", root_jti=root, delegator="aid:root", limit=1)
    assert [row["jti"] for row in found["delegations"]] == [root, child, grandchild]
    assert (await cp.get("/api/delegations", root_jti=tct))["delegations"] == []
    assert (await cp.call("GET", "/api/delegations", root_jti="x"))[1]["code"] == "BAD_REQUEST"


async def test_delegations_that_name_each_other_as_parents_end_the_walk(cp: Served) -> None:
    first, second = v4(), v4()
    for jti, parent in ((first, second), (second, first)):
        row = {"jti": jti, "parent_jti": parent, "delegator": "aid:d", "delegatee": "aid:e"}
        await cp.ingest({"type": "delegation.issued", "payload": row})
    assert len((await cp.get("/api/delegations", root_jti=first))["delegations"]) == 2
    await cp.ingest({"type": "delegation.revoked", "payload": {"jti": first}})
    reasons = {row["jti"]: row["revokedReason"] for row in (await cp.get("/api/delegations"))["delegations"]}
    assert reasons == {first: "explicit", second: "parent_revoked"}


async def test_revoking_a_tct_runs_down_to_every_depth_and_leaves_the_rest(cp: Served) -> None:
    tct, other = v4(), v4()
    await cp.ingest({"type": "tct.issued", "payload": {"tct": claims(tct)}})
    child = await delegate(cp, tct)
    grandchild = await delegate(cp, child)
    elsewhere = await delegate(cp, other)
    status, _ = await cp.call("POST", "/api/revocation/entries", {"jti": tct})
    assert status == 201
    late = await delegate(cp, tct)
    reasons = {row["jti"]: row["revokedReason"] for row in (await cp.get("/api/delegations"))["delegations"]}
    assert reasons == {child: "parent_revoked", grandchild: "parent_revoked", elsewhere: None, late: None}
    assert {row["jti"] for row in (await cp.get("/api/delegations", active="true"))["delegations"]} == {elsewhere, late}
    assert (await cp.get("/api/tcts"))["tcts"][0]["revoked"] is True
