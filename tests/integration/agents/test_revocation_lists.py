"""Revocations from outside: what a signed list changes, and what a list that is no good does not."""

from __future__ import annotations

import asyncio
import json
import time
import uuid
from collections.abc import Callable
from typing import Any

import aitp
import pytest
from aiohttp import web

from tests.integration.agents.control_plane import ControlPlane, Respond
from tests.integration.agents.harness import (
    Answer,
    Pair,
    SdkPeer,
    Start,
    TelemetrySink,
    WorkerProcess,
    claims_of,
    introduce,
)

LIST = aitp.REVOCATION_LIST_PATH
CLOSED = {"fail_mode": "fail_closed", "max_staleness_secs": 300, "poll_secs": 60}
OLD = str(uuid.uuid4())


@pytest.fixture
async def worker(start: Start, cp: ControlPlane, sink: TelemetrySink) -> WorkerProcess:
    """It has taken in the Control Plane's list once, which denies one token."""
    cp.revoked.append(OLD)
    worker = await start("alice", cp=cp.section)
    await sink.wait_for("revocation.list_fetched")
    return worker


async def call(worker: WorkerProcess, caller: SdkPeer, token: str) -> Answer:
    return await worker.request("POST", "/capabilities/demo.echo", "{}", await caller.proof(worker, token))


def denied(answer: Answer, source: str) -> None:
    assert (answer.status, answer.body["error"]["code"]) == (403, "TCT_REVOKED"), answer
    assert answer.body["error"]["details"]["source"] == source


async def refresh(worker: WorkerProcess, jti: str | None = None) -> dict[str, Any]:
    answer = await worker.admin("refresh-revocations", {"from": "cp", "jti": jti})
    assert answer.status == 200, answer
    return {name: value for name, value in answer.body.items() if name != "emitter_seq"}


async def test_control_planes_list_ends_a_token_that_was_already_cached(
    worker: WorkerProcess, caller: SdkPeer, cp: ControlPlane, sink: TelemetrySink
) -> None:
    token = await caller.token_from(worker)
    for _ in range(2):
        assert (await call(worker, caller, token)).status == 200
    jti = claims_of(token)["jti"]
    assert await refresh(worker, jti) == {"revoked_count": 1, "sees_jti": False}
    cp.revoked.append(jti)
    assert await refresh(worker, jti.upper()) == {"revoked_count": 2, "sees_jti": True}
    denied(await call(worker, caller, token), "cp-snapshot")
    assert all(request.headers["Cache-Control"] == "no-cache" for request in cp.asked(LIST))
    event = (await sink.wait_for("revocation.list_fetched", 3))[-1]
    assert event["source_url"] == cp.url + LIST
    assert (event["payload"]["count"], event["payload"]["issuer"]) == (2, cp.aid)
    refused = (await sink.wait_for("capability.denied"))[0]
    assert (refused["payload"]["code"], refused["payload"]["source"]) == ("tct_revoked", "cp-snapshot")


async def test_local_revocation_ends_a_cached_token_and_is_on_the_agents_list(
    worker: WorkerProcess, caller: SdkPeer, cp: ControlPlane, sink: TelemetrySink
) -> None:
    token = await caller.token_from(worker)
    assert (await call(worker, caller, token)).status == 200
    jti = claims_of(token)["jti"]
    answer = await worker.admin("revoke-tct", {"audience": "carol", "reason": "lost"})
    assert (answer.body["revoked_jti"], answer.body["also_revoked"]) == (jti, [])
    denied(await call(worker, caller, token), "local")
    [event] = await sink.wait_for("tct.revoked")
    assert (event["jti"], event["payload"]["reason"], event["aid"]) == (jti, "lost", caller.aid)
    listed = (await worker.request("GET", LIST)).body
    aitp.verify_revocation_list(json.dumps(listed), worker.aid)
    assert [entry["jti"] for entry in listed["revocation_list"]["entries"]] == [jti]
    await refresh(worker)
    denied(await call(worker, caller, token), "local")


async def test_newest_token_is_the_one_revoked(worker: WorkerProcess, caller: SdkPeer) -> None:
    older, newer = await caller.token_from(worker), await caller.token_from(worker)
    answer = await worker.admin("revoke-tct", {"audience": "carol"})
    assert answer.body["revoked_jti"] == claims_of(newer)["jti"]
    assert (await call(worker, caller, older)).status == 200


def forged(cp: ControlPlane, jti: str) -> str:
    return cp.peer.revocation_list(OLD).replace(OLD, jti)


def foreign(_cp: ControlPlane, jti: str) -> str:
    return SdkPeer("other").revocation_list(OLD, jti)


def expired(cp: ControlPlane, jti: str) -> str:
    now = int(time.time())
    return cp.peer.revocation_list(OLD, jti, published_at=now - 20, expires_at=now - 10)


def rolled_back(cp: ControlPlane, jti: str) -> str:
    now = int(time.time())
    return cp.peer.revocation_list(OLD, jti, published_at=now - 600, expires_at=now + 600)


def from_the_future(cp: ControlPlane, jti: str) -> str:
    now = int(time.time())
    return cp.peer.revocation_list(OLD, jti, published_at=now + 6000, expires_at=now + 9000)


def cut_off(cp: ControlPlane, jti: str) -> str:
    return cp.peer.revocation_list(OLD, jti)[:-40]


def unwrapped(cp: ControlPlane, jti: str) -> str:
    return json.dumps(json.loads(cp.peer.revocation_list(OLD, jti))["revocation_list"])


@pytest.mark.parametrize(
    ("bad", "cause"),
    [
        (forged, "signature_invalid"),
        (foreign, "issuer_mismatch"),
        (expired, "expired"),
        (rolled_back, "rolled_back"),
        (from_the_future, "from_the_future"),
        (cut_off, "malformed"),
        (unwrapped, "unknown_field"),
    ],
)
async def test_list_that_does_not_hold_changes_nothing_and_is_reported(
    worker: WorkerProcess,
    caller: SdkPeer,
    cp: ControlPlane,
    sink: TelemetrySink,
    bad: Callable[[ControlPlane, str], str],
    cause: str,
) -> None:
    token = await caller.token_from(worker)
    jti = claims_of(token)["jti"]
    cp.lists.append(bad(cp, jti))
    assert await refresh(worker, jti) == {"revoked_count": 1, "sees_jti": False, "cause": cause}
    assert (await refresh(worker, OLD))["sees_jti"] is True
    assert (await call(worker, caller, token)).status == 200
    [event] = await sink.wait_for("revocation.verify_failed")
    assert (event["cause"], event["source_url"]) == (cause, cp.url + LIST)


async def test_list_that_lost_an_entry_is_reported_and_the_entry_stays_denied(
    worker: WorkerProcess, caller: SdkPeer, cp: ControlPlane, sink: TelemetrySink
) -> None:
    token = await caller.token_from(worker)
    jti = claims_of(token)["jti"]
    cp.revoked.append(jti)
    await refresh(worker)
    cp.revoked.clear()
    assert await refresh(worker, jti) == {"revoked_count": 2, "sees_jti": True, "cause": "entries_lost"}
    denied(await call(worker, caller, token), "cp-snapshot")
    [event] = await sink.wait_for("revocation.verify_failed")
    assert (event["cause"], event["payload"]["lost"]) == ("entries_lost", 2)


def status(code: int, **options: Any) -> Respond:
    async def respond(_request: web.Request) -> web.StreamResponse:
        return web.Response(status=code, **options)

    return respond


async def hang_up(request: web.Request) -> web.StreamResponse:
    assert request.transport
    request.transport.close()
    return web.Response()


async def never(_request: web.Request) -> web.StreamResponse:
    await asyncio.Event().wait()
    raise AssertionError


@pytest.mark.parametrize(
    ("respond", "cause"),
    [
        (status(500), "http_5xx"),
        (status(404), "http_4xx"),
        (status(429), "rate_limited"),
        (status(302, headers={"Location": "/"}), "redirect"),
        (status(200, body=b"\xff\xfe"), "not_json"),
        (status(200, body=b"x" * (5 << 20)), "too_large"),
        (hang_up, "truncated"),
        (never, "timeout"),
    ],
)
async def test_list_that_cannot_be_had_is_reported_by_its_class(
    worker: WorkerProcess, cp: ControlPlane, sink: TelemetrySink, respond: Respond, cause: str
) -> None:
    cp.answers[LIST] = respond
    assert await refresh(worker, OLD) == {"revoked_count": 1, "sees_jti": True, "cause": cause}
    [event] = await sink.wait_for("revocation.refresh_failed")
    assert (event["cause"], event["source_url"]) == (cause, cp.url + LIST)


async def test_control_plane_that_is_gone_is_refused(
    worker: WorkerProcess, cp: ControlPlane, sink: TelemetrySink
) -> None:
    await cp.close()
    assert (await refresh(worker))["cause"] == "refused"
    assert (await sink.wait_for("revocation.refresh_failed"))[0]["cause"] == "refused"


async def test_what_was_made_from_a_token_falls_when_the_control_plane_lists_that_token(
    start: Start, worker: WorkerProcess, cp: ControlPlane
) -> None:
    delegator, delegatee = await asyncio.gather(start("delegator"), start("delegatee"))
    await introduce(worker, delegator, delegatee)
    received = await delegator.admin("initiate-handshake", {"peer": "alice", "direction": "one"})
    body = {"delegatee": "delegatee", "via_peer": "alice", "scope": ["demo.echo"]}
    given = (await delegator.admin("delegate", body)).body
    told = {"target": "alice", "delegation_token": given["delegation_token"]}
    assert (await delegatee.admin("redeem-delegation", told)).status == 200
    cp.revoked.append(received.body["received"]["jti"])
    await refresh(worker)
    for holder, source in ((delegator, "cp-snapshot"), (delegatee, "lineage")):
        answer = await holder.admin("invoke", {"peer": "alice", "capability": "demo.echo", "input": {}})
        assert answer.body["body"]["error"]["details"]["source"] == source


async def test_holder_learns_from_the_issuers_own_list(pair: Pair, sink: TelemetrySink) -> None:
    alice, bob = pair
    jti = (await alice.admin("initiate-handshake", {"peer": "bob", "direction": "one"})).body["received"]["jti"]
    asked = {"from": "issuer", "peer": "bob", "jti": jti}
    before = (await alice.admin("refresh-revocations", asked)).body
    assert (before["revoked_count"], before["sees_jti"]) == (0, False)
    await bob.admin("revoke-tct", {"audience": "alice"})
    after = (await alice.admin("refresh-revocations", asked)).body
    assert (after["revoked_count"], after["sees_jti"]) == (1, True)
    await sink.wait_for("revocation.list_fetched", 4)
    [in_handshake, *asked_for] = [
        event for event in sink.of_type("revocation.list_fetched") if event["source_url"] == bob.base_url + LIST
    ]
    assert [event["payload"]["count"] for event in (in_handshake, *asked_for)] == [0, 0, 1]
    assert in_handshake["payload"]["peer"] == "bob"


async def test_list_is_held_to_the_introduced_peers_key(pair: Pair, sink: TelemetrySink) -> None:
    alice, bob = pair
    pretended = {
        "agent_id": "bob",
        "aid": SdkPeer("x").aid,
        "manifest_url": bob.base_url + "/.well-known/aitp-manifest",
    }
    await alice.admin("peers", {"peers": [pretended]}, method="PUT")
    answer = await alice.admin("refresh-revocations", {"from": "issuer", "peer": "bob"})
    assert (answer.body["cause"], answer.body["sees_jti"]) == ("issuer_mismatch", None)
    assert (await sink.wait_for("revocation.verify_failed"))[0]["cause"] == "issuer_mismatch"
    unknown = await alice.admin("refresh-revocations", {"from": "issuer", "peer": "nobody"})
    assert (unknown.status, unknown.body["error"]["code"]) == (403, "peer_unknown")


async def test_without_a_control_plane_or_its_pin_nothing_is_fetched(
    start: Start, cp: ControlPlane, sink: TelemetrySink
) -> None:
    alone, unpinned = await asyncio.gather(start("alice"), start("bob", cp={"url": cp.url, "aid": None}))
    answer = await alone.admin("refresh-revocations", {"from": "cp"})
    assert (answer.status, answer.body["error"]["code"]) == (409, "no_cp")
    assert await refresh(unpinned, OLD) == {"revoked_count": 0, "sees_jti": False, "cause": "issuer_unpinned"}
    assert (await sink.wait_for("revocation.verify_failed"))[0]["cause"] == "issuer_unpinned"
    assert not cp.received


async def test_agent_looks_by_itself_again_and_again_and_tells_only_news(
    start: Start, cp: ControlPlane, sink: TelemetrySink
) -> None:
    await start("alice", cp=cp.section, revocation=CLOSED | {"poll_secs": 1})
    await cp.wait_asked(LIST, 3)
    assert [event["payload"]["count"] for event in await sink.wait_for("revocation.list_fetched")] == [0]
    cp.revoked.append(OLD)
    assert (await sink.wait_for("revocation.list_fetched", 2))[-1]["payload"]["count"] == 1
    cp.answers[LIST] = status(503)
    await sink.wait_for("revocation.refresh_failed")
    await cp.wait_asked(LIST, len(cp.asked(LIST)) + 2)
    cp.answers.clear()
    assert (await sink.wait_for("revocation.list_fetched", 3))[-1]["payload"]["count"] == 1
    assert len(sink.of_type("revocation.refresh_failed")) == 1


async def test_control_plane_that_hangs_holds_up_nothing(start: Start, cp: ControlPlane) -> None:
    cp.answers[LIST] = never
    worker = await start("alice", cp=cp.section)
    await cp.wait_asked(LIST)
    caller = SdkPeer("carol")
    await introduce(worker, caller)
    assert (await call(worker, caller, await caller.token_from(worker))).status == 200


async def test_agent_that_fails_closed_serves_nobody_until_a_list_verifies(
    start: Start, cp: ControlPlane, sink: TelemetrySink
) -> None:
    honest = cp.answers[LIST] = status(503)
    worker = await start("alice", cp=cp.section, revocation=CLOSED)
    await sink.wait_for("revocation.refresh_failed")
    caller = SdkPeer("carol")
    await introduce(worker, caller)
    token = await caller.token_from(worker)
    for respond in (honest, status(200, text=SdkPeer("other").revocation_list())):
        cp.answers[LIST] = respond
        await refresh(worker)
        answer = await call(worker, caller, token)
        assert (answer.status, answer.body["error"]["code"]) == (403, "TCT_REVOKED")
    cp.answers.clear()
    await refresh(worker)
    assert (await call(worker, caller, token)).status == 200


async def test_agent_that_fails_closed_goes_on_with_a_list_that_forgot_what_has_expired(
    start: Start, cp: ControlPlane
) -> None:
    long_ago = {"jti": str(uuid.uuid4()), "revoked_at": int(time.time()) - 2 * 86400}
    elsewhere = {"jti": str(uuid.uuid4())}
    worker = await start("alice", cp=cp.section, revocation=CLOSED)
    caller = SdkPeer("carol")
    await introduce(worker, caller)
    token = await caller.token_from(worker)
    for entries in ([long_ago, elsewhere, {"jti": OLD}], [elsewhere, {"jti": OLD}], [{"jti": OLD}]):
        cp.lists.append(cp.peer.agent.sign_revocation_list(entries))
        assert "cause" not in await refresh(worker, OLD)
        assert (await call(worker, caller, token)).status == 200
    assert await refresh(worker, elsewhere["jti"]) == {"revoked_count": 2, "sees_jti": True, "cause": "entries_lost"}


async def test_agent_that_fails_soft_serves_what_is_safe_and_redeems_nothing_without_a_list(
    start: Start, cp: ControlPlane
) -> None:
    cp.answers[LIST] = status(503)
    soft = CLOSED | {"fail_mode": "soft_fail", "safe_caps": ["demo.who"]}
    owner, delegator, delegatee = await asyncio.gather(
        start("owner", cp=cp.section, revocation=soft), start("delegator"), start("delegatee")
    )
    await introduce(owner, delegator, delegatee)
    await delegator.admin("initiate-handshake", {"peer": "owner", "direction": "one"})
    body = {"delegatee": "delegatee", "via_peer": "owner", "scope": ["demo.echo"]}
    given = (await delegator.admin("delegate", body)).body
    told = {"target": "owner", "delegation_token": given["delegation_token"]}

    async def statuses() -> list[int]:
        calls = [{"peer": "owner", "capability": name, "input": {}} for name in ("demo.who", "demo.echo")]
        answers = [await delegator.admin("invoke", each) for each in calls]
        redeemed = await delegatee.admin("redeem-delegation", told)
        return [*(answer.body["status_code"] for answer in answers), redeemed.status]

    assert await statuses() == [200, 403, 502]
    cp.answers.clear()
    await refresh(owner)
    assert await statuses() == [200, 200, 200]


async def test_agent_that_fails_closed_redeems_nothing_without_a_list(
    start: Start, cp: ControlPlane, sink: TelemetrySink
) -> None:
    cp.answers[LIST] = status(503)
    owner, delegator, delegatee = await asyncio.gather(
        start("owner", cp=cp.section, revocation=CLOSED), start("delegator"), start("delegatee")
    )
    await introduce(owner, delegator, delegatee)
    await delegator.admin("initiate-handshake", {"peer": "owner", "direction": "one"})
    body = {"delegatee": "delegatee", "via_peer": "owner", "scope": ["demo.echo"]}
    token = (await delegator.admin("delegate", body)).body["delegation_token"]
    told = {"target": "owner", "delegation_token": token}
    answer = await delegatee.admin("redeem-delegation", told)
    assert answer.body["error"]["details"]["code"] == "DELEGATION_SOURCE_TCT_REVOKED"
    cp.answers.clear()
    await refresh(owner)
    assert (await delegatee.admin("redeem-delegation", told)).status == 200


async def test_a_token_that_is_revoked_while_the_body_comes_opens_nothing(start: Start) -> None:
    worker, caller = await start("alice"), SdkPeer("carol")
    await introduce(worker, caller)
    token = await caller.token_from(worker)
    headers = {"Host": "localhost", "Content-Type": "application/json", "Content-Length": "2", "Connection": "close"}
    headers |= await caller.proof(worker, token)
    head = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
    reader, writer = await asyncio.open_connection("127.0.0.1", worker.port)
    try:
        writer.write(f"POST /capabilities/demo.echo HTTP/1.1\r\n{head}\r\n{{".encode())
        await writer.drain()
        # Each of these is answered after the head was read: the worker has one loop, and took it in first.
        assert (await worker.admin("flush", {})).status == 200
        assert (await worker.admin("revoke-tct", {"audience": "carol"})).status == 200
        writer.write(b"}")
        answer = await reader.read()
    finally:
        writer.close()
    assert answer.startswith(b"HTTP/1.1 403")
    assert b'"TCT_REVOKED"' in answer
