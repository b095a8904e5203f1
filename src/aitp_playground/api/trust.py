"""Who holds which token of whom in a run, as the changes from which that follows for every moment."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncGenerator
from typing import Annotated, NotRequired

import orjson
from aiohttp import web
from pydantic import Field
from typing_extensions import TypedDict

from aitp_playground.api import query
from aitp_playground.api import run_requests as asked
from aitp_playground.api.backend import BACKEND
from aitp_playground.api.contract.operations import OF_A_RUN, RUNS, Answer, operation
from aitp_playground.api.documents import Seconds
from aitp_playground.api.paths import RUN_ID, run_id_of
from aitp_playground.api.streaming import listed, written
from aitp_playground.events import trust
from aitp_playground.events.codec import decode, encode_json
from aitp_playground.runs.directory import RunDirectory

TAG = RUNS


class TrustChange(TypedDict):
    """What an event changes in the book of `agent`. `issuer` and `holder` are ids of agents, or AIDs of whom the run
    does not know. `issued`: the issuer gave the token out; `held`: its holder has it; `dropped`: one that it held or
    issued (`side`) is given up; `revoked`: the issuer takes it back; `denied`: another agent has learnt that it is
    revoked; `rotated`: the agent has a new key, and all that it held or issued is gone."""

    seq: Annotated[int, Field(ge=1, description="The event's place in the log.")]
    ts: Seconds
    op: trust.Op
    agent: str
    jti: NotRequired[str]
    issuer: NotRequired[str]
    holder: NotRequired[str]
    grants: NotRequired[list[str]]
    exp: NotRequired[Seconds]
    parent: NotRequired[Annotated[str, Field(description="The `jti` of the token that this one was made from.")]]
    how: NotRequired[trust.How]
    side: NotRequired[trust.Side]
    because: NotRequired[str]
    aid: NotRequired[Annotated[str, Field(description="Of `rotated`: the new one.")]]


class Trust(TypedDict):
    """The changes in the order of the log, up to the event `upto`. A token is good while its holder holds it, until
    `exp`, or until it is revoked."""

    run_id: str
    changes: list[TrustChange]
    upto: Annotated[int, Field(ge=0, description="The last event that was looked at: the next `after`.")]


@operation(
    "getRunTrust",
    "Get who trusts whom in a run",
    Answer("What its events change.", Trust),
    path=(RUN_ID,),
    raises=OF_A_RUN,
)
@query.takes(asked.AFTER)
async def show_trust(request: web.Request) -> web.StreamResponse:
    """Of a run that goes on as of one that is over: both follow from the log alone."""
    directory, run_id = request.app[BACKEND].directory, run_id_of(request)
    until = (await directory.row(run_id)).summary.event_count
    pieces = _pieces(directory, run_id, asked.AFTER.of(request) or 0, until)
    return await written(request, pieces, content_type="application/json")


async def _pieces(directory: RunDirectory, run_id: str, after: int, until: int) -> AsyncGenerator[bytes]:
    """Read from the start, whatever ``after``: what an id stands for was said before."""
    fold, first = trust.TrustFold(), True
    yield orjson.dumps({"run_id": run_id})[:-1] + b',"changes":['
    async with contextlib.aclosing(directory.pages(run_id, until=until)) as pages:
        async for page in pages:
            telling = (decode(stored.body) for stored in page if stored.type in trust.TYPES)
            changes = [change for event in telling for change in fold.apply(event) if change.seq > after]
            for piece in listed([encode_json(change.as_dict()) for change in changes], first=first):
                yield piece
            first = first and not changes
    yield b'],"upto":%d}' % until


ROUTES = [web.get("/runs/{run_id}/trust", show_trust)]
