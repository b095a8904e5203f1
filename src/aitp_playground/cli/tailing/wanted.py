"""What ``tail`` was asked for."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from aitp_playground.events.selection import Selection


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """Filters, as the stream of everything has them. ``since``: as its parameter of that name."""

    types: tuple[str, ...] = ()
    run_id: str | None = None
    ref: str | None = None
    label: str | None = None
    agent: str | None = None
    step: str | None = None
    level: str | None = None
    since: str | None = None
    follow: bool = False

    def parameters(self) -> dict[str, str]:
        """The same for ``GET /events``, without ``since`` and ``follow``."""
        said = {
            "type": ",".join(self.types),
            "run_id": self.run_id,
            "ref": self.ref,
            "label": self.label,
            "agent": self.agent,
            "step": self.step,
            "level": self.level,
        }
        return {name: value for name, value in said.items() if value}

    def selection(self) -> Selection:
        """The same for what is filtered here; refs and labels are not among what an event says."""
        return Selection(types=self.types, run_id=self.run_id, agent=self.agent, step=self.step, level=self.level)

    def holds(self, event: Mapping[str, Any]) -> bool:
        """Whether an event, as a mapping, is wanted."""
        selection = self.selection()
        if not selection.wants(str(event.get("run_id", "")), str(event.get("type", ""))):
            return False
        return not selection.looks_inside or selection.holds(event)
