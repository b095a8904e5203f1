"""Session bundles: who gets one, what it says, and what is refused."""

from __future__ import annotations

import asyncio
import time
import uuid
from typing import Any

import pytest
from aitp_verifier.errors import AitpError
from aitp_verifier.sessionbundle import verify_session_bundle

from base.protocol import bundles
from base.protocol.bundles import MAX_BUNDLES
from tests.integration.agents.harness import Answer, SdkPeer, Start, WorkerProcess, introduce

PATH = "/aitp/session-bundles/"


@pytest.fixture
async def session(start: Start) -> tuple[WorkerProcess, WorkerProcess, WorkerProcess]:
    """A coordinator, and two that hold tokens of its."""
    workers = await asyncio.gather(*(start(name) for name in ("coordinator", "first", "second")))
    await introduce(*workers)
    for worker in workers[1:]:
        assert (await worker.admin("initiate-handshake", {"peer": "coordinator", "direction": "one"})).status == 200
    return workers[0], workers[1], workers[2]


async def export(coordinator: WorkerProcess, *participants: str) -> dict[str, Any]:
    answer = await coordinator.admin("export-session-bundle", {"participants": list(participants)})
    assert answer.status == 200, answer
    made: dict[str, Any] = answer.body
    return made


async def verify(worker: WorkerProcess, made: dict[str, Any], **changes: Any) -> Answer:
    body = {"coordinator": "coordinator", "bundle_ref": made["bundle_ref"], "sha256": made["sha256"]} | changes
    return await worker.admin("verify-session-bundle", body)


async def test_bundle_is_clear_until_a_participants_token_is_revoked(
    session: tuple[WorkerProcess, WorkerProcess, WorkerProcess],
) -> None:
    coordinator, first, second = session
    made = await export(coordinator, "first", "second")
    assert made["participant_aids"] == [first.aid, second.aid]
    uuid.UUID(made["session_id"])
    for worker in (first, second):
        answer = await verify(worker, made)
        assert answer.body["kind"] == "clear", answer
        assert (answer.body["active_aids"], answer.body["dropped_aids"]) == ([first.aid, second.aid], [])
    assert (await coordinator.admin("revoke-tct", {"audience": "second"})).status == 200
    answer = await verify(first, made)
    assert answer.body["kind"] == "degraded", "the list that came a moment ago does not count"
    assert (answer.body["active_aids"], answer.body["dropped_aids"]) == ([first.aid], [second.aid])
    refused = await verify(second, made)
    assert (refused.status, refused.body["error"]["details"]["code"]) == (502, "TCT_REVOKED")


async def test_bundle_is_given_to_its_participants_alone(
    session: tuple[WorkerProcess, WorkerProcess, WorkerProcess],
) -> None:
    coordinator, first, _ = session
    made = await export(coordinator, "first")
    outsider = await verify(session[2], made)
    assert (outsider.status, outsider.body["error"]["details"]["code"]) == (502, "POLICY_VIOLATION")
    peer = SdkPeer("peer")
    await introduce(coordinator, first, peer)
    token = await peer.token_from(coordinator)
    for headers in ({}, {"X-AITP-TCT": token}, await peer.proof(coordinator, token)):
        answer = await coordinator.request("POST", PATH + made["bundle_ref"], "{}", headers)
        assert answer.status == 403, answer
        assert "session_bundle" not in answer.body
    unknown = await verify(first, made, bundle_ref=str(uuid.uuid4()))
    assert unknown.body["error"]["details"]["code"] == "POLICY_VIOLATION"


async def test_other_bundle_than_was_exported_is_refused(
    session: tuple[WorkerProcess, WorkerProcess, WorkerProcess],
) -> None:
    coordinator, first, _ = session
    made, other = await export(coordinator, "first", "second"), await export(coordinator, "first")
    answer = await verify(first, made, bundle_ref=other["bundle_ref"])
    assert (answer.status, answer.body["error"]["details"]["code"]) == (502, "bundle_changed")


async def test_bundle_is_what_the_independent_verifier_takes(start: Start) -> None:
    coordinator, peer, other = await start("coordinator"), SdkPeer("peer"), SdkPeer("other")
    await introduce(coordinator, peer, other)
    token = await peer.token_from(coordinator)
    await other.token_from(coordinator)
    made = await export(coordinator, "peer", "other")
    headers = await peer.proof(coordinator, token)
    answer = await coordinator.request("POST", PATH + made["bundle_ref"], "{}", headers)
    assert answer.status == 200, answer
    manifest = (await coordinator.request("GET", "/.well-known/aitp-manifest")).body["manifest"]
    asked = {"self_aid": peer.aid, "session_bundle": answer.body, "coordinator_manifest": manifest}
    verify_session_bundle(asked, int(time.time()))
    answer.body["session_bundle"]["participants"].reverse()
    with pytest.raises(AitpError, match="signature"):
        verify_session_bundle(asked, int(time.time()))


async def test_what_cannot_be_bundled_is_said(session: tuple[WorkerProcess, WorkerProcess, WorkerProcess]) -> None:
    coordinator = session[0]
    for participants, status, code in (
        ([], 400, "invalid_request"),
        (["first", "first"], 400, "invalid_request"),
        ([5], 400, "invalid_request"),
        (["nobody"], 409, "no_tct_issued"),
    ):
        answer = await coordinator.admin("export-session-bundle", {"participants": participants})
        assert (answer.status, answer.body["error"]["code"]) == (status, code)
    answer = await session[1].admin(
        "verify-session-bundle", {"coordinator": "coordinator", "bundle_ref": "../x", "sha256": "0"}
    )
    assert (answer.status, answer.body["error"]["code"]) == (400, "invalid_request")


async def test_only_the_last_bundles_are_kept(session: tuple[WorkerProcess, WorkerProcess, WorkerProcess]) -> None:
    coordinator, first, _ = session
    made = [await export(coordinator, "first") for _ in range(MAX_BUNDLES + 1)]
    assert (await verify(first, made[0])).status == 502
    assert (await verify(first, made[1])).status == 200


def test_what_cannot_be_found_out_is_revoked() -> None:
    def broken(_: str) -> bool:
        raise KeyboardInterrupt

    assert bundles._certain(broken)("x") is True
    assert bundles._certain(lambda _: 1)("x") is True  # type: ignore[arg-type,return-value]
    assert bundles._certain(lambda _: False)("x") is False
