"""How the log of a run ends: its last events, and writing them when the store failed before."""

from __future__ import annotations

import asyncio
import itertools

import structlog

from aitp_playground.backoff import doubling
from aitp_playground.errors import Overloaded, RunNotFound, StoreDamaged
from aitp_playground.events.model import EventDraft, draft
from aitp_playground.runs.log import EventLog
from aitp_playground.runs.state import RunState
from aitp_playground.runs.views import stored_state
from aitp_playground.store.port import CancelComesFirst, RunStore

log = structlog.get_logger(__name__)

#: Seconds between two tries to write to a store that refuses.
FIRST_DELAY = 0.1
LONGEST_DELAY = 5.0


def last_words(state: RunState, terminal: EventDraft) -> list[EventDraft]:
    """The terminal event, after the end of a step it cuts short: every step that starts ends."""
    if state.current_step is None:
        return [terminal]
    error = terminal.fields.get("error", "the run was cancelled")
    return [draft("step.failed", step_id=state.current_step, error=error, **state.step_labels), terminal]


async def end_from_disk(events: EventLog, store: RunStore, terminal: EventDraft) -> None:
    """Go back to what is on disk and end the run from there, as soon as the store takes writes again.

    A run that is over there already, or gone, is left as it is; one whose end was asked for ends as cancelled. One in a
    damaged database is left, too: no waiting mends it, and the next start of the service, with a database that can be
    read, ends the run.
    """
    delay = doubling(FIRST_DELAY, LONGEST_DELAY)
    for failures in itertools.count(1):
        try:
            events.state = await stored_state(store, events.run_id)
            if not events.state.over:
                await events.append(last_words(events.state, terminal)).commit
        except CancelComesFirst:
            terminal = draft("run.cancelled")
        except RunNotFound:
            log.warning("run.gone")
            return
        except StoreDamaged as failure:
            log.error("run.end_given_up", error=failure.message)  # noqa: TRY400 - the message says it all
            return
        except Overloaded:  # StoreUnavailable is one
            await asyncio.sleep(delay(failures))
        else:
            return
