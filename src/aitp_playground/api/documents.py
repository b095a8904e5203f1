"""How runs look on the wire."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncGenerator
from typing import Any

import orjson

from aitp_playground.api.streaming import joined, listed
from aitp_playground.events.codec import encode_json
from aitp_playground.runs.directory import RunDirectory
from aitp_playground.runs.requests import RunView
from aitp_playground.store.port import RunRow


def run_line(row: RunRow) -> dict[str, Any]:
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


def _head(view: RunView) -> dict[str, Any]:
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


def _tail(view: RunView, last: int) -> dict[str, Any]:
    summary = view.row.summary
    following = {"next": str(last)} if last < summary.event_count else {}
    return {
        "error": orjson.Fragment(encode_json(view.error)),
        "created_at": view.row.header.created_at,
        "finished_at": summary.finished_at,
        **following,
    }
