"""Runs: start, list, show, tell, cancel, delete."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncGenerator
from hashlib import sha256
from http import HTTPStatus

import structlog
from aiohttp import ETag, hdrs, web

from aitp_playground import __version__
from aitp_playground.api import query
from aitp_playground.api import run_requests as asked
from aitp_playground.api.access import caller
from aitp_playground.api.answers import answer, json_bytes
from aitp_playground.api.backend import BACKEND
from aitp_playground.api.contract.operations import (
    IF_NONE_MATCH,
    OF_A_RUN,
    RUNS,
    STORE,
    TEXT,
    UNCHANGED,
    Answer,
    SentHeader,
    operation,
)
from aitp_playground.api.documents import (
    CancelledRun,
    KeptScenario,
    Run,
    RunList,
    RunState,
    StartedRun,
    run_line,
    run_pieces,
)
from aitp_playground.api.paths import RUN_ID, checked_ref, run_id_of
from aitp_playground.api.streaming import written
from aitp_playground.errors import (
    InputsInvalid,
    NotFound,
    RegistryInvalid,
    RunNotTerminal,
    ScenarioNotFound,
    TemplateNotFound,
)
from aitp_playground.events.codec import decode
from aitp_playground.observability import trace_context
from aitp_playground.observability.narrator import Narrator
from aitp_playground.runs.directory import RunDirectory
from aitp_playground.runs.requests import NewRun
from aitp_playground.scenarios import kept
from aitp_playground.store.port import RunRow

TAG = RUNS
log = structlog.get_logger(__name__)
_REPLAYED = "Idempotency-Replayed"
_REVALIDATE = {"Cache-Control": "private, no-cache"}
#: What may be asked of a run once it is there.
_ABOUT_ONE = ("getRun", "getRunStatus", "streamRunEvents", "narrateRun", "cancelRun", "deleteRun")


@operation(
    "createRun",
    "Start a run",
    Answer(
        "The run, which goes on.",
        StartedRun,
        status=HTTPStatus.ACCEPTED,
        headers=(
            SentHeader(hdrs.LOCATION, "Where the run is."),
            SentHeader(_REPLAYED, "`true` when the `Idempotency-Key` named an earlier run.", always=False),
        ),
        leads_to={name: {"run_id": "/run_id"} for name in _ABOUT_ONE},
    ),
    headers=(asked.KEY,),
    body=asked.NEW_RUN,
    raises=(ScenarioNotFound, TemplateNotFound, InputsInvalid, RegistryInvalid, *STORE),
)
async def create_run(request: web.Request) -> web.Response:
    """202 when the run is on disk; a repeated ``Idempotency-Key`` answers with the earlier run."""
    key = asked.idempotency_key(request)
    body = await asked.NEW_RUN.read(request)
    submitted = await request.app[BACKEND].directory.submit(
        NewRun(
            scenario_ref=checked_ref(body.scenario_ref),
            inputs=body.inputs or {},
            template=body.template,
            run_label=body.run_label,
            fault_injection=asked.faults(body.fault_injection),
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


@operation("listRuns", "List runs", Answer("A page of them.", RunList), raises=STORE)
@query.takes(asked.PAGE, asked.BEFORE, asked.STATUS, asked.REF)
async def list_runs(request: web.Request) -> web.Response:
    """Newest first, by pages."""
    page = await request.app[BACKEND].directory.list_runs(
        limit=asked.PAGE.of(request) or 100,
        before=asked.BEFORE.of(request),
        status=asked.STATUS.of(request),
        scenario_ref=asked.REF.of(request),
    )
    following = {} if page.next is None else {"next": page.next}
    return answer({"runs": [run_line(row) for row in page.rows], **following})


@operation(
    "getRun",
    "Get a run",
    Answer("The run.", Run, headers=(SentHeader(hdrs.ETAG, "Changes with every event of the run."),)),
    UNCHANGED,
    path=(RUN_ID,),
    headers=(IF_NONE_MATCH,),
    raises=OF_A_RUN,
)
@query.takes(asked.EVENTS, asked.AFTER, query.LIMIT)
async def show_run(request: web.Request) -> web.StreamResponse:
    """The whole run. Pollers that send ``If-None-Match`` cost a row, not the log."""
    directory, run_id = request.app[BACKEND].directory, run_id_of(request)
    wanted = (
        asked.EVENTS.on(request),
        asked.AFTER.of(request) or 0,
        query.LIMIT.of(request),
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


@operation(
    "getRunScenario",
    "Get the scenario that a run was started from",
    Answer("The scenario.", KeptScenario),
    path=(RUN_ID,),
    raises=(NotFound, *OF_A_RUN),
)
async def show_scenario(request: web.Request) -> web.Response:
    """What the run was started from, whatever has become of the files since."""
    digest, body = await request.app[BACKEND].directory.scenario(run_id_of(request))
    return json_bytes(kept.shown(digest, body))


@operation("getRunStatus", "Get the status of a run", Answer("Its state.", RunState), path=(RUN_ID,), raises=OF_A_RUN)
async def show_status(request: web.Request) -> web.Response:
    """The cheapest way to poll."""
    row = await request.app[BACKEND].directory.row(run_id_of(request))
    state: RunState = {
        "run_id": row.header.run_id,
        "status": row.summary.status,
        "event_count": row.summary.event_count,
        "created_at": row.header.created_at,
    }
    return answer(state)


@operation(
    "narrateRun",
    "Get a run as prose",
    Answer("A line for each event that has one, and a summary.", str, content_type=TEXT),
    path=(RUN_ID,),
    raises=OF_A_RUN,
)
async def tell_run(request: web.Request) -> web.StreamResponse:
    """The run as prose."""
    directory = request.app[BACKEND].directory
    return await written(request, _story(directory, run_id_of(request)), content_type="text/plain")


@operation(
    "cancelRun",
    "Cancel a run",
    Answer("What became of it.", CancelledRun, status=HTTPStatus.ACCEPTED),
    path=(RUN_ID,),
    body=asked.CANCEL,
    raises=OF_A_RUN,
)
async def cancel_run(request: web.Request) -> web.Response:
    """Answered when the run is over, or when the intent to end it is on disk."""
    run_id = run_id_of(request)
    await asked.CANCEL.read(request)
    outcome = await request.app[BACKEND].directory.cancel(run_id)
    log.info("run.cancel_asked", run_id=run_id, cancelled=outcome.cancelled, **caller(request))
    document: CancelledRun = {"run_id": outcome.run_id, "status": outcome.status, "cancelled": outcome.cancelled}
    if outcome.reason is not None:
        document["reason"] = outcome.reason
    return answer(document, status=202)


@operation(
    "deleteRun",
    "Delete a run",
    Answer("It is gone.", status=HTTPStatus.NO_CONTENT),
    path=(RUN_ID,),
    raises=(RunNotTerminal, *OF_A_RUN),
)
async def delete_run(request: web.Request) -> web.Response:
    """Only a run that is over."""
    run_id = run_id_of(request)
    await request.app[BACKEND].directory.delete(run_id)
    log.info("run.deleted", run_id=run_id, **caller(request))
    return web.Response(status=204)


def _etag(row: RunRow, wanted: tuple[object, ...]) -> ETag:
    """Weak, RFC 9110 section 8.8: status and count move with every event, and the version with the document's shape."""
    parts = (__version__, row.header.run_id, row.summary.status, row.summary.event_count, *wanted)
    return ETag(value=sha256(repr(parts).encode()).hexdigest()[:32], is_weak=True)


async def _story(directory: RunDirectory, run_id: str) -> AsyncGenerator[bytes]:
    view = await directory.view(run_id, events=False)
    narrator = Narrator()
    async with contextlib.aclosing(directory.pages(run_id, until=view.row.summary.event_count)) as pages:
        async for page in pages:
            yield narrator.lines(decode(event.body) for event in page)
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
