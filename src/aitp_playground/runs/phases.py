"""Where a run is on its way, as its actor sees it. Exactly one of these at any time."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass

from aitp_playground.events.model import EventDraft


@dataclass(frozen=True, slots=True)
class Pending:
    """Nothing has been done for it yet."""


@dataclass(frozen=True, slots=True)
class Conducting:
    """``task``: the conductor at work; its result says why the run fails, None when it does not."""

    task: asyncio.Task[str | None]


@dataclass(frozen=True, slots=True)
class Stopping:
    """The conductor was told to stop and is dismissing its agents; how the run ends is settled: ``terminal``.

    ``full``: because the log has as much as a run may record.
    """

    terminal: EventDraft
    full: bool = False


@dataclass(frozen=True, slots=True)
class Ending:
    """The terminal event is on its way to the disk. ``rewritten``: behind what is there already, however long the
    store takes to accept writes again; what the actor had appended beyond that is given up."""

    rewritten: bool = False


@dataclass(frozen=True, slots=True)
class Over:
    """The terminal event is on disk."""


Phase = Pending | Conducting | Stopping | Ending | Over
