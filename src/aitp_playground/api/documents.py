"""How runs look on the wire."""

from __future__ import annotations

from typing import Any

import orjson

from aitp_playground.events.codec import encode_json
from aitp_playground.runs.requests import RunView
from aitp_playground.store.port import RunRow


def run_line(row: RunRow) -> dict[str, Any]:
    """One line of ``GET /runs``."""
    return {
        "run_id": row.header.run_id,
        "status": row.summary.status,
        "scenario_ref": row.header.scenario_ref,
        "run_label": row.header.run_label,
        "created_at": row.header.created_at,
        "event_count": row.summary.event_count,
    }


def run_document(view: RunView) -> bytes:
    """The body of ``GET /runs/{id}``. Stored events go in as the bytes they are. ``next`` follows a page of events."""
    header, summary = view.row.header, view.row.summary
    document: dict[str, Any] = {
        "run_id": header.run_id,
        "status": summary.status,
        "proof": view.proof,
        "scenario_ref": header.scenario_ref,
        "run_label": header.run_label,
        "template": header.template,
        "inputs": orjson.Fragment(encode_json(header.inputs)),
        "outputs": orjson.Fragment(encode_json(view.outputs)),
        "events": [orjson.Fragment(event.body) for event in view.events],
        "error": orjson.Fragment(encode_json(view.error)),
        "created_at": header.created_at,
        "finished_at": summary.finished_at,
    }
    if view.more:
        document["next"] = str(view.next_after)
    return orjson.dumps(document)
