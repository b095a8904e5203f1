"""Which section and strand an event belongs to: what stands there in an order that means something."""

from __future__ import annotations

from dataclasses import dataclass, field

from aitp_playground.events.model import RunEvent
from aitp_playground.events.vocabulary import spec
from aitp_playground.recording.form import SERVICE

#: An emitter, whom it is about where pairs act at once, and whether it is one that may as well not have come.
Strand = tuple[str, str, bool]


@dataclass(slots=True)
class Plan:
    """Events by section and strand, each by its place in the log; sections in the order of their steps' starts."""

    sections: dict[str | None, dict[Strand, list[int]]] = field(default_factory=lambda: {None: {}})
    _started: list[str] = field(default_factory=list)
    _early: dict[str, None] = field(default_factory=dict)

    def add(self, event: RunEvent, position: int) -> None:
        """Put an event where it belongs."""
        step_id = event.get("step_id")
        section = step_id if isinstance(step_id, str) else None
        strand = strand_of(event, outside=section is None)
        if section is not None:
            known = section in self.sections
            if strand[0] == SERVICE and (not known or section in self._early):
                # The playground goes through the steps one by one: its first word of one says which is next.
                self._early.pop(section, None)
                self._started.append(section)
            elif not known:
                self._early[section] = None
            self.sections.setdefault(section, {})
        self.sections[section].setdefault(strand, []).append(position)

    def ordered(self) -> list[str | None]:
        """The sections: outside, the steps as they came, and those of which the playground says nothing."""
        return [None, *self._started, *sorted(self._early)]


def strand_of(event: RunEvent, *, outside: bool) -> Strand:
    """Within a step, an emitter acts in order; before the first one, each pair does on its own."""
    row = spec(event.type)
    agent_id = event.get("agent_id")
    by = agent_id if isinstance(agent_id, str) and (row is None or row.origin == "agent") else SERVICE
    return by, _about(event, by) if outside else "", is_volatile(event)


def is_volatile(event: RunEvent) -> bool:
    """Whether it may come in one run and not in another that is no different."""
    row = spec(event.type)
    if row is None or row.volatile == "no":
        return False
    return row.volatile == "yes" or (event.get("step_id") is None and event.payload.get("peer") is None)


def _about(event: RunEvent, by: str) -> str:
    named = [event.get("initiator"), event.get("target"), event.payload.get("peer"), event.payload.get("caller")]
    others = [name for name in named if isinstance(name, str) and name != by]
    if by:
        return others[0] if others else ""
    if others:
        return " ".join(sorted(dict.fromkeys(others)))
    agent_id = event.get("agent_id")
    return agent_id if isinstance(agent_id, str) else ""
