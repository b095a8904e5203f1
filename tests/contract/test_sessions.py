"""Sessions as reported handshakes make them; their replay."""

from __future__ import annotations

from typing import Any
from urllib.parse import quote

import pytest

from tests.contract.wire import POSTGRES_TIME, ControlPlane


def started(session: str, **fields: Any) -> dict[str, Any]:
    return {
        "type": "handshake.started",
        "session_id": session,
        "aid_a": "A",
        "aid_b": "B",
        "ts": "2026-11-22T15:40:00Z",
        "payload": {},
        **fields,
    }


def completed(session: str, **fields: Any) -> dict[str, Any]:
    return {
        "type": "handshake.complete",
        "session_id": session,
        "grants": ["g"],
        "ts": "2026-11-22T15:40:01Z",
        "payload": {},
        **fields,
    }


def failed(session: str, error: Any = "POLICY_VIOLATION") -> dict[str, Any]:
    return {"type": "handshake.failed", "session_id": session, "payload": {"error": error}}


async def session(cp: ControlPlane, session_id: str) -> dict[str, Any] | None:
    """The session's row, as it is shown alone."""
    answer = await cp.get(f"/api/sessions/{quote(session_id, safe='')}")
    if answer.status == 404:
        return None
    found: dict[str, Any] = answer.json()["session"]
    return found


async def test_a_handshake_started_and_complete_is_a_complete_session(cp: ControlPlane, unique: str) -> None:
    await cp.ingest(started(unique, run_id=unique), completed(unique))

    (row,) = (await cp.get("/api/sessions", runId=unique)).json()["sessions"]

    assert POSTGRES_TIME.fullmatch(row.pop("createdAt"))
    assert POSTGRES_TIME.fullmatch(row.pop("updatedAt"))
    assert row == {
        "sessionId": unique,
        "aidA": "A",
        "aidB": "B",
        "status": "complete",
        "grants": ["g"],
        "runId": unique,
        "boundary": None,
        "error": None,
        "startedAt": "2026-11-22 15:40:00+00",
        "completedAt": "2026-11-22 15:40:01+00",
    }


@pytest.mark.parametrize("last", [completed, failed])
async def test_without_a_start_there_is_no_session(cp: ControlPlane, unique: str, last: Any) -> None:
    await cp.ingest(last(unique))

    assert await session(cp, unique) is None
    assert len(await cp.history(sessionId=unique)) == 1


async def test_an_end_ahead_of_the_start_leaves_the_session_started(cp: ControlPlane, unique: str) -> None:
    await cp.ingest(completed(unique), started(unique))

    found = await session(cp, unique)
    assert found is not None
    assert (found["status"], found["completedAt"]) == ("started", None)


async def test_a_misspelt_completion_changes_nothing(cp: ControlPlane, unique: str) -> None:
    await cp.ingest(started(unique), {**completed(unique), "type": "handshake.completed"})

    found = await session(cp, unique)
    assert found is not None
    assert found["status"] == "started"


async def test_the_first_start_wins(cp: ControlPlane, unique: str) -> None:
    await cp.ingest(
        started(unique, run_id="first", payload={"boundary": "intra_org"}),
        started(unique, run_id="second", aid_a="C", payload={"boundary": "cross_org"}, ts="2026-11-22T16:00:00Z"),
    )

    found = await session(cp, unique)
    assert found is not None
    assert (found["runId"], found["aidA"], found["boundary"]) == ("first", "A", "intra_org")
    assert found["startedAt"] == "2026-11-22 15:40:00+00"


async def test_the_completion_takes_grants_from_the_top_and_nothing_else(cp: ControlPlane, unique: str) -> None:
    end = completed(unique, aid_a="C", run_id="other", payload={"grants": ["from-payload"]})
    await cp.ingest(started(unique), end)

    found = await session(cp, unique)
    assert found is not None
    assert (found["grants"], found["aidA"], found["runId"]) == (["g"], "A", None)


@pytest.mark.parametrize(("error", "kept"), [("POLICY_VIOLATION", "POLICY_VIOLATION"), ({"code": 1}, None)])
async def test_a_failed_handshake_keeps_an_error_that_is_a_text(
    cp: ControlPlane, unique: str, error: Any, kept: str | None
) -> None:
    await cp.ingest(started(unique), failed(unique, error))

    found = await session(cp, unique)
    assert found is not None
    assert (found["status"], found["error"], found["completedAt"]) == ("failed", kept, None)


async def test_a_completion_after_a_failure_keeps_the_error(cp: ControlPlane, unique: str) -> None:
    await cp.ingest(started(unique), failed(unique), completed(unique))

    found = await session(cp, unique)
    assert found is not None
    assert (found["status"], found["error"]) == ("complete", "POLICY_VIOLATION")


@pytest.mark.parametrize(("length", "kept"), [(32, True), (33, False)])
async def test_a_boundary_over_32_letters_loses_the_session(
    cp: ControlPlane, unique: str, length: int, kept: bool
) -> None:
    await cp.ingest(started(unique, payload={"boundary": "b" * length}))

    assert (await session(cp, unique) is not None) is kept
    assert len(await cp.history(sessionId=unique)) == 1


async def test_sessions_are_told_apart_by_status_run_and_aid(cp: ControlPlane, unique: str) -> None:
    await cp.ingest(
        started(unique + "1", run_id=unique, aid_a=unique),
        started(unique + "2", run_id=unique),
        completed(unique + "1"),
    )

    async def ids(**query: str) -> set[str]:
        return {row["sessionId"][32:] for row in (await cp.get("/api/sessions", **query)).json()["sessions"]}

    assert await ids(runId=unique) == await ids(run_id=unique) == {"1", "2"}
    assert await ids(runId=unique, status="complete") == {"1"}
    assert await ids(aid=unique) == {"1"}
    assert await ids(runId=unique, limit="1", offset="1", session_id="x") == {"1", "2"}


async def test_never_more_than_the_newest_200_sessions_are_listed(cp: ControlPlane, unique: str) -> None:
    await cp.ingest(*(started(f"{unique}-{n}", run_id=unique) for n in range(201)))

    assert len((await cp.get("/api/sessions", runId=unique, limit="1000")).json()["sessions"]) == 200


async def test_one_session_is_shown_with_its_events(cp: ControlPlane, unique: str) -> None:
    odd = f"{unique}/with/slashes"
    await cp.ingest(started(odd), completed(odd))

    found = (await cp.get(f"/api/sessions/{quote(odd, safe='')}")).json()

    assert found["session"]["sessionId"] == odd
    assert {event["type"] for event in found["events"]} == {"handshake.started", "handshake.complete"}


async def test_a_replay_is_oldest_first_in_the_form_of_history(cp: ControlPlane, unique: str) -> None:
    await cp.ingest(completed(unique), started(unique))

    replay = (await cp.get(f"/api/sessions/{unique}/replay")).json()

    assert (replay["sessionId"], replay["count"]) == (unique, 2)
    assert replay["events"] == (await cp.history(sessionId=unique))[::-1]


async def test_a_replay_needs_no_session(cp: ControlPlane, unique: str) -> None:
    assert (await cp.get(f"/api/sessions/{unique}")).status == 404
    unknown = {"sessionId": unique, "count": 0, "events": []}
    assert (await cp.get(f"/api/sessions/{unique}/replay")).json() == unknown

    await cp.ingest({"type": "demo", "session_id": unique})
    assert (await cp.get(f"/api/sessions/{unique}/replay")).json()["count"] == 1


async def test_a_replay_has_bounds_and_a_limit(cp: ControlPlane, unique: str) -> None:
    await cp.ingest(*({"type": f"t{n}", "session_id": unique, "ts": f"2026-11-22T15:00:0{n}Z"} for n in range(5)))
    path = f"/api/sessions/{unique}/replay"

    within = (await cp.get(path, since="2026-11-22T15:00:01Z", until="2026-11-22T15:00:03Z", limit="2")).json()

    assert [event["type"] for event in within["events"]] == ["t1", "t2"]
    assert (await cp.get(path, since="soon")).refusal() == (400, "BAD_REQUEST")


async def test_what_a_later_event_leaves_out_is_kept(cp: ControlPlane, unique: str) -> None:
    bare = completed(unique)
    del bare["grants"]
    await cp.ingest(started(unique), completed(unique, grants=["kept"]), bare, failed(unique), failed(unique, None))

    found = await session(cp, unique)
    assert found is not None
    assert (found["grants"], found["error"], found["status"]) == (["kept"], "POLICY_VIOLATION", "failed")


async def test_a_session_is_exported_as_a_file(cp: ControlPlane, unique: str) -> None:
    await cp.ingest(started(unique), completed(unique))

    exported = await cp.get(f"/api/sessions/{unique}/export")

    assert exported.headers["Content-Disposition"].startswith("attachment;")
    assert unique in exported.body.decode()
    assert exported.json()
    assert (await cp.get("/api/sessions/no-such-session/export")).status == 404
