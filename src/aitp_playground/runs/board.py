"""AgentBoard: the agents of unfinished runs, as ``GET /agents`` shows them, and crashed ones for a minute."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, Literal

AgentStatus = Literal["spawning", "ready", "exited", "crashed"]


@dataclass(frozen=True, slots=True, kw_only=True)
class AgentRow:
    """``aid`` is "" until it is ready."""

    run_id: str
    agent_id: str
    port: int
    pid: int | None
    aid: str
    manifest_url: str
    status: AgentStatus
    exit_code: int | None


CRASHED_SHOWN_SECS = 60.0


class AgentBoard:
    """Rows by (run id, agent id)."""

    def __init__(self) -> None:
        self._rows: dict[tuple[str, str], AgentRow] = {}
        self._outputs: dict[tuple[str, str], Callable[[], str]] = {}
        self._crashed: dict[tuple[str, str], float] = {}

    def put(self, row: AgentRow) -> None:
        """Add or replace a row."""
        self._rows[row.run_id, row.agent_id] = row

    def listen(self, run_id: str, agent_id: str, output: Callable[[], str]) -> None:
        """While the run goes on, its agents' output is read from the process itself."""
        self._outputs[run_id, agent_id] = output

    @property
    def listening(self) -> int:
        """Of how many agents the output is read."""
        return len(self._outputs)

    def output(self, run_id: str, agent_id: str) -> str | None:
        """What an agent of an unfinished run has printed so far."""
        read = self._outputs.get((run_id, agent_id))
        return None if read is None else read()

    def update(self, run_id: str, agent_id: str, **changes: Any) -> None:
        """Change a row that is there."""
        key = (run_id, agent_id)
        if key in self._rows:
            self._rows[key] = replace(self._rows[key], **changes)
            if changes.get("status") == "crashed":
                self._crashed[key] = time.monotonic()

    def crashed(self, run_id: str, agent_id: str) -> bool:
        """This agent ended before it was told to."""
        return (run_id, agent_id) in self._crashed

    def clear_run(self, run_id: str) -> None:
        """The run is over: its agents go, crashed ones after their minute."""
        for key in [key for key in self._rows if key[0] == run_id and key not in self._crashed]:
            del self._rows[key]
        for key in [key for key in self._outputs if key[0] == run_id]:
            del self._outputs[key]
        self._expire()

    def rows(self) -> list[AgentRow]:
        """All rows, in order of launch."""
        self._expire()
        return list(self._rows.values())

    def _expire(self) -> None:
        horizon = time.monotonic() - CRASHED_SHOWN_SECS
        for key in [key for key, since in self._crashed.items() if since < horizon]:
            del self._crashed[key]
            self._rows.pop(key, None)
