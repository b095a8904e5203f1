"""An event in the Control Plane's terms."""

from __future__ import annotations

from typing import Any

import pytest

from aitp_playground.cp_client.reporting.mapping import AidBook, moment, told
from aitp_playground.events.model import RunEvent, draft

WRITER, READER, STRANGER = "aid:pubkey:writer", "aid:pubkey:reader", "aid:pubkey:stranger"


def event(event_type: str, **fields: Any) -> RunEvent:
    return RunEvent(
        seq=7, id="the-id", type=event_type, ts=1.0, run_id="run", fields=draft(event_type, **fields).fields
    )


@pytest.fixture
def aids() -> AidBook:
    book = AidBook()
    book.note(event("agent.ready", agent_id="writer", aid=WRITER, port=1))
    book.note(event("agent.ready", agent_id="reader", aid=READER, port=2))
    return book


@pytest.mark.parametrize(
    ("fields", "parties"),
    [
        ({"initiator": "writer", "target": "reader"}, (WRITER, READER)),
        ({"initiator": "writer", "target": "reader", "aid_b": STRANGER}, (WRITER, STRANGER)),
        ({"initiator": "nobody", "target": "nobody"}, (None, None)),
        ({"aid_a": "writer", "aid_b": "reader"}, (None, None)),
        ({"agent_id": "writer"}, (WRITER, None)),
        ({"agent": "reader"}, (READER, None)),
        ({"agent_id": "writer", "aid": WRITER}, (WRITER, None)),
        ({"agent_id": "writer", "aid": STRANGER}, (STRANGER, WRITER)),
        ({}, (None, None)),
    ],
    ids=str,
)
def test_parties_are_aids_or_nothing(
    aids: AidBook, fields: dict[str, Any], parties: tuple[str | None, str | None]
) -> None:
    row = told(event("step.started", **fields), aids)
    assert (row.get("aid_a"), row.get("aid_b")) == parties
    assert not row.keys() & {"initiator", "target", "agent_id"}


def test_an_agent_that_changed_its_key_is_known_by_the_new_one(aids: AidBook) -> None:
    aids.note(event("identity.key.rotated", agent_id="writer", new_aid=STRANGER))
    assert aids.of("writer") == STRANGER


def test_the_fields_of_event_and_payload_stand_side_by_side(aids: AidBook) -> None:
    row = told(event("handshake.failed", error="no", session_id="s", boundary="org", code="stale"), aids)
    assert row == {
        "type": "handshake.failed",
        "ts": "1970-01-01T00:00:01.000Z",
        "run_id": "run",
        "session_id": "s",
        "source": "aitp-playground",
        "payload": {"error": "no", "session_id": "s", "boundary": "org", "code": "stale", "id": "the-id", "seq": 7}
        | {"trace_id": "run"},
    }


@pytest.mark.parametrize("name", ["id", "seq", "error", "payload"])
def test_what_hides_behind_a_name_of_the_events_own_is_not_lost(aids: AidBook, name: str) -> None:
    given = RunEvent(
        seq=7, id="the-id", type="t", ts=1.0, run_id="run", fields={"error": "own", "payload": {name: "theirs", "n": 1}}
    )
    assert told(given, aids)["payload"] == {
        "error": "own",
        "payload": {name: "theirs", "n": 1},
        "id": "the-id",
        "seq": 7,
        "trace_id": "run",
    }


@pytest.mark.parametrize(("grants", "kept"), [(["a", "b"], ["a", "b"]), ([], []), (["a", 1], None), ("a", None)])
def test_grants_stand_at_the_top_if_all_of_them_are_texts(aids: AidBook, grants: Any, kept: Any) -> None:
    assert told(event("trust.established", grants=grants), aids).get("grants") == kept


@pytest.mark.parametrize(
    ("ts", "text"),
    [
        (1_790_000_000.0, "2026-09-21T14:13:20.000Z"),
        (1_790_000_000.1239, "2026-09-21T14:13:20.123Z"),
        (1e18, None),
        (float("nan"), None),
    ],
)
def test_times_have_milliseconds_and_a_zone_or_are_left_out(ts: float, text: str | None) -> None:
    assert moment(ts) == text
