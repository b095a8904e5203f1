"""From a request to the header of a run: checked against what the registry knows."""

from __future__ import annotations

import hashlib
import time
import uuid
from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any, NoReturn

import orjson

from aitp_playground.errors import InvalidRequest
from aitp_playground.runs.concurrency import Threads
from aitp_playground.runs.requests import NewRun
from aitp_playground.scenarios.inputs import complete_inputs
from aitp_playground.scenarios.models import ResolvedScenario
from aitp_playground.scenarios.providers import provider
from aitp_playground.steps.faults import FaultableStep
from aitp_playground.store.port import RunHeader

#: Inputs that take milliseconds to validate never wait behind those that take a process, which are told to come again.
_AT_ONCE = Threads("inputs", 2)
_LONG = Threads("inputs-judged", 2, waiting=16)


async def header_of(request: NewRun, resolved: ResolvedScenario, digest: str) -> RunHeader:
    """Raises InvalidRequest, InputsInvalid, Overloaded."""
    _check_faults(request.fault_injection, resolved)
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


def _check_faults(injection: Mapping[str, Sequence[str]], resolved: ResolvedScenario) -> None:
    """Every fault asked for is one that the run will meet."""
    known = {agent.id for agent in resolved.scenario.spec.agents}
    called = _called(resolved) if injection else frozenset()
    kinds: dict[str, str] = {}
    for kind, targets in injection.items():
        for target in targets:
            named = f"fault_injection.{kind} names {target!r}"
            if target not in known:
                raise InvalidRequest(
                    f"{named}, which is no agent of {resolved.ref}; its agents are {', '.join(sorted(known))}"
                )
            if target not in called:
                raise InvalidRequest(
                    f"{named}, which nobody calls in {resolved.ref}, so that the fault would not be met; "
                    f"those called are {', '.join(sorted(called)) or 'none'}"
                )
            if kinds.setdefault(target, kind) != kind:
                raise InvalidRequest(f"{named}, as does fault_injection.{kinds[target]}; an agent can have one fault")


def _called(resolved: ResolvedScenario) -> frozenset[str]:
    """Agents that an eager handshake or a step without a fault of its own is aimed at."""
    spec = resolved.scenario.spec
    provides = partial(provider, resolved.scenario, resolved.manifests)
    steps = [step for step in spec.workflow.steps if isinstance(step, FaultableStep) and step.fault is None]
    eager = [agent.id for agent in spec.agents[1:]] if spec.trust.eager else []
    return frozenset(filter(None, (*eager, *(step.aimed_at(provides) for step in steps))))


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
