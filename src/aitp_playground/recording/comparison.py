"""How two runs differ: plain data, in the order in which a reader goes through a run."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Literal

from aitp_playground.events.vocabulary import StepOutcome
from aitp_playground.recording.form import SERVICE, Told
from aitp_playground.recording.values import Difference

Change = Literal["missing", "extra", "moved", "changed"]


@dataclass(frozen=True, slots=True)
class EventChange:
    """An event that only ``a`` has (``missing``), that only ``b`` has (``extra``), that stands elsewhere among those of
    its emitter (``moved``), or whose fields differ (``changed``). ``more``: differences that are not listed."""

    change: Change
    a: Told | None
    b: Told | None
    fields: tuple[Difference, ...] = ()
    more: int = 0

    @property
    def either(self) -> Told:
        """The event, as ``a`` has it if it does."""
        told = self.a or self.b
        assert told is not None
        return told

    def as_dict(self) -> dict[str, Any]:
        """``{"change", "type", "by", "peer"?, "seq": {"a"?, "b"?}, "fields", "more"?}``; ``by`` is null for the
        playground, ``type`` ``{"a", "b"}`` where it is another."""
        told = self.either
        types = {side.type for side in (self.a, self.b) if side is not None}
        both = {"a": self.a.type, "b": self.b.type} if self.a and self.b and len(types) > 1 else told.type
        numbers = {"a": self.a, "b": self.b}
        return {
            "change": self.change,
            "type": both,
            "by": None if told.by == SERVICE else told.by,
            **({"peer": told.peer} if told.peer else {}),
            "seq": {side: one.seq for side, one in numbers.items() if one is not None and one.seq},
            "fields": [one.as_dict() for one in self.fields],
            **({"more": self.more} if self.more else {}),
        }


@dataclass(frozen=True, slots=True)
class SectionChange:
    """What differs in a step, or (``step_id`` None) outside of the steps.

    ``missing`` and ``extra`` steps have nothing but their outcome and how many events they have (``count``); ``moved``:
    it stands elsewhere among the steps, whatever else differs. ``outcome``: of ``a`` and of ``b``. ``more``:
    differences of the output that are not listed, ``more_events``: changed events that are not.
    """

    step_id: str | None
    change: Change = "changed"
    outcome: tuple[StepOutcome | None, StepOutcome | None] = (None, None)
    output: tuple[Difference, ...] = ()
    more: int = 0
    events: tuple[EventChange, ...] = ()
    more_events: int = 0
    count: int = 0

    def as_dict(self) -> dict[str, Any]:
        """``{"step", "change", "outcome": {"a", "b"}, "output", "more"?, "events", "more_events"?}``, or with ``count``
        for one that is missing or extra."""
        head = {"step": self.step_id, "change": self.change, "outcome": dict(zip("ab", self.outcome, strict=True))}
        if self.change in {"missing", "extra"}:
            return {**head, "count": self.count}
        return {
            **head,
            "output": [one.as_dict() for one in self.output],
            **({"more": self.more} if self.more else {}),
            "events": [one.as_dict() for one in self.events],
            **({"more_events": self.more_events} if self.more_events else {}),
        }


@dataclass(frozen=True, slots=True)
class Comparison:
    """``run``: what differs in what the runs were started with and how they ended; ``end``: in the event that ended
    them. ``more``: differences of the first that are not listed. ``exact``: as few events as can be are missing and
    extra; False for runs that differ too much to find out.
    """

    run: tuple[Difference, ...] = ()
    more: int = 0
    sections: tuple[SectionChange, ...] = ()
    end: EventChange | None = None
    exact: bool = field(default=True)

    @property
    def equal(self) -> bool:
        """Nothing differs."""
        return not (self.run or self.more or self.sections or self.end)

    def as_dict(self) -> dict[str, Any]:
        """``{"equal", "exact", "run", "more"?, "steps", "end"}``."""
        return {
            "equal": self.equal,
            "exact": self.exact,
            "run": [one.as_dict() for one in self.run],
            **({"more": self.more} if self.more else {}),
            "steps": [one.as_dict() for one in self.sections],
            "end": None if self.end is None else self.end.as_dict(),
        }
