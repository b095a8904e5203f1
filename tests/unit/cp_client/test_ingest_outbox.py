"""Batches, whatever the events are."""

from __future__ import annotations

import itertools
import uuid
from typing import Any

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from aitp_playground.control_plane.events.reported import read_event
from aitp_playground.cp_client.reporting.mapping import AidBook
from aitp_playground.cp_client.reporting.outbox import MAX_EVENTS, compose, contents, halved, mark, renewed, without
from aitp_playground.cp_client.reporting.sanitising import MAX_BODY
from aitp_playground.events.codec import encode
from aitp_playground.events.model import RunEvent
from aitp_playground.store.port import StoredEvent

TEXT = st.text(st.characters(codec=None, exclude_categories=()), max_size=30)
LARGE = st.builds(lambda text, times: text * times, TEXT, st.sampled_from([1, 1, 1, 500, 5000]))
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | LARGE,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXT, inner, max_size=3),
    max_leaves=8,
)
FIELDS = st.fixed_dictionaries(
    {}, optional={"session_id": LARGE, "aid_a": LARGE, "error": LARGE, "grants": st.lists(LARGE, max_size=3)}
)
EVENTS = st.lists(st.tuples(FIELDS, st.dictionaries(TEXT, JSON, max_size=3)), min_size=1, max_size=12)


def log(given_events: list[tuple[dict[str, Any], Any]]) -> list[StoredEvent]:
    events = [
        RunEvent(
            seq=seq,
            id=str(uuid.uuid4()),
            type="llm.complete",
            ts=1_790_000_000.0 + seq,
            run_id="run",
            fields={**fields, "payload": payload},
        )
        for seq, (fields, payload) in enumerate(given_events, 1)
    ]
    return [StoredEvent(event.seq, event.type, event.ts, encode(event)) for event in events]


def marks(batch: Any) -> list[Any]:
    return [mark(event) for event in contents(batch)]


@settings(max_examples=60)
@given(given_events=EVENTS)
def test_every_event_of_a_log_gets_into_a_batch_that_a_control_plane_can_take(given_events: Any) -> None:
    entries, found, aids = log(given_events), list[int](), AidBook()
    while len(found) < len(entries):
        batch = compose("run", entries[len(found) :], aids).batch
        assert len(batch.body) <= MAX_BODY
        assert (batch.first, batch.count) == (len(found) + 1, len(contents(batch)))
        for event in contents(batch):
            read_event(event, 0.0)  # raises for what would cost the batch
            found.append(event["payload"]["seq"])
        assert batch.last == found[-1]
    assert found == list(range(1, len(entries) + 1))


def test_a_batch_holds_no_more_events_than_are_projected_in_good_time() -> None:
    batch = compose("run", log([({}, {})] * (MAX_EVENTS + 5)), AidBook()).batch
    assert (batch.first, batch.last, batch.count) == (1, MAX_EVENTS, MAX_EVENTS)


def test_a_key_follows_from_run_range_and_content_alone() -> None:
    one, two = log([({}, {"n": 1})] * 3), log([({}, {"n": 2})] * 3)
    made = [
        compose("run", one, AidBook()).batch,
        compose("other", one, AidBook()).batch,
        compose("run", one[1:], AidBook()).batch,
        compose("run", two, AidBook()).batch,
    ]
    made += [renewed(made[0]), renewed(renewed(made[0]))]
    assert compose("run", one, AidBook()).batch == made[0]
    assert all(first.key != second.key for first, second in itertools.combinations(made, 2))
    assert all(1 <= len(batch.key) <= 255 for batch in made)
    assert renewed(made[0]).body == made[0].body


def test_what_is_there_already_is_taken_out_and_the_range_stays() -> None:
    batch = compose("run", log([({}, {})] * 5), AidBook()).batch
    there = frozenset(marks(batch)[1:3])
    left = without("run", batch, there)
    assert (left.first, left.last, left.count) == (1, 5, 3)
    assert marks(left) == [own for own in marks(batch) if own not in there]
    assert left.key != batch.key
    assert without("run", batch, frozenset()) is batch
    assert without("run", batch, frozenset(marks(batch))).count == 0


@pytest.mark.parametrize("count", [2, 3, 9])
def test_a_half_ends_where_the_rest_begins(count: int) -> None:
    entries = log([({}, {})] * count)
    batch = compose("run", entries, AidBook()).batch
    head = halved("run", batch)
    rest = compose("run", entries[head.last :], AidBook()).batch
    assert head.count >= 1
    assert marks(head) + marks(rest) == marks(batch)
    assert (head.first, head.last + 1, rest.last) == (1, rest.first, count)


@pytest.mark.parametrize("payload", [None, [], {"id": 1, "seq": 1}, {"id": "x"}, {"seq": 1}])
def test_events_of_others_bear_no_mark(payload: Any) -> None:
    assert mark(orjson.loads(orjson.dumps({"payload": payload}))) is None
