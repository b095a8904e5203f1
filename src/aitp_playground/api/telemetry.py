"""What agents report about themselves. The token, not the body, says which run and which agent."""

from __future__ import annotations

from typing import Annotated, Any, ClassVar

from aiohttp import web
from pydantic import BeforeValidator, Field

from aitp_playground.api.access import bearer
from aitp_playground.api.answers import answer
from aitp_playground.api.backend import BACKEND
from aitp_playground.api.bodies import Body, read_model
from aitp_playground.api.query import MAX_SEQ
from aitp_playground.errors import Unauthorized
from aitp_playground.strict_json import as_whole


class TelemetryBatch(Body):
    """``emitter_seq`` is the number of the last event of the batch; the directory checks the events themselves."""

    exact: ClassVar[bool] = False

    emitter_seq: Annotated[int, BeforeValidator(as_whole)] = Field(ge=0, le=MAX_SEQ)
    events: list[dict[str, Any]] = Field(max_length=10_000)


async def take_telemetry(request: web.Request) -> web.Response:
    """Answered when the events are on disk."""
    token = bearer(request)
    if token is None:
        raise Unauthorized("send the agent's telemetry token as 'Authorization: Bearer <token>'")
    batch = await read_model(request, TelemetryBatch)
    taken = await request.app[BACKEND].directory.telemetry(token, batch.emitter_seq, list(batch.events))
    return answer(taken)


ROUTES = [web.post("/internal/telemetry", take_telemetry)]
