"""POST /api/events: what of an event is stored, and under which name."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.contract.wire import UUID, ControlPlane


async def stored(cp: ControlPlane, unique: str, **event: Any) -> dict[str, Any]:
    """The row that an event becomes."""
    await cp.ingest({"type": "demo", "run_id": unique, **event})
    (row,) = await cp.history(runId=unique)
    return row


@pytest.mark.parametrize(
    ("sent", "field"),
    [
        ("aidA", "aidA"),
        ("aid_a", "aidA"),
        ("initiator", "aidA"),
        ("aidB", "aidB"),
        ("aid_b", "aidB"),
        ("target", "aidB"),
        ("sessionId", "sessionId"),
        ("session_id", "sessionId"),
        ("source", "source"),
    ],
)
async def test_a_field_is_known_by_its_names(cp: ControlPlane, unique: str, sent: str, field: str) -> None:
    assert (await stored(cp, unique, **{sent: f"v-{unique}"}))[field] == f"v-{unique}"


@pytest.mark.parametrize("run", [{"runId": "{}"}, {"run_id": "{}"}, {"playground": {"run_id": "{}"}}], ids=str)
async def test_the_run_is_known_by_three_names(cp: ControlPlane, unique: str, run: dict[str, Any]) -> None:
    await cp.ingest({"type": "demo", **json.loads(json.dumps(run).replace("{}", unique))})

    assert len(await cp.history(runId=unique)) == 1


@pytest.mark.parametrize("snake", ["", "other"])
async def test_the_underscored_names_of_run_and_session_go_before_the_others_also_when_empty(
    cp: ControlPlane, unique: str, snake: str
) -> None:
    event = {"type": f"t-{unique}", "run_id": snake, "runId": unique, "session_id": snake, "sessionId": unique}
    await cp.ingest({**event, "playground": {"run_id": unique}})

    (row,) = await cp.history(type=f"t-{unique}")
    assert (row["runId"], row["sessionId"]) == (snake or None, snake or None)
    assert await cp.history(runId=unique) == []


async def test_the_first_name_with_a_text_that_is_not_empty_wins(cp: ControlPlane, unique: str) -> None:
    row = await stored(cp, unique, aidA="", aid_a=7, initiator="third", sessionId="first", session_id="second")

    assert (row["aidA"], row["sessionId"]) == ("third", "second")


@pytest.mark.parametrize(("sent", "kept"), [({}, "unknown"), ({"type": 5}, "unknown"), ({"type": ""}, "")])
async def test_a_type_that_is_missing_is_unknown_and_an_empty_one_stays(
    cp: ControlPlane, unique: str, sent: dict[str, Any], kept: str
) -> None:
    await cp.ingest({"run_id": unique, **sent})

    assert [row["type"] for row in await cp.history(runId=unique)] == [kept]


@pytest.mark.parametrize(
    ("sent", "kept"), [(["a", "b"], ["a", "b"]), (["a", 1], None), ("a", None), ({"a": 1}, None), (None, None)]
)
async def test_grants_are_kept_only_when_all_are_texts(cp: ControlPlane, unique: str, sent: Any, kept: Any) -> None:
    assert (await stored(cp, unique, grants=sent))["grants"] == kept


async def test_an_event_without_source_is_said_to_come_from_the_playground(cp: ControlPlane, unique: str) -> None:
    assert (await stored(cp, unique))["source"] == "playground"


@pytest.mark.parametrize("payload", [{"n": 1, "deep": {"é": ["☃", "😀"]}}, [1, {"two": 2}], {}])
async def test_a_payload_object_or_array_is_kept_and_stray_keys_are_lost(
    cp: ControlPlane, unique: str, payload: Any
) -> None:
    row = await stored(cp, unique, payload=payload, stray="lost")

    assert row["payload"] == payload
    assert "stray" not in row


@pytest.mark.parametrize("payload", [{}, {"payload": None}, {"payload": "text"}, {"payload": 3}])
async def test_without_a_payload_the_whole_event_is_the_payload(
    cp: ControlPlane, unique: str, payload: dict[str, Any]
) -> None:
    event = {"type": "demo", "run_id": unique, "stray": "kept", **payload}
    await cp.ingest(event)

    (row,) = await cp.history(runId=unique)
    assert row["payload"] == event


async def test_a_clients_id_is_never_used_so_the_same_event_twice_is_two(cp: ControlPlane, unique: str) -> None:
    event = {"id": "6f2ab65f-5a50-4a3c-9d5e-3f6f0f9d7a11", "type": "demo", "run_id": unique, "payload": {}}

    await cp.ingest(event, event)
    await cp.ingest(event)

    ids = {row["id"] for row in await cp.history(runId=unique)}
    assert len(ids) == 3
    assert event["id"] not in ids
    assert all(UUID.fullmatch(row_id) for row_id in ids)


async def test_numbers_are_no_session_and_no_run(cp: ControlPlane, unique: str) -> None:
    await cp.ingest({"type": unique, "run_id": 7, "session_id": 8})

    (row,) = await cp.history(type=unique)
    assert (row["runId"], row["sessionId"]) == (None, None)


async def test_a_row_carries_every_field_with_null_for_the_absent(cp: ControlPlane, unique: str) -> None:
    row = await stored(cp, unique, payload={"n": 1})

    absent = {name for name, value in row.items() if value is None}
    assert absent == {"aidA", "aidB", "sessionId", "grants"}
    assert row.keys() - absent == {"id", "type", "ts", "runId", "payload", "source", "createdAt"}


async def test_a_bare_array_is_a_batch_whatever_its_content_type(cp: ControlPlane, unique: str) -> None:
    raw = json.dumps([{"type": "demo", "run_id": unique}]).encode()

    answer = await cp.post("/api/events", data=raw, headers={"Content-Type": "text/plain"})

    assert answer.json() == {"ingested": 1}
    assert len(await cp.history(runId=unique)) == 1


async def test_entries_that_are_no_objects_are_skipped_and_not_counted(cp: ControlPlane, unique: str) -> None:
    batch = [{"type": "demo", "run_id": unique}, "text", 7, None, True]

    assert (await cp.post("/api/events", {"events": batch})).json() == {"ingested": 1}
    assert len(await cp.history(runId=unique)) == 1


@pytest.mark.parametrize(
    "body", [{"type": "demo"}, {"Events": [{"type": "demo"}]}, {"events": None}, "text", 7, {}, [], {"events": []}]
)
async def test_a_wrong_shape_is_200_and_ingests_nothing(cp: ControlPlane, body: Any) -> None:
    assert (await cp.post("/api/events", body)).json() == {"ingested": 0}


@pytest.mark.parametrize("events", [{"type": "demo"}, "text"])
async def test_events_that_are_an_object_or_a_text_are_an_empty_500(cp: ControlPlane, events: Any) -> None:
    answer = await cp.post("/api/events", {"events": events})

    assert (answer.status, answer.body) == (500, b"")


async def test_types_nobody_knows_are_stored(cp: ControlPlane, unique: str) -> None:
    await cp.ingest({"type": f"made.up.{unique}", "run_id": unique})

    assert [row["type"] for row in await cp.history(runId=unique)] == [f"made.up.{unique}"]


@pytest.mark.parametrize("encoded", [b"\xef\xbb\xbf[]x", b"\x1f\x8b\x08\x00"])
async def test_bodies_that_are_no_plain_json_are_refused(cp: ControlPlane, encoded: bytes) -> None:
    assert (await cp.post("/api/events", data=encoded)).refusal() == (400, "BODY_INVALID")
