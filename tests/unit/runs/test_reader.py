"""A run that is deleted while it is read is gone: what was there so far never passes for the whole."""

from __future__ import annotations

from typing import Any, cast

import pytest

from aitp_playground.errors import RunNotFound
from aitp_playground.events.codec import encode
from aitp_playground.events.model import RunEvent, draft
from aitp_playground.runs.reader import RunReader
from aitp_playground.store.port import (
    EventPage,
    RunHeader,
    RunPage,
    RunProof,
    RunRow,
    RunStore,
    RunSummary,
    StoredEvent,
)

EVENTS = 7
READ_AT_ONCE = 2


def stored(seq: int) -> StoredEvent:
    fields = draft("step.complete", step_id=f"s{seq}", result={"seq": seq}).fields
    body = encode(RunEvent(seq=seq, id=str(seq), type="step.complete", ts=1.0, run_id="r", fields=fields))
    return StoredEvent(seq, "step.complete", 1.0, body)


class Vanishing:
    """A store whose only run is deleted once it has been asked for it ``asked`` times."""

    def __init__(self, asked: int) -> None:
        self.left = asked

    def _gone(self) -> bool:
        self.left -= 1
        return self.left < 0

    async def get(self, run_id: str) -> RunRow | None:
        header = RunHeader(run_id=run_id, scenario_ref="demo/first@1", created_at=1.0)
        summary = RunSummary(run_id=run_id, status="running", event_count=EVENTS)
        return None if self._gone() else RunRow(header, summary)

    async def read(self, run_id: str, *, after: int = 0, limit: int = READ_AT_ONCE) -> EventPage:
        if self._gone():
            return EventPage((), after, more=False)
        last = min(after + min(limit, READ_AT_ONCE), EVENTS)
        return EventPage(tuple(stored(seq) for seq in range(after + 1, last + 1)), last, more=last < EVENTS)


def reader(store: Any) -> RunReader:
    return RunReader(cast("RunStore", store), lambda run_id: None)


async def test_a_run_deleted_at_any_moment_of_its_reading_is_told_as_gone() -> None:
    whole = Vanishing(1_000)
    view = await reader(whole).view("r")
    assert [event.seq for event in view.events] == list(range(1, EVENTS + 1))
    assert view.outputs == {f"s{seq}": {"seq": seq} for seq in range(1, EVENTS + 1)}
    for moment in range(1_000 - whole.left):
        with pytest.raises(RunNotFound):
            await reader(Vanishing(moment)).view("r")


async def test_pages_and_outputs_of_a_deleted_run_do_not_end_as_if_they_were_complete() -> None:
    pages = reader(Vanishing(1)).pages("r", until=EVENTS)
    assert [event.seq for event in await anext(pages)] == [1, 2]
    with pytest.raises(RunNotFound):
        await anext(pages)
    with pytest.raises(RunNotFound):
        await reader(Vanishing(0)).output("r", 3)


class Listing:
    """A store with one success, stored with the proof that is given; its log has one claim that held."""

    def __init__(self, proof: RunProof | None, claims: int) -> None:
        fields: list[tuple[str, dict[str, Any]]] = [
            ("run.started", {}),
            ("step.complete", {"step_id": "a", "result": {}, "payload": {"checked": claims}}),
            ("run.complete", {}),
        ]
        events = [
            RunEvent(seq=seq, id=str(seq), type=kind, ts=1.0, run_id="r", fields=more)
            for seq, (kind, more) in enumerate(fields, 1)
        ]
        self._events = tuple(StoredEvent(event.seq, event.type, event.ts, encode(event)) for event in events)
        self._summary = RunSummary(run_id="r", status="success", event_count=3, finished_at=1.0, proof=proof)
        self.reads = 0

    async def list_runs(self, **_: Any) -> RunPage:
        return RunPage(
            (RunRow(RunHeader(run_id="r", scenario_ref="demo/first@1", created_at=1.0), self._summary),), None
        )

    async def read(self, run_id: str, *, after: int = 0, limit: int = READ_AT_ONCE) -> EventPage:
        self.reads += 1
        return EventPage(self._events[after:], 3, more=False)


@pytest.mark.parametrize(("claims", "proof"), [(1, "proven"), (0, "unproven")])
async def test_a_success_stored_without_its_proof_is_listed_with_what_its_log_says(claims: int, proof: str) -> None:
    store = Listing(None, claims)
    (row,) = (await reader(store).list_runs()).rows
    assert (row.summary.proof, store.reads) == (proof, 1)


async def test_a_proof_that_is_stored_is_listed_without_reading_the_log() -> None:
    store = Listing("proven", 1)
    (row,) = (await reader(store).list_runs()).rows
    assert (row.summary.proof, store.reads) == ("proven", 0)
