"""What may be asked of runs: the bodies, parameters and headers of their routes."""

from __future__ import annotations

import re
from typing import Any, get_args

from aiohttp import web
from pydantic import ConfigDict, Field

from aitp_playground.api import query
from aitp_playground.api.bodies import Body, JsonBody
from aitp_playground.store.port import RunStatus

SMALL_BODY = 64 * 1024
#: Printable ASCII, so that a key is the same string in every log and header.
_IDEMPOTENCY_KEY = re.compile(r"[\x20-\x7e]{1,255}", re.ASCII)
AFTER = query.Whole("after", "Only events with a greater `seq`.", default=0, low=0, high=query.MAX_SEQ)
EVENTS = query.Flag("events", "Whether the events are in it.", default=True)
PAGE = query.Whole("limit", "How many runs at most.", default=100, low=1, high=query.MAX_PAGE)
BEFORE = query.Words("before", "The `next` of the page before.")
STATUS = query.Choice("status", "Only runs with it.", known=get_args(RunStatus))
REF = query.Words("scenario_ref", "Only runs of this scenario.")
_AgentIds = list[str]


class FaultInjection(Body):
    """Which agents cannot be reached, and how."""

    manifest_404: _AgentIds = Field(default=[], max_length=100)
    peer_offline: _AgentIds = Field(default=[], max_length=100)


class RunRequest(Body):
    """``POST /runs``. A label is one line of text; null means absent."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"scenario_ref": "intra-org/trust-gate@1.0.0"}]})

    scenario_ref: str = Field(min_length=1, max_length=512, description="`<pack>/<scenario>@<version>`.")
    inputs: dict[str, Any] | None = None
    template: str | None = Field(default=None, max_length=128)
    run_label: str | None = Field(default=None, max_length=200, pattern=r"^[^\x00-\x1f\x7f-\x9f\u2028\u2029]*$")
    fault_injection: FaultInjection | None = None


class CancelRequest(Body):
    """Nothing can be said about a cancel yet."""


def _key(given: str) -> str:
    if _IDEMPOTENCY_KEY.fullmatch(given) is None:
        raise ValueError("must be one header of 1 to 255 printable ASCII characters")
    return given


KEY = query.Parsed(
    "Idempotency-Key",
    "A request that is repeated with the same one is answered with the run of the first.",
    parse=_key,
    shape={"type": "string", "minLength": 1, "maxLength": 255, "pattern": f"^{_IDEMPOTENCY_KEY.pattern}$"},
)
NEW_RUN = JsonBody(RunRequest)
CANCEL = JsonBody(CancelRequest, SMALL_BODY, optional=True)


def idempotency_key(request: web.Request) -> str | None:
    """Of this request. Raises InvalidRequest."""
    given = request.headers.getall("Idempotency-Key", [])
    if not given:
        return None
    # Two would be one list, of which nobody knows which member counts.
    return KEY.read(given[0] if len(given) == 1 else "")


def faults(asked: FaultInjection | None) -> dict[str, list[str]]:
    """Those that were asked for."""
    return {} if asked is None else {kind: ids for kind, ids in asked.model_dump().items() if ids}
