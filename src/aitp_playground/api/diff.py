"""How two runs differ. One comparison at a time, and few that wait: each holds both logs in memory."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncGenerator
from functools import partial
from typing import Annotated, Any, Literal, NotRequired

from aiohttp import web
from pydantic import Field
from typing_extensions import TypedDict

from aitp_playground.api import query
from aitp_playground.api.answers import json_bytes
from aitp_playground.api.backend import BACKEND
from aitp_playground.api.contract.operations import OF_A_RUN, RUNS, Answer, operation
from aitp_playground.api.documents import RunLine, run_line
from aitp_playground.api.paths import FIRST_RUN, SECOND_RUN, run_id_of
from aitp_playground.errors import Overloaded, PayloadTooLarge, RunNotFound, RunNotTerminal
from aitp_playground.events.codec import encode_json
from aitp_playground.recording.comparing import compared
from aitp_playground.recording.form import Given
from aitp_playground.recording.normal import Log, normal_form
from aitp_playground.runs.concurrency import Threads
from aitp_playground.runs.directory import RunDirectory
from aitp_playground.store.port import TERMINAL, RunRow

TAG = RUNS
MOST_WAITING = 4
#: Less than the command compares, in a process of its own: the collector of garbage stops all threads, the longer the
#: more objects there are.
MOST_EVENTS = 20_000
MOST_BYTES = 16 << 20
_VOLATILE = query.Flag("volatile", "Compare events that may as well not have come, too.", default=False)
_COMPARING = Threads("comparing", 1)


Change = Literal["missing", "extra", "moved", "changed"]
More = Annotated[int, Field(ge=1, description="How many there are that are not listed.")]


class Difference(TypedDict):
    """A place with both values; a side that has none lacks its own."""

    path: str
    a: NotRequired[Any]
    b: NotRequired[Any]


class EventTypes(TypedDict):
    """Of an event that is another one on either side."""

    a: str
    b: str


class EventNumbers(TypedDict):
    """The event's `seq` on either side that has it."""

    a: NotRequired[int]
    b: NotRequired[int]


class EventDiff(TypedDict):
    """An event that differs; `by` is the agent that reported it, null for the playground."""

    change: Change
    type: str | EventTypes
    by: str | None
    peer: NotRequired[str]
    seq: EventNumbers
    fields: list[Difference]
    more: NotRequired[More]


class Outcomes(TypedDict):
    """How a step ended on either side; null where it is missing."""

    a: str | None
    b: str | None


class StepDiff(TypedDict):
    """A step that differs; null is what happened outside of the steps. One that only one side has, has a `count` of its
    events in place of what differs."""

    step: str | None
    change: Change
    outcome: Outcomes
    count: NotRequired[int]
    output: NotRequired[list[Difference]]
    more: NotRequired[More]
    events: NotRequired[list[EventDiff]]
    more_events: NotRequired[More]


class RunDiff(TypedDict):
    """How two runs differ."""

    a: RunLine
    b: RunLine
    equal: bool
    exact: Annotated[bool, Field(description="False: there may be a shorter way to say it.")]
    run: list[Difference]
    more: NotRequired[More]
    steps: list[StepDiff]
    end: EventDiff | None


class Turns:
    """Who compares, and who waits for it."""

    def __init__(self) -> None:
        self._free = asyncio.Lock()
        self._begun = 0

    @contextlib.asynccontextmanager
    async def turn(self) -> AsyncGenerator[None]:
        """Raises Overloaded when too many wait."""
        if self._begun > MOST_WAITING:
            raise Overloaded("other runs are being compared; ask again later", retry_after=5)
        self._begun += 1
        try:
            async with self._free:
                yield
        finally:
            self._begun -= 1


TURNS = web.AppKey("turns", Turns)


@operation(
    "compareRuns",
    "Compare two runs",
    Answer("How they differ.", RunDiff),
    path=(FIRST_RUN, SECOND_RUN),
    raises=(PayloadTooLarge, RunNotTerminal, *OF_A_RUN),
)
@query.takes(_VOLATILE)
async def compare_runs(request: web.Request) -> web.Response:
    """Both must be over: what goes on differs from what is over by what is still to come."""
    directory = request.app[BACKEND].directory
    volatile = _VOLATILE.on(request)
    rows = await _rows(directory, run_id_of(request, FIRST_RUN), run_id_of(request, SECOND_RUN))
    async with request.app[TURNS].turn():
        logs = [await _log(directory, row) for row in rows]
        return json_bytes(await _COMPARING.do(partial(_compare, rows, logs, volatile)))


async def _rows(directory: RunDirectory, *run_ids: str) -> list[RunRow]:
    rows: list[RunRow] = []
    unknown: list[str] = []
    for run_id in dict.fromkeys(run_ids):
        try:
            rows.append(await directory.row(run_id))
        except RunNotFound:
            unknown.append(run_id)
    if unknown:
        raise RunNotFound(f"no run has the id {' nor '.join(map(repr, unknown))}", details={"unknown": unknown})
    for row in rows:
        if row.summary.status not in TERMINAL:
            raise RunNotTerminal(
                f"run {row.header.run_id} is {row.summary.status}; runs are compared when they are over",
                details={"run_id": row.header.run_id, "status": row.summary.status},
            )
    return [next(row for row in rows if row.header.run_id == run_id) for run_id in run_ids]


async def _log(directory: RunDirectory, row: RunRow) -> Log:
    log = Log(MOST_EVENTS, MOST_BYTES)
    pages = directory.pages(row.header.run_id, until=row.summary.event_count)
    async with contextlib.aclosing(pages):
        async for page in pages:
            for event in page:
                log.add(event.body)
    return log


def _compare(rows: list[RunRow], logs: list[Log], volatile: bool) -> bytes:
    a, b = (
        normal_form(Given.of(row.header), log.bodies, volatile=volatile) for row, log in zip(rows, logs, strict=True)
    )
    shown = dict(zip("ab", map(run_line, rows), strict=True))
    return encode_json({**shown, **compared(a, b).as_dict()})


ROUTES = [web.get("/runs/{a}/diff/{b}", compare_runs)]
