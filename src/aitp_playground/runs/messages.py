"""What may be said to a :class:`~aitp_playground.runs.actor.RunActor`. A closed union of frozen, plain data."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Literal

from aitp_playground.actors import Lane
from aitp_playground.events.model import EventDraft


@dataclass(frozen=True, slots=True)
class Begin:
    """There is room: start conducting. Ignored when the run is already over."""


@dataclass(frozen=True, slots=True)
class Record:
    """The conductor's report. Answer: None, once every draft has its place in the log."""

    drafts: tuple[EventDraft, ...]


@dataclass(frozen=True, slots=True)
class StepEvents:
    """Ask for the events of the step in progress; ``look_back``: for those of the whole run so far.

    Answer: ``tuple[RunEvent, ...]``.
    """

    look_back: bool = False


@dataclass(frozen=True, slots=True)
class MoreEvents:
    """Ask to be answered (None) once the log has an event after ``seq``."""

    seq: int


@dataclass(frozen=True, slots=True)
class Reached:
    """Ask to be answered (None) once the log holds this agent's telemetry up to ``emitter_seq``."""

    agent_id: str
    emitter_seq: int


@dataclass(frozen=True, slots=True)
class Stored:
    """Ask whether something was on its way to the disk. Answer: True once that is through, False at once if not."""


@dataclass(frozen=True, slots=True)
class Telemetry:
    """An agent's batch, already checked at the door: ``(emitter_seq, draft)`` pairs in order.

    Answer: how many were new and the number of the last one, once they are on disk.
    """

    lane: ClassVar[Lane] = Lane.DATA

    agent_id: str
    events: tuple[tuple[int, EventDraft], ...]


#: New in the log; known already; about another run and only counted.
DeliveryFate = Literal["stored", "duplicate", "counted"]


@dataclass(frozen=True, slots=True)
class Delivery:
    """What the Control Plane tells this run, or what became of that: an event that may follow the run's end.

    ``entry.id`` is derived from what was delivered, and an id is taken once. Answer: :data:`DeliveryFate`, on disk.
    """

    lane: ClassVar[Lane] = Lane.DATA

    entry: EventDraft


@dataclass(frozen=True, slots=True)
class Conducted:
    """The conductor is done and its agents are gone. ``error`` None means success."""

    error: str | None = None


@dataclass(frozen=True, slots=True)
class CancelRun:
    """Ask for the end. Answer: the run's final status, once the terminal event is on disk.

    ``reason``: a sentence for the run's ``error`` where nobody asked for the end of this very run.
    """

    reason: str | None = None


@dataclass(frozen=True, slots=True)
class Interrupted:
    """Nobody conducts this run any more: end it from what is on disk. ``error`` None: its end had been asked for."""

    error: str | None


@dataclass(frozen=True, slots=True)
class CommitFailed:
    """The store could not take events; what was appended from then on is not on disk."""

    reason: str


@dataclass(frozen=True, slots=True)
class CancelFirst:
    """The store refused another end than the one that was asked for before."""


RunMessage = (
    Begin
    | Record
    | StepEvents
    | MoreEvents
    | Reached
    | Stored
    | Telemetry
    | Delivery
    | Conducted
    | CancelRun
    | Interrupted
    | CommitFailed
    | CancelFirst
)
