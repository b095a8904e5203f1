"""What agents report about themselves. The token, not the body, says which run and which agent."""

from __future__ import annotations

from typing import Annotated, Any, ClassVar

from aiohttp import web
from pydantic import BeforeValidator, Field, WithJsonSchema
from typing_extensions import TypedDict

from aitp_playground.api.access import bearer
from aitp_playground.api.answers import answer
from aitp_playground.api.backend import BACKEND
from aitp_playground.api.bodies import Body, JsonBody
from aitp_playground.api.contract.operations import FOR_AGENTS, STORE, Answer, Secured, operation
from aitp_playground.api.query import MAX_SEQ
from aitp_playground.errors import Unauthorized
from aitp_playground.observability.spans import MAX_SPANS, span_schema
from aitp_playground.runs.intake.batches import MAX_BATCH, entry_schema
from aitp_playground.strict_json import as_whole

TAG = FOR_AGENTS
TOKEN = Secured(
    "telemetryToken",
    {"type": "http", "scheme": "bearer", "description": "The token that an agent of a run was launched with."},
)


class TelemetryBatch(Body):
    """``emitter_seq`` is the number of the last event of the batch; the door checks the events and spans themselves."""

    exact: ClassVar[bool] = False

    emitter_seq: Annotated[int, BeforeValidator(as_whole)] = Field(ge=0, le=MAX_SEQ)
    events: Annotated[
        list[dict[str, Any]],
        Field(max_length=10_000),
        WithJsonSchema({"type": "array", "maxItems": MAX_BATCH, "items": entry_schema()}),
    ]
    #: What was served and called in a sampled trace.
    spans: Annotated[
        list[dict[str, Any]],
        WithJsonSchema({"type": "array", "maxItems": MAX_SPANS, "items": span_schema()}),
    ] = Field(default=[], max_length=10_000)


class Taken(TypedDict):
    """`accepted` of them were new; `emitter_seq` is the last of the agent's that the run has."""

    accepted: int
    emitter_seq: int


_BATCH = JsonBody(TelemetryBatch)


@operation(
    "reportTelemetry",
    "Report the events of an agent",
    Answer("They are on disk.", Taken),
    body=_BATCH,
    raises=STORE,
    secured=TOKEN,
)
async def take_telemetry(request: web.Request) -> web.Response:
    """Answered when the events are on disk. What was reported before counts once."""
    token = bearer(request)
    if token is None:
        raise Unauthorized("send the agent's telemetry token as 'Authorization: Bearer <token>'")
    batch = await _BATCH.read(request)
    directory = request.app[BACKEND].directory
    taken = await directory.telemetry(token, batch.emitter_seq, list(batch.events), batch.spans)
    return answer(taken)


ROUTES = [web.post("/internal/telemetry", take_telemetry)]
