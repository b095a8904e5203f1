"""From a request to the header of a run: checked against what the registry knows."""

from __future__ import annotations

import hashlib
import time
import uuid
from collections.abc import Mapping
from functools import partial
from typing import Any, NoReturn

import orjson

from aitp_playground.errors import InvalidRequest
from aitp_playground.runs.concurrency import Threads
from aitp_playground.runs.requests import NewRun
from aitp_playground.scenarios.inputs import complete_inputs
from aitp_playground.scenarios.models import ResolvedScenario
from aitp_playground.store.port import RunHeader

#: Inputs that take milliseconds to validate never wait behind those that take a process, which are told to come again.
_AT_ONCE = Threads("inputs", 2)
_LONG = Threads("inputs-judged", 2, waiting=16)


async def header_of(request: NewRun, resolved: ResolvedScenario, digest: str) -> RunHeader:
    """Raises InvalidRequest, InputsInvalid, Overloaded."""
    known = {agent.id for agent in resolved.scenario.spec.agents}
    for kind, targets in request.fault_injection.items():
        for target in targets:
            if target not in known:
                raise InvalidRequest(
                    f"fault_injection.{kind} names {target!r}, which is no agent of {resolved.ref}; "
                    f"its agents are {', '.join(sorted(known))}"
                )
    schema = resolved.scenario.spec.inputs.json_schema
    inputs = await _completed(schema, request.inputs)
    return RunHeader(
        run_id=str(uuid.uuid4()),
        scenario_ref=resolved.ref,
        template=request.template,
        run_label=request.run_label,
        inputs=inputs,
        fault_injection=dict(request.fault_injection),
        created_at=time.time(),
        scenario_digest=digest,
        idempotency_key=request.idempotency_key,
        request_digest=_digest(request) if request.idempotency_key is not None else None,
    )


async def _completed(schema: Mapping[str, Any], given: Mapping[str, Any]) -> dict[str, Any]:
    try:
        return await _AT_ONCE.do(partial(complete_inputs, schema, given, judge=_later))
    except _TakesLong:
        return await _LONG.do(partial(complete_inputs, schema, given))


class _TakesLong(Exception):
    pass


def _later(_question: Mapping[str, Any]) -> NoReturn:
    raise _TakesLong


def _digest(request: NewRun) -> str:
    parts = [request.scenario_ref, request.inputs, request.template, request.run_label, request.fault_injection]
    return hashlib.sha256(orjson.dumps(parts, option=orjson.OPT_SORT_KEYS)).hexdigest()
