"""A finished span, who takes it, and what an agent may say of one."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, Protocol

from aitp_playground.errors import InvalidRequest
from aitp_playground.events.tokens import without_tokens
from aitp_playground.observability.trace_context import Parent, trace_id_of
from aitp_playground.strict_json import as_whole

MAX_SPANS: Final = 1_000
MAX_ATTRIBUTES: Final = 32
MAX_TEXT: Final = 1_000
_MAX_NAME: Final = 200
_MAX_ATTRIBUTE_NAME: Final = 100
_KINDS: Final = ("client", "internal", "server")
_SPAN_ID: Final = re.compile(r"(?!0{16})[0-9a-f]{16}")
#: The latest time of a span, in nanoseconds.
LAST: Final = (1 << 63) - 1

Attributes = Mapping[str, str | int | float | bool]


@dataclass(frozen=True, slots=True, kw_only=True)
class FinishedSpan:
    """A span to be exported. Times are nanoseconds since 1970; ``agent``: whose it is, None for the service's own."""

    trace_id: str
    span_id: str
    parent_id: str | None
    name: str
    kind: str
    start: int
    end: int
    attributes: Attributes
    agent: str | None = None
    error: str | None = None
    link: Parent | None = None
    events: Sequence[tuple[str, int, Attributes]] = ()


class Sink(Protocol):
    """Where spans go."""

    def samples(self, trace_id: str) -> bool:
        """Whether this trace is wanted."""

    def export(self, span: FinishedSpan) -> None:
        """Hand over a span. Never waits."""

    def shutdown(self) -> None:
        """Send what waits. Blocks."""


class Seen:
    """The spans that one agent has handed in. What got no answer in time comes again, though it was taken."""

    def __init__(self) -> None:
        self._ids: dict[str, None] = {}

    def new(self, spans: Iterable[FinishedSpan]) -> list[FinishedSpan]:
        """Those that were not here before. As many are remembered as a batch may hold: an agent sends one at a time."""
        new = {span.span_id: span for span in spans if span.span_id not in self._ids}
        self._ids |= dict.fromkeys(new)
        for span_id in list(self._ids)[:-MAX_SPANS]:
            del self._ids[span_id]
        return list(new.values())


def handed_in(run_id: str, agent_id: str, spans: Sequence[Mapping[str, Any]]) -> list[FinishedSpan]:
    """What an agent of a run reports. Raises InvalidRequest naming the entry."""
    if len(spans) > MAX_SPANS:
        raise InvalidRequest(f"a batch holds at most {MAX_SPANS} spans, this one {len(spans)}")
    return [_handed_in(run_id, agent_id, number, told) for number, told in enumerate(spans)]


def span_schema() -> dict[str, Any]:
    """What is taken of one span, as a JSON Schema; that it does not end before it starts is no matter of a schema."""
    span_id = {"type": "string", "pattern": "^(?!0{16})[0-9a-f]{16}$"}
    moment = {"type": "integer", "minimum": 1, "maximum": LAST}
    return {
        "type": "object",
        "required": ["name", "kind", "span_id", "parent_id", "start", "end"],
        "properties": {
            "name": {"type": "string"},
            "kind": {"enum": list(_KINDS)},
            "span_id": span_id,
            "parent_id": span_id,
            "start": moment,
            "end": moment,
            "attributes": {"type": "object", "maxProperties": MAX_ATTRIBUTES},
            "error": {"type": ["string", "null"]},
        },
    }


def _handed_in(run_id: str, agent_id: str, number: int, told: Mapping[str, Any]) -> FinishedSpan:
    """An agent's word, checked: the run and the agent are its token's, whatever it says."""
    name, kind = told.get("name"), told.get("kind")
    start, end = (as_whole(told.get(part)) for part in ("start", "end"))
    if not isinstance(name, str) or kind not in _KINDS:
        raise InvalidRequest(f"spans[{number}]: name is a text, and kind one of {', '.join(_KINDS)}")
    for part in ("span_id", "parent_id"):
        if not isinstance(told.get(part), str) or not _SPAN_ID.fullmatch(told[part]):
            raise InvalidRequest(f"spans[{number}].{part}: sixteen hexadecimal digits, not all of them 0")
    if type(start) is not int or type(end) is not int or not 0 < start <= end <= LAST:
        raise InvalidRequest(f"spans[{number}]: start and end are nanoseconds since 1970, one after the other")
    attributes, error = told.get("attributes", {}), told.get("error")
    if not isinstance(attributes, Mapping) or len(attributes) > MAX_ATTRIBUTES:
        raise InvalidRequest(f"spans[{number}].attributes: an object of at most {MAX_ATTRIBUTES} entries")
    if error is not None and not isinstance(error, str):
        raise InvalidRequest(f"spans[{number}].error: must be text")
    return FinishedSpan(
        trace_id=trace_id_of(run_id),
        span_id=told["span_id"],
        parent_id=told["parent_id"],
        name=without_tokens(name)[:_MAX_NAME],
        kind=str(kind),
        start=start,
        end=end,
        attributes=_plain(attributes) | {"gen_ai.agent.name": agent_id, "aitp.run.id": run_id},
        agent=agent_id,
        error=None if error is None else without_tokens(error)[:MAX_TEXT],
    )


def _plain(attributes: Mapping[str, Any]) -> dict[str, str | int | float | bool]:
    kept: dict[str, str | int | float | bool] = {}
    for given, value in attributes.items():
        name = without_tokens(given)[:_MAX_ATTRIBUTE_NAME]
        if isinstance(value, str):
            kept[name] = without_tokens(value)[:MAX_TEXT]
        elif isinstance(value, bool | float) or (isinstance(value, int) and -(1 << 63) <= value < 1 << 63):
            kept[name] = value
    return kept
