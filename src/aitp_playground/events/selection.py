"""Which events somebody wants to see: the filters that the stream of everything and the command line share."""

from __future__ import annotations

import fnmatch
import re
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final

from aitp_playground.events.vocabulary import spec

LEVELS: Final = ("debug", "info", "warning", "error")
#: Fields, of the event or its payload, that name an agent.
_AGENTS: Final = ("agent_id", "agent", "initiator", "target")
_DURATION: Final = re.compile(r"(\d{1,9})([smhd])", re.ASCII)
_UNITS: Final = {"s": 1, "m": 60, "h": 3600, "d": 86400}


@dataclass(frozen=True, slots=True)
class Selection:
    """What every event must have; nothing said means all of them.

    ``types`` are patterns (``*``, ``?``, ``[…]``), one of which the type must fit; ``level`` is the lowest. ``agent``
    is one that the event names, in whichever part.
    """

    types: Sequence[str] = ()
    run_id: str | None = None
    agent: str | None = None
    step: str | None = None
    level: str | None = None
    _patterns: tuple[re.Pattern[str], ...] = field(init=False, repr=False)

    def __post_init__(self) -> None:
        compiled = tuple(re.compile(fnmatch.translate(pattern)) for pattern in self.types)
        object.__setattr__(self, "_patterns", compiled)

    def wants(self, run_id: str, event_type: str) -> bool:
        """Whether an event of this run and type may be one of them."""
        if self.run_id is not None and run_id != self.run_id:
            return False
        if self._patterns and not any(pattern.match(event_type) for pattern in self._patterns):
            return False
        return self.level is None or LEVELS.index(level_of(event_type)) >= LEVELS.index(self.level)

    @property
    def looks_inside(self) -> bool:
        """Whether :meth:`wants` is not all that it takes."""
        return self.agent is not None or self.step is not None

    def holds(self, event: Mapping[str, Any]) -> bool:
        """Whether what is in the event is what was asked for."""
        if self.step is not None and event.get("step_id") != self.step:
            return False
        return self.agent is None or any(event.get(name) == self.agent for name in _AGENTS)


def moment_of(text: str) -> float:
    """A duration before now (``90s``, ``10m``, ``2h``, ``7d``), or a time with its zone, as Unix seconds. Raises
    ``ValueError`` that says what it should be."""
    found = _DURATION.fullmatch(text)
    if found is not None:
        return time.time() - int(found[1]) * _UNITS[found[2]]
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise ValueError("must be a duration (90s, 10m, 2h, 7d) or a time (2026-01-31T12:00:00Z)") from None
    if moment.tzinfo is None:
        raise ValueError("needs a time zone: 2026-01-31T12:00:00Z")
    return moment.timestamp()


def level_of(event_type: str) -> str:
    """The level of its log line; ``info`` for a type that is not known."""
    known = spec(event_type)
    return "info" if known is None else known.level
