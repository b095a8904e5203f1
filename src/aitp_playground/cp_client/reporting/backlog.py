"""What waits to be reported to the Control Plane, for the metrics."""

from __future__ import annotations

import time


class Backlog:
    """The runs that wait, longest first. One actor writes; whoever looks at it sees numbers only."""

    def __init__(self) -> None:
        self._since: dict[str, float] = {}

    def add(self, run_id: str) -> None:
        """From now on this run waits, unless it did already."""
        self._since.setdefault(run_id, time.monotonic())

    def remove(self, run_id: str) -> None:
        """It is done, or nothing is left of it."""
        self._since.pop(run_id, None)

    def clear(self) -> None:
        """Nobody works on anything yet."""
        self._since.clear()

    def __len__(self) -> int:
        return len(self._since)

    @property
    def lag(self) -> float:
        """Seconds that the run at the head has been waiting."""
        return time.monotonic() - next(iter(self._since.values())) if self._since else 0.0
