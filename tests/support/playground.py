"""Running playgrounds for tests: the real service, real agents, a real store, isolated below one directory."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from aitp_playground.config import Settings
from aitp_playground.events.codec import decode
from aitp_playground.events.model import RunEvent
from aitp_playground.runs.requests import NewRun, RunView
from aitp_playground.service import Playground, playground

VARIANTS = Path(__file__).resolve().parent.parent / "variants"


def settings_at(directory: Path, **overrides: Any) -> Settings:
    """Settings that share nothing with another test or with the developer's own environment."""
    given = {"port": 0, "state_dir": directory / "state", "agent_pool_size": 2, **overrides}
    return Settings.load(_env_file=None, **given)


@contextlib.asynccontextmanager
async def playground_at(directory: Path, **overrides: Any) -> AsyncIterator[Playground]:
    """A playground of its own below ``directory``."""
    async with playground(settings_at(directory, **overrides)) as running:
        yield running


@dataclass(frozen=True, slots=True)
class Outcome:
    """A run that is over."""

    run_id: str
    view: RunView
    events: list[RunEvent]

    @property
    def status(self) -> str:
        return self.view.row.summary.status

    @property
    def outputs(self) -> Mapping[str, Any]:
        return self.view.outputs

    @property
    def types(self) -> list[str]:
        return [event.type for event in self.events]

    def of(self, event_type: str, **fields: Any) -> list[RunEvent]:
        """Events of a type whose fields (promoted or in the payload) are as given."""
        return [
            event
            for event in self.events
            if event.type == event_type
            and all(event.get(name, event.payload.get(name)) == value for name, value in fields.items())
        ]

    @property
    def failed_step(self) -> str | None:
        """The step a failed run failed at."""
        failed = self.of("step.failed")
        return failed[0].get("step_id") if failed else None


async def run(running: Playground, ref: str, **request: Any) -> Outcome:
    """Submit, follow to the end, and look at what is on disk."""
    submitted = await running.directory.submit(NewRun(scenario_ref=ref, **request))
    return await follow(running, submitted.row.header.run_id)


async def follow(running: Playground, run_id: str) -> Outcome:
    """Wait for the end of a run through its stream."""
    events: list[RunEvent] = []
    async for batch in running.directory.stream(run_id):
        events.extend(decode(entry.body) for entry in batch)
    view = await running.directory.view(run_id)
    assert [decode(entry.body) for entry in view.events] == events, "the stream and the store tell different stories"
    assert [event.seq for event in events] == list(range(1, len(events) + 1)), "a gap in the log"
    return Outcome(run_id, view, events)
