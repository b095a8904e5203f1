"""The door for telemetry: what an agent may say about its run, and what is taken of it."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Any

from aitp_playground.actors import ActorError, AskTimeout, MailboxFull
from aitp_playground.errors import InvalidRequest, Overloaded, PlaygroundError, Unauthorized
from aitp_playground.events.model import PROMOTED, EventDraft, draft
from aitp_playground.events.vocabulary import AGENT_TYPES
from aitp_playground.observability.metrics import Metrics
from aitp_playground.observability.spans import handed_in
from aitp_playground.observability.tracing import Tracing
from aitp_playground.runs.conducting.step_marks import step_of
from aitp_playground.runs.messages import Telemetry
from aitp_playground.runs.tokens import TelemetryTokens
from aitp_playground.strict_json import as_whole

MAX_BATCH = 1000
TELEMETRY_TIMEOUT = 10.0
#: Later times than any calendar shows are no times: reports and log lines could not hold them.
_YEAR_10000 = 253_402_300_800
_UUID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")
#: Names an agent does not get to choose: the token fixes them, or the run's actor does.
_WORDS: dict[type, str] = {str: "text", list: "a list", dict: "an object", int: "a whole number", bool: "true or false"}
_SHAPES: dict[str, type] = {
    **dict.fromkeys(PROMOTED, str),
    "grants": list,
    "result": dict,
    "peers": dict,
    "payload": dict,
    "port": int,
    "foreign": bool,
}
_NUMBERS = frozenset({"emitter_seq", *(name for name, shape in _SHAPES.items() if shape is int)})
_JSON: dict[type, str] = {str: "string", list: "array", dict: "object", int: "integer", bool: "boolean"}
_NOT_THEIRS = frozenset({"emitter_seq", "id", "type", "ts", "run_id", "seq", "agent_id", "step_id", "step_mark"})


def entry_schema() -> dict[str, Any]:
    """What :func:`telemetry_drafts` takes of one event, as a JSON Schema; null is as good as absent."""
    promoted: dict[str, Any] = {name: {"type": [_JSON[shape], "null"]} for name, shape in _SHAPES.items()}
    for name, shape in _SHAPES.items():
        if shape is list:
            promoted[name]["items"] = {}
    own = {"type": {"enum": sorted(AGENT_TYPES)}, "emitter_seq": {"type": "integer", "minimum": 1}}
    return {"type": "object", "required": ["type", "emitter_seq"], "properties": {**promoted, **own}}


class TelemetryDoor:
    """Takes agents' batches. ``tokens`` says whose a batch is, ``tracing`` what becomes of spans."""

    def __init__(self, tokens: TelemetryTokens, metrics: Metrics, tracing: Tracing | None) -> None:
        self._tokens = tokens
        self._count = metrics.telemetry_batch
        self._tracing = tracing

    async def take(
        self,
        token: str,
        emitter_seq: int,
        events: list[Mapping[str, Any]],
        spans: Sequence[Mapping[str, Any]] = (),
    ) -> dict[str, Any]:
        """Take an agent's telemetry batch; the token fixes run and agent. On disk before it returns
        ``{"accepted": n, "emitter_seq": last}``; then its spans go to who exports them, if anybody does, each once
        however often the batch is sent. Raises Unauthorized, InvalidRequest, Overloaded."""
        try:
            ref, agent_id, run_id, seen = self._tokens.who(token)
            batch = telemetry_drafts(agent_id, emitter_seq, events)
            traced = handed_in(run_id, agent_id, spans)
            taken, last = await ref.ask(Telemetry(agent_id, batch), timeout=TELEMETRY_TIMEOUT)
        except (MailboxFull, AskTimeout):
            self._count("rejected")
            raise Overloaded("the run cannot take telemetry fast enough; send the batch again") from None
        except ActorError:
            self._count("rejected")
            raise Unauthorized("this telemetry token belongs to no agent of a running run") from None
        except PlaygroundError:
            self._count("rejected")
            raise
        # Not before: a batch that is refused comes again. Nor by what is new of its events: of one that was taken too
        # late for an answer none is new the second time, and its spans were not exported.
        if self._tracing is not None:
            self._tracing.take(run_id, seen.new(traced))
        self._count("accepted" if taken or not batch else "duplicate")
        return {"accepted": taken, "emitter_seq": last}


def telemetry_drafts(
    agent_id: str, emitter_seq: int, events: Sequence[Mapping[str, Any]]
) -> tuple[tuple[int, EventDraft], ...]:
    """Check a batch and turn it into ``(emitter_seq, draft)`` pairs. Raises InvalidRequest naming the entry."""
    if len(events) > MAX_BATCH:
        raise InvalidRequest(f"a batch holds at most {MAX_BATCH} events, this one {len(events)}")
    pairs = tuple(_entry(agent_id, index, event) for index, event in enumerate(events))
    numbers = [number for number, _ in pairs]
    if any(later <= earlier for earlier, later in pairwise(numbers)):
        raise InvalidRequest("the events of a batch must be in the order of their emitter_seq")
    if numbers and numbers[-1] != emitter_seq:
        raise InvalidRequest(f"emitter_seq is {emitter_seq}, but the last event of the batch is {numbers[-1]}")
    return pairs


def _entry(agent_id: str, index: int, event: Mapping[str, Any]) -> tuple[int, EventDraft]:
    event = {name: as_whole(value) if name in _NUMBERS else value for name, value in event.items()}
    event_type, number = event.get("type"), event.get("emitter_seq")
    if not isinstance(event_type, str) or event_type not in AGENT_TYPES:
        raise InvalidRequest(f"events[{index}].type: {str(event_type)[:100]!r} is not an event that agents report")
    if not isinstance(number, int) or isinstance(number, bool) or number < 1:
        raise InvalidRequest(f"events[{index}].emitter_seq must be a positive whole number")
    for name, shape in _SHAPES.items():
        given = event.get(name)
        if given is not None and (not isinstance(given, shape) or (shape is int and isinstance(given, bool))):
            raise InvalidRequest(f"events[{index}].{name} must be {_WORDS[shape]}")
    given = event.get("id")
    fields = {name: value for name, value in event.items() if name not in _NOT_THEIRS}
    return number, draft(
        event_type,
        id=given if isinstance(given, str) and _UUID.fullmatch(given) else None,
        ts=_time(event.get("ts")),
        **{**fields, "agent_id": agent_id, "step_id": step_of(event.get("step_mark"))},
    )


def _time(value: Any) -> float | None:
    is_time = isinstance(value, int | float) and not isinstance(value, bool) and 0 < value < _YEAR_10000
    return float(value) if is_time else None
