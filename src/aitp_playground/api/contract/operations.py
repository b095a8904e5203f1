"""What a handler says of itself: its name, what it takes, every answer that it gives. No route is served without."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Any, Protocol, TypeVar

from aiohttp.typedefs import Handler

from aitp_playground.api.paths import PathPart
from aitp_playground.api.query import Parameter, Parsed
from aitp_playground.errors import Overloaded, PlaygroundError, RunNotFound, StoreDamaged, StoreUnavailable

HandlerT = TypeVar("HandlerT", bound=Handler)
JSON = "application/json"
TEXT = "text/plain"
EVENT_STREAM = "text/event-stream"

#: What whoever asks the store may meet, and whoever asks it about a run.
STORE: tuple[type[PlaygroundError], ...] = (Overloaded, StoreUnavailable, StoreDamaged)
OF_A_RUN = (RunNotFound, *STORE)


@dataclass(frozen=True)
class Tag:
    """A group of operations: those of one resource."""

    name: str
    about: str


#: Groups of more than one resource.
RUNS = Tag("Runs", "Start, list, show, tell, compare, cancel, delete.")
EVENTS = Tag("Events", "What happens, as it happens.")
FOR_AGENTS = Tag("For agents", "What the agents of runs ask. Each has secrets of its own.")


@dataclass(frozen=True)
class Secured:
    """How a caller proves who it is. ``scheme``: a Security Scheme Object."""

    name: str
    scheme: Mapping[str, Any]


class TakesBody(Protocol):
    """A reader of bodies, as far as the contract wants to know it. ``model``: what pydantic makes the schema of."""

    @property
    def model(self) -> Any: ...
    @property
    def limit(self) -> int: ...
    @property
    def optional(self) -> bool: ...


@dataclass(frozen=True)
class SentHeader:
    """A header of an answer; ``always`` when it is on every one of that status."""

    name: str
    about: str
    always: bool = True


@dataclass(frozen=True)
class Answer:
    """One way in which a request ends well. ``body``: a type, of which pydantic makes the schema.

    ``frames``: the types of what stands in the ``data`` of an event stream's frames. ``leads_to``: the id of an
    operation that may come next → its parameters, by where their values stand in this body.
    """

    about: str
    body: Any = None
    status: int = HTTPStatus.OK
    content_type: str = JSON
    headers: Sequence[SentHeader] = ()
    frames: Any = None
    leads_to: Mapping[str, Mapping[str, str]] = field(default_factory=dict)


#: Read by aiohttp.
IF_NONE_MATCH = Parsed("If-None-Match", "The `ETag` of an earlier answer.", parse=str, shape={"type": "string"})
UNCHANGED = Answer(
    "Nothing has changed since the answer with the `ETag` that `If-None-Match` names.",
    status=HTTPStatus.NOT_MODIFIED,
    headers=(SentHeader("ETag", "As on the answer with a body."),),
)


@dataclass(frozen=True, kw_only=True)
class Operation:
    """``id`` is its name in clients that are made from the contract. ``raises``: the errors of its own, beside those
    that any request can meet. ``path`` and ``headers``: its parameters that are not in the query."""

    id: str
    summary: str
    answers: Sequence[Answer]
    path: Sequence[PathPart] = ()
    headers: Sequence[Parameter[Any]] = ()
    body: TakesBody | None = None
    raises: Sequence[type[PlaygroundError]] = ()
    secured: Secured | None = None


_OPERATIONS: dict[Handler, Operation] = {}


def operation(operation_id: str, summary: str, /, *answers: Answer, **said: Any) -> Callable[[HandlerT], HandlerT]:
    """A decorator: what the handler does. ``said``: the other fields of :class:`Operation`."""
    described = Operation(id=operation_id, summary=summary, answers=answers, **said)

    def marked(handler: HandlerT) -> HandlerT:
        _OPERATIONS[handler] = described
        return handler

    return marked


def operation_of(handler: Handler) -> Operation:
    """What is said of it. Raises LookupError when nothing is."""
    if handler not in _OPERATIONS:
        raise LookupError(f"{handler.__name__} has no @operation: say what it does, takes and answers")
    return _OPERATIONS[handler]
