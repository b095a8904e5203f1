"""Deliveries without a network: signatures, the event a body becomes, and an actor that is told too much."""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import json
import uuid
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aitp_playground.actors import ActorRef, Supervisor
from aitp_playground.errors import Overloaded
from aitp_playground.events.codec import decode, decode_json, encode_json
from aitp_playground.events.model import EventDraft, draft
from aitp_playground.runs.intake import deliveries
from aitp_playground.runs.intake.webhooks import delivered, is_signed
from aitp_playground.runs.messages import Delivery, RunMessage, StepEvents
from aitp_playground.store.port import RunHeader
from aitp_playground.store.sqlite import SqliteRunStore

from .test_actor import FORGOTTEN, RUN, Stage, turns

KEYS = st.sampled_from(["deliveryId", "eventType", "payload", "runId", "x"])
HEADER = RunHeader(run_id=RUN, scenario_ref="p/s@1", created_at=1.0)


def signed(secret: str, body: bytes) -> str:
    return f"sha256={hmac.new(secret.encode(), body, hashlib.sha256).hexdigest()}"


@given(st.binary(), st.lists(st.text(st.characters(codec="utf-8"), min_size=1), min_size=1), st.data())
def test_each_secret_signs_and_any_other_byte_does_not(body: bytes, secrets: list[str], data: st.DataObject) -> None:
    secret = data.draw(st.sampled_from(secrets))
    assert is_signed(body, signed(secret, body), secrets)
    assert not is_signed(body + b" ", signed(secret, body), secrets)
    assert not is_signed(body, signed(secret, body), [])


@given(st.text(max_size=80))
def test_no_text_is_a_signature_by_accident(text: str) -> None:
    assert not is_signed(b"body", text, ["secret"])


JSON = st.recursive(st.none() | st.text() | st.integers(), lambda inner: st.lists(inner) | st.dictionaries(KEYS, inner))


#: What a Control Plane sends, with parts missing or of another kind.
DELIVERY = st.fixed_dictionaries(
    {},
    optional={
        "deliveryId": JSON,
        "eventType": JSON,
        "payload": JSON | st.fixed_dictionaries({}, optional={"runId": st.sampled_from([RUN, "another", "", None, 1])}),
    },
)


@given(st.binary(max_size=200) | (JSON | DELIVERY).map(json.dumps))
def test_any_body_becomes_an_event_that_the_log_can_hold(body: bytes | str) -> None:
    raw = body.encode() if isinstance(body, str) else body
    entry = delivered(RUN, raw, "h", "t")
    assert entry == delivered(RUN, raw, "h", "t")
    assert decode_json(encode_json({**entry.fields}))["delivery_id"] == entry.fields["delivery_id"]
    shown = entry.fields.get("payload", {})
    try:
        document = json.loads(raw)
    except ValueError:
        document = None
    if not isinstance(document, dict):
        assert shown == {"raw": raw.decode("utf-8", "replace")}
        assert (entry.fields["delivery_id"], entry.fields["event_type"]) == ("h", "t")
        return
    payload = document.get("payload")
    about = payload.get("runId") if isinstance(payload, dict) else None
    foreign = isinstance(about, str) and about not in {"", RUN}
    assert entry.fields.get("foreign", False) is foreign
    assert shown == ({} if foreign else payload if isinstance(payload, dict) else document)
    signed = document.get("deliveryId")
    assert entry.fields["delivery_id"] == (signed[:200] if isinstance(signed, str) and signed else "h")


def test_the_same_delivery_to_two_runs_is_two_events() -> None:
    body = b'{"deliveryId": "d"}'
    assert delivered("one", body).id != delivered("two", body).id
    assert str(uuid.UUID(delivered("one", body).id)) == delivered("one", body).id


def test_an_id_that_is_no_text_and_an_endless_one_are_told_apart_all_the_same() -> None:
    numbers = [delivered(RUN, b'{"deliveryId": %d}' % number, "h") for number in (1, 2)]
    endless = [delivered(RUN, json.dumps({"deliveryId": "d" * 5000 + end}).encode()) for end in "ab"]
    assert len({entry.id for entry in (*numbers, *endless)}) == 4
    assert all(len(entry.fields["delivery_id"]) <= 200 for entry in endless)


def entry_for(number: int, **fields: Any) -> EventDraft:
    event_id = str(uuid.uuid5(uuid.NAMESPACE_URL, str(number)))
    return draft("cp.webhook.delivered", id=event_id, delivery_id=f"d-{number}", **fields)


@pytest.fixture
async def stage(tmp_path: Path) -> AsyncIterator[Stage]:
    store = SqliteRunStore(str(tmp_path / "runs.db"), state_dir=tmp_path)
    await store.open()
    supervisor = Supervisor()
    try:
        await store.create(HEADER)
        yield Stage(store, supervisor)
    finally:
        await supervisor.close(5.0)
        await store.close()


async def tell(run: ActorRef[RunMessage], number: int, **fields: Any) -> Any:
    return await run.ask(Delivery(entry_for(number, **fields)), timeout=FORGOTTEN)


async def on_disk(stage: Stage) -> list[str]:
    return [decode(entry.body).get("delivery_id") for entry in (await stage.store.read(RUN)).events]


async def test_a_run_that_was_told_too_much_takes_no_more_but_knows_what_it_has(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(deliveries, "MAX_DELIVERIES", 2)
    run = stage.spawn()
    assert [await tell(run, number) for number in (1, 2)] == ["stored", "stored"]
    with pytest.raises(Overloaded):
        await tell(run, 3)
    assert await tell(run, 1) == "duplicate"
    last = draft("cp.webhook.unsubscribed", id=str(uuid.uuid4()))
    assert await run.ask(Delivery(last), timeout=FORGOTTEN) == "stored"


async def test_large_deliveries_do_not_use_up_the_room_of_the_run(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(deliveries, "MAX_DELIVERED_BYTES", 1000)
    run = stage.spawn()
    assert await tell(run, 1, payload={"raw": "x" * 2000}) == "stored"
    with pytest.raises(Overloaded):
        await tell(run, 2)


async def test_foreign_deliveries_are_events_up_to_a_number_and_then_counted_once_each(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(deliveries, "MOST_FOREIGN", 2)
    run = stage.spawn()
    fates = [await tell(run, number, foreign=True) for number in (1, 2, 3, 3, 1)]
    assert fates == ["stored", "stored", "counted", "duplicate", "duplicate"]
    assert await tell(run, 9) == "stored"
    assert await stage.store.foreign_count(RUN) == 1


async def test_a_copy_is_not_answered_for_before_the_first_is_on_disk(stage: Stage) -> None:
    run = stage.spawn()
    assert await tell(run, 1) == "stored"
    async with asyncio.TaskGroup() as group:
        with stage.stalled_disk() as reached:
            copies = [group.create_task(tell(run, 2)) for _ in range(3)]
            assert await asyncio.to_thread(reached.wait, FORGOTTEN)
            await run.ask(StepEvents(), timeout=FORGOTTEN)  # all were handled before this was
            await turns(10)
            assert not any(copy.done() for copy in copies)
    assert [copy.result() for copy in copies] == ["stored", "duplicate", "duplicate"]


async def test_an_actor_that_is_stopped_answers_with_what_its_commit_came_to(stage: Stage) -> None:
    ref = stage.spawn()
    with stage.stalled_disk() as reached:
        told = asyncio.ensure_future(ref.ask(Delivery(entry_for(1)), timeout=FORGOTTEN))
        assert await asyncio.to_thread(reached.wait, FORGOTTEN)
        stopping = asyncio.ensure_future(ref.stop(timeout=FORGOTTEN))
        await turns(10)
        assert not stopping.done()
    assert await told == "stored"
    await stopping
