"""Runs: start, list, show, tell, cancel, delete."""

from __future__ import annotations

import contextlib
import re
from collections.abc import AsyncGenerator
from hashlib import sha256
from typing import Any, get_args

import structlog
from aiohttp import ETag, hdrs, web
from pydantic import Field

from aitp_playground import __version__
from aitp_playground.api import query
from aitp_playground.api.access import caller
from aitp_playground.api.answers import answer, json_bytes
from aitp_playground.api.backend import BACKEND
from aitp_playground.api.bodies import Body, read_model
from aitp_playground.api.documents import run_line, run_pieces
from aitp_playground.api.paths import checked_ref, run_id_of
from aitp_playground.api.streaming import written
from aitp_playground.errors import InvalidRequest
from aitp_playground.events.codec import decode
from aitp_playground.observability import trace_context
from aitp_playground.observability.narrator import Narrator
from aitp_playground.runs.directory import RunDirectory
from aitp_playground.runs.requests import NewRun
from aitp_playground.scenarios import kept
from aitp_playground.store.port import RunRow, RunStatus

SMALL_BODY = 64 * 1024
log = structlog.get_logger(__name__)
#: Printable ASCII, so that a key is the same string in every log and header.
_IDEMPOTENCY_KEY = re.compile(r"[\x20-\x7e]{1,255}", re.ASCII)
_REPLAYED = "Idempotency-Replayed"
_REVALIDATE = {"Cache-Control": "private, no-cache"}
_AgentIds = list[str]


class FaultInjection(Body):
    """Which agents cannot be reached, and how."""

    manifest_404: _AgentIds = Field(default=[], max_length=100)
    peer_offline: _AgentIds = Field(default=[], max_length=100)


class RunRequest(Body):
    """``POST /runs``. A label is one line of text; null means absent."""

    scenario_ref: str = Field(min_length=1, max_length=512)
    inputs: dict[str, Any] | None = None
    template: str | None = Field(default=None, max_length=128)
    run_label: str | None = Field(default=None, max_length=200, pattern=r"^[^\x00-\x1f\x7f-\x9f\u2028\u2029]*$")
    fault_injection: FaultInjection | None = None


class CancelRequest(Body):
    """Nothing can be said about a cancel yet."""


async def create_run(request: web.Request) -> web.Response:
    """202 when the run is on disk; a repeated ``Idempotency-Key`` answers with the earlier run."""
    key = _idempotency_key(request)
    body = await read_model(request, RunRequest)
    submitted = await request.app[BACKEND].directory.submit(
        NewRun(
            scenario_ref=checked_ref(body.scenario_ref),
            inputs=body.inputs or {},
            template=body.template,
            run_label=body.run_label,
            fault_injection=_faults(body.fault_injection),
            idempotency_key=key,
            asked_by=trace_context.parent_of(request.headers.get(trace_context.HEADER, "")),
        )
    )
    if submitted.existing:
        request.app[BACKEND].metrics.idempotent_replay()
    header, summary = submitted.row.header, submitted.row.summary
    log.info(
        "run.submitted",
        run_id=header.run_id,
        scenario_ref=header.scenario_ref,
        replayed=submitted.existing,
        **caller(request),
    )
    return answer(
        {
            "run_id": header.run_id,
            "status": summary.status,
            "scenario_ref": header.scenario_ref,
            "run_label": header.run_label,
        },
        status=202,
        headers={hdrs.LOCATION: f"/runs/{header.run_id}"} | ({_REPLAYED: "true"} if submitted.existing else {}),
    )


@query.takes("limit", "before", "status", "scenario_ref")
async def list_runs(request: web.Request) -> web.Response:
    """Newest first, by pages."""
    page = await request.app[BACKEND].directory.list_runs(
        limit=query.limit(request) or 100,
        before=query.words(request, "before"),
        status=query.choice(request, "status", get_args(RunStatus)),
        scenario_ref=query.words(request, "scenario_ref"),
    )
    following = {} if page.next is None else {"next": page.next}
    return answer({"runs": [run_line(row) for row in page.rows], **following})


@query.takes("events", "after", "limit")
async def show_run(request: web.Request) -> web.StreamResponse:
    """The whole run. Pollers that send ``If-None-Match`` cost a row, not the log."""
    directory, run_id = request.app[BACKEND].directory, run_id_of(request)
    wanted = (
        query.flag(request, "events", default=True),
        query.number(request, "after", low=0, high=query.MAX_SEQ) or 0,
        query.limit(request),
    )
    tag = _etag(await directory.row(run_id), wanted)
    if any(known.value in {"*", tag.value} for known in request.if_none_match or ()):
        unchanged = web.Response(status=304, headers=_REVALIDATE)
        unchanged.etag = tag
        return unchanged
    events, after, limit = wanted
    view = await directory.view(run_id, events=False)
    document = run_pieces(directory, view, events=events, after=after, limit=limit)
    tag = _etag(view.row, wanted)
    return await written(request, document, content_type="application/json", headers=_REVALIDATE, etag=tag)


async def show_scenario(request: web.Request) -> web.Response:
    """What the run was started from, whatever has become of the files since."""
    digest, body = await request.app[BACKEND].directory.scenario(run_id_of(request))
    return json_bytes(kept.shown(digest, body))


async def show_status(request: web.Request) -> web.Response:
    """The cheapest way to poll."""
    row = await request.app[BACKEND].directory.row(run_id_of(request))
    line = run_line(row)
    return answer({name: line[name] for name in ("run_id", "status", "event_count", "created_at")})


async def tell_run(request: web.Request) -> web.StreamResponse:
    """The run as prose."""
    directory = request.app[BACKEND].directory
    return await written(request, _story(directory, run_id_of(request)), content_type="text/plain")


async def cancel_run(request: web.Request) -> web.Response:
    """Answered when the run is over, or when the intent to end it is on disk."""
    run_id = run_id_of(request)
    await read_model(request, CancelRequest, SMALL_BODY, optional=True)
    outcome = await request.app[BACKEND].directory.cancel(run_id)
    log.info("run.cancel_asked", run_id=run_id, cancelled=outcome.cancelled, **caller(request))
    reason = {} if outcome.reason is None else {"reason": outcome.reason}
    document = {"run_id": outcome.run_id, "status": outcome.status, "cancelled": outcome.cancelled, **reason}
    return answer(document, status=202)


async def delete_run(request: web.Request) -> web.Response:
    """Only a run that is over."""
    run_id = run_id_of(request)
    await request.app[BACKEND].directory.delete(run_id)
    log.info("run.deleted", run_id=run_id, **caller(request))
    return web.Response(status=204)


def _idempotency_key(request: web.Request) -> str | None:
    given = request.headers.getall("Idempotency-Key", [])
    if not given:
        return None
    if len(given) > 1 or _IDEMPOTENCY_KEY.fullmatch(given[0]) is None:
        raise InvalidRequest("Idempotency-Key must be one header of 1 to 255 printable ASCII characters")
    return given[0]


def _faults(asked: FaultInjection | None) -> dict[str, list[str]]:
    return {} if asked is None else {kind: ids for kind, ids in asked.model_dump().items() if ids}


def _etag(row: RunRow, wanted: tuple[object, ...]) -> ETag:
    """Weak, RFC 9110 section 8.8: status and count move with every event, and the version with the document's shape."""
    parts = (__version__, row.header.run_id, row.summary.status, row.summary.event_count, *wanted)
    return ETag(value=sha256(repr(parts).encode()).hexdigest()[:32], is_weak=True)


async def _story(directory: RunDirectory, run_id: str) -> AsyncGenerator[bytes]:
    view = await directory.view(run_id, events=False)
    narrator = Narrator()
    async with contextlib.aclosing(directory.pages(run_id, until=view.row.summary.event_count)) as pages:
        async for page in pages:
            lines = [line for line in (narrator.line(decode(event.body)) for event in page) if line is not None]
            # Lone surrogates, which an agent may report, become question marks.
            yield "".join(f"{line}\n" for line in lines).encode("utf-8", "replace")
    yield f"{narrator.summary()}\n".encode()


ROUTES = [
    web.post("/runs", create_run),
    web.get("/runs", list_runs),
    web.get("/runs/{run_id}", show_run),
    web.get("/runs/{run_id}/status", show_status),
    web.get("/runs/{run_id}/scenario", show_scenario),
    web.get("/runs/{run_id}/narrate", tell_run),
    web.post("/runs/{run_id}/cancel", cancel_run),
    web.delete("/runs/{run_id}", delete_run),
]
