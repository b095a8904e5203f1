"""How runs look on the wire."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncGenerator
from typing import Annotated, Any, Literal, NotRequired

import orjson
from pydantic import Field, WithJsonSchema
from typing_extensions import TypedDict

from aitp_playground.api.streaming import joined, listed
from aitp_playground.events.codec import encode_json
from aitp_playground.runs.directory import RunDirectory
from aitp_playground.runs.requests import RunView
from aitp_playground.store.port import RunProof, RunRow, RunStatus

#: A JSON object that is not ours to describe.
JsonObject = Annotated[Any, WithJsonSchema({"type": "object"})]
Seconds = Annotated[float, Field(description="Unix seconds.")]
Cursor = Annotated[str, Field(description="What to ask on with; absent on the last page.")]
ScenarioRef = Annotated[str, Field(description="`<pack>/<scenario>@<version>`.")]


class Event(TypedDict):
    """An event of a run. Which of the optional fields are there depends on its type, see docs/events.md; what has no
    field of its own stands in `payload`. What does not apply is absent, not null."""

    seq: Annotated[int, Field(ge=1, description="Its place in the log of its run: from 1, without gaps.")]
    id: Annotated[str, Field(description="A UUID.")]
    type: Annotated[str, Field(examples=["run.started", "trust.established", "step.complete", "run.complete"])]
    ts: Seconds
    run_id: str
    agent_id: NotRequired[str]
    agent: NotRequired[str]
    aid: NotRequired[str]
    port: NotRequired[int]
    step_id: NotRequired[str]
    capability: NotRequired[str]
    initiator: NotRequired[str]
    target: NotRequired[str]
    aid_a: NotRequired[str]
    aid_b: NotRequired[str]
    session_id: NotRequired[str]
    grants: NotRequired[list[Any]]
    jti: NotRequired[str]
    peers: NotRequired[JsonObject]
    scenario_ref: NotRequired[str]
    template: NotRequired[str]
    result: NotRequired[JsonObject]
    error: NotRequired[str]
    cause: NotRequired[str]
    source_url: NotRequired[str]
    notes: NotRequired[str]
    delivery_id: NotRequired[str]
    event_type: NotRequired[str]
    foreign: NotRequired[bool]
    payload: NotRequired[JsonObject]


class RunLine(TypedDict):
    """A run in a list."""

    run_id: str
    status: RunStatus
    proof: Annotated[RunProof | None, Field(description="Of a success; null of every other.")]
    scenario_ref: ScenarioRef
    run_label: str | None
    created_at: Seconds
    event_count: int


class RunState(TypedDict):
    """How far a run is."""

    run_id: str
    status: RunStatus
    event_count: int
    created_at: Seconds


class _RunHead(TypedDict):
    run_id: str
    status: RunStatus
    proof: Annotated[RunProof | None, Field(description="Of a success; null of every other.")]
    unproven_because: Annotated[list[str], Field(description="Sentences; empty when it is proven.")]
    scenario_ref: ScenarioRef
    run_label: str | None
    template: str | None
    scenario_digest: Annotated[str | None, Field(description="Null where an earlier release stored the run.")]
    inputs: JsonObject
    fault_injection: JsonObject


class _RunTail(TypedDict):
    error: Annotated[Any, WithJsonSchema({"type": ["string", "null"], "description": "Why it failed."})]
    created_at: Seconds
    finished_at: Annotated[float | None, Field(description="Unix seconds; null while it goes on.")]
    next: NotRequired[Annotated[str, Field(description="The next `after`, when there are more events.")]]


class Run(_RunHead, _RunTail):
    """The whole of a run."""

    outputs: Annotated[dict[str, Any], Field(description="By step.")]
    events: list[Event]


class StartedRun(TypedDict):
    """It is on disk."""

    run_id: str
    status: RunStatus
    scenario_ref: ScenarioRef
    run_label: str | None


class RunList(TypedDict):
    """Newest first."""

    runs: list[RunLine]
    next: NotRequired[Cursor]


class KeptScenario(TypedDict):
    """What a run was started from. `digest` is the SHA-256 of the canonical form of `ref`, `template`, `scenario` and
    `manifests`; `source` has the texts of the files, `marks` the line of every value: `[path, file, line]`."""

    digest: str
    ref: ScenarioRef
    template: str | None
    scenario: JsonObject
    manifests: dict[str, JsonObject]
    source: dict[str, str]
    marks: list[list[Any]]


class CancelledRun(TypedDict):
    """`cancelled`: this call, or an earlier one, ends the run; `reason` is there when it does not."""

    run_id: str
    status: RunStatus
    cancelled: bool
    reason: NotRequired[str]


class StreamEnd(TypedDict):
    """The last frame: there is nothing more to come."""

    type: Literal["stream.end"]


def run_line(row: RunRow) -> RunLine:
    """One line of ``GET /runs``."""
    return {
        "run_id": row.header.run_id,
        "status": row.summary.status,
        "proof": row.summary.proof,
        "scenario_ref": row.header.scenario_ref,
        "run_label": row.header.run_label,
        "created_at": row.header.created_at,
        "event_count": row.summary.event_count,
    }


def run_document(view: RunView) -> bytes:
    """The body of ``GET /runs/{id}`` for a view that has its events and outputs in memory."""
    outputs = {step_id: orjson.Fragment(encode_json(output)) for step_id, output in view.outputs.items()}
    events = [orjson.Fragment(event.body) for event in view.events]
    return orjson.dumps({**_head(view), "outputs": outputs, "events": events, **_tail(view, view.next_after)})


async def run_pieces(
    directory: RunDirectory, view: RunView, *, events: bool, after: int, limit: int | None
) -> AsyncGenerator[bytes]:
    """The same body in small pieces, read from the store as they are needed.

    Stored events go in as the bytes they are. ``next`` follows a page of events.
    """
    yield orjson.dumps(_head(view))[:-1] + b',"outputs":{'
    separator = b""
    for step_id, seq in view.results.items():
        output = await directory.output(view.row.header.run_id, seq)
        for piece in joined((separator, orjson.dumps(step_id), b":", encode_json(output))):
            yield piece
        separator = b","
    yield b'},"events":['
    last = after if events else view.row.summary.event_count
    if events:
        until = view.row.summary.event_count
        async with contextlib.aclosing(
            directory.pages(view.row.header.run_id, after=after, until=until, limit=limit)
        ) as pages:
            async for page in pages:
                for piece in listed([event.body for event in page], first=last == after):
                    yield piece
                last = page[-1].seq
    yield b"]," + orjson.dumps(_tail(view, last))[1:]


def _head(view: RunView) -> _RunHead:
    header, summary = view.row.header, view.row.summary
    return {
        "run_id": header.run_id,
        "status": summary.status,
        "proof": view.proof,
        "unproven_because": list(view.unproven_because),
        "scenario_ref": header.scenario_ref,
        "run_label": header.run_label,
        "template": header.template,
        "scenario_digest": header.scenario_digest,
        "inputs": orjson.Fragment(encode_json(header.inputs)),
        "fault_injection": orjson.Fragment(encode_json(header.fault_injection)),
    }


def _tail(view: RunView, last: int) -> _RunTail:
    tail: _RunTail = {
        "error": orjson.Fragment(encode_json(view.error)),
        "created_at": view.row.header.created_at,
        "finished_at": view.row.summary.finished_at,
    }
    if last < view.row.summary.event_count:
        tail["next"] = str(last)
    return tail
