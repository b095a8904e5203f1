"""Claims that no run can meet, or that mean something else than they seem to say: codes and statuses that there are
none of, codes that stand for several refusals, counts that allow for nothing having happened, events of agents that
report elsewhere. Each is a doubt."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from typing import Any

from aitp_playground.events.codes import OF_CALLS, REGISTRY_OF
from aitp_playground.events.vocabulary import ANSWER_CODES, REJECTION_CODES
from aitp_playground.scenarios.checks import Fault
from aitp_playground.scenarios.expectations import Expectation
from aitp_playground.scenarios.findings import KeyPath, nearest
from aitp_playground.scenarios.models import AgentManifest, Scenario, StepSpec
from aitp_playground.scenarios.render import has_placeholder
from aitp_playground.scenarios.shape import STEPS

_CODE = "$.body.error.code"
_REASON = "$.body.error.details.reason"

_STATUSES = range(100, 600)
_FORBIDDEN = 403
#: By event type, what can stand under ``code``. Other types pass on what a library or another service said.
_CODES: Mapping[str, frozenset[str]] = {
    "capability.denied": OF_CALLS,
    "delegation.rejected": REJECTION_CODES,
}


#: What the agent that is called says of a call. One that was found elsewhere says it where it was started.
_OF_A_CALLEE = frozenset({"capability.invoked", "capability.denied", "delegation.redeemed", "delegation.rejected"})


#: Codes of the registry by which an agent refuses a call for more than one reason, with these.
_SHARED: Mapping[str, list[str]] = {
    code: reasons
    for code in {REGISTRY_OF[name] for name in OF_CALLS}
    if len(reasons := sorted(name for name in OF_CALLS if REGISTRY_OF[name] == code)) > 1
}


def doubtful_claims(scenario: Scenario, _: Mapping[str, AgentManifest]) -> Iterator[Fault]:
    """Every such claim with its place."""
    spec = scenario.spec
    elsewhere = {a.id for a in spec.agents if a.org == "external" and spec.trust.discovery == "cp_registry"}
    for index, step in enumerate(spec.workflow.steps):
        says_why = any(map(_says_why, step.expect))
        for number, expectation in enumerate(step.expect):
            if not says_why and (message := _ambiguous(expectation, step)):
                yield (*STEPS, index, "expect", number, "equals"), message
            doubts = _of_event(expectation, elsewhere) if expectation.event else _of_path(expectation, step)
            for place, message in doubts:
                yield (*STEPS, index, "expect", number, *place), message


def _says_why(expectation: Expectation) -> bool:
    """Whether it tells one reason of a refusal from the others."""
    if expectation.event is not None:
        return expectation.event == "capability.denied" and not {"code", "payload.code"}.isdisjoint(expectation.where)
    return expectation.path == _REASON


def _ambiguous(expectation: Expectation, step: StepSpec) -> str | None:
    """What else a code would hold for that several refusals share. A control that breaks the mechanism in question may
    then leave the claim standing."""
    if not hasattr(step, "expect_status") or expectation.path != _CODE or not isinstance(expectation.equals, str):
        return None
    reasons = _SHARED.get(expectation.equals)
    if reasons is None:
        return None
    return (
        f"an agent refuses with {expectation.equals} for {', '.join(reasons[:-1])} and {reasons[-1]}: say which, by an "
        f"event capability.denied with its code, or by {_REASON}"
    )


def _of_event(expectation: Expectation, elsewhere: Collection[str]) -> Iterator[Fault]:
    speaker = expectation.where.get("agent_id")
    if expectation.event in _OF_A_CALLEE and isinstance(speaker, str) and speaker in elsewhere:
        message = (
            f"a {speaker} that is found in the registry does not report to this run; check what the step gives, or "
            "what its caller says"
        )
        yield ("where", "agent_id"), message
    if expectation.min is None and expectation.max:
        message = f"without min this holds also when no {expectation.event} comes; write min: 1 beside it, or max: 0"
        yield ("max",), message
    for name, value in expectation.where.items():
        field = name.removeprefix("payload.")
        if field in {"status_code", "status"}:
            yield from _status(("where", name), value)
        elif field == "code" and (known := _CODES.get(expectation.event or "")) is not None:
            yield from _code(("where", name), value, known, f"{expectation.event} has")


def _of_path(expectation: Expectation, step: StepSpec) -> Iterator[Fault]:
    """Of a step whose output is an answer: other outputs are a capability's own, which may call anything a status."""
    if not hasattr(step, "expect_status"):
        return
    # A capability may answer with a code of its own, but not with 403, by which an agent refuses.
    refused = step.expect_status in {None, _FORBIDDEN}
    for name in ("equals", "not_", "min", "max"):
        if name not in expectation.model_fields_set:
            continue
        place: KeyPath = (name.rstrip("_"),)
        value = getattr(expectation, name)
        if expectation.path == "$.status_code":
            yield from _status(place, value, never_came=name in {"equals", "not_"})
        elif expectation.path == _CODE and name in {"equals", "not_"} and refused:
            yield from _answered(place, value)


def _answered(place: KeyPath, value: Any) -> Iterator[Fault]:
    if isinstance(value, str) and value in REGISTRY_OF:
        message = (
            f"an agent answers with {REGISTRY_OF[value]}, the standard's code for it; {value!r} is what its event, "
            "capability.denied, has, and $.body.error.details.reason for a caller that has proven who it is"
        )
        yield place, message
    else:
        yield from _code(place, value, ANSWER_CODES, "an agent answers with")


def _status(place: KeyPath, value: Any, *, never_came: bool = False) -> Iterator[Fault]:
    if has_placeholder(value) or (value is None and never_came):
        return
    if isinstance(value, bool) or not isinstance(value, int | float):
        yield place, f"a status is a number, so it is never {value!r}" + ("; write it without quotes" if value else "")
    elif value not in _STATUSES:
        yield place, f"there is no status {value}: they go from {_STATUSES[0]} to {_STATUSES[-1]}"


def _code(place: KeyPath, value: Any, known: frozenset[str], whose: str) -> Iterator[Fault]:
    if not has_placeholder(value) and value not in tuple(known):
        yield place, f"{whose} no code {value!r}{nearest(str(value), known)}"
