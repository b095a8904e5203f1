"""Between the port's values and SQLite's: rows, and cursors."""

from __future__ import annotations

import base64
import binascii
import json
import math
import struct
from collections.abc import Mapping
from typing import Any

import orjson

from aitp_playground.errors import InvalidRequest
from aitp_playground.store.port import RunHeader, RunRow, RunSummary

#: What :func:`run_row` takes, in this order.
COLUMNS = (
    "run_id, scenario_ref, template, run_label, inputs, fault_injection, created_at, idempotency_key, request_digest,"
    " scenario_digest,"
    " status, event_count, finished_at, proof, cancel_requested"
)
_CURSOR = struct.Struct(">dq")


def encode_json(value: Mapping[str, Any]) -> str:
    """JSON. What UTF-8 or 64 bits cannot hold, lone surrogates and long integers, is written in ASCII, more slowly."""
    try:
        return orjson.dumps(dict(value)).decode()
    except TypeError:
        return json.dumps(dict(value), separators=(",", ":"))


def run_row(columns: tuple[Any, ...]) -> RunRow:
    """The inverse of a stored row."""
    run_id, ref, template, label, inputs, faults, created_at, key, digest, scenario, *state = columns
    status, event_count, finished_at, proof, cancel_requested = state
    return RunRow(
        header=RunHeader(
            run_id=run_id,
            scenario_ref=ref,
            template=template,
            run_label=label,
            inputs=json.loads(inputs),
            fault_injection=json.loads(faults),
            created_at=created_at,
            idempotency_key=key,
            request_digest=digest,
            scenario_digest=scenario,
        ),
        summary=RunSummary(run_id=run_id, status=status, event_count=event_count, finished_at=finished_at, proof=proof),
        cancel_requested=bool(cancel_requested),
    )


def encode_cursor(created_at: float, key: int) -> str:
    """The place of a run among all, newest first. Runs of one instant are told apart by the order of their creation."""
    return base64.urlsafe_b64encode(_CURSOR.pack(created_at, key)).rstrip(b"=").decode()


def decode_cursor(cursor: str) -> tuple[float, int]:
    """Raises ``InvalidRequest`` for what :func:`encode_cursor` cannot have written."""
    try:
        created_at, key = _CURSOR.unpack(base64.urlsafe_b64decode(cursor.encode("ascii") + b"=="))
    except (UnicodeEncodeError, binascii.Error, struct.error):
        created_at, key = math.nan, 0
    if math.isnan(created_at) or encode_cursor(created_at, key) != cursor:
        raise InvalidRequest("'before' is not a cursor of an earlier page; pass the 'next' of a page as it is")
    return created_at, key
