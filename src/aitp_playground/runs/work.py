"""The work of a run as its actor sees it: something that is awaited once and may fail."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

import structlog

from aitp_playground.actors import ActorError, ActorRef
from aitp_playground.errors import PlaygroundError
from aitp_playground.runs.messages import RunMessage

log = structlog.get_logger(__name__)

#: Does a run's work: awaited once, as a child task of the run's actor, whose ref it is given to report by message.
#: Returns to complete the run and raises to fail it: the message of a PlaygroundError becomes ``run.failed``'s
#: ``error``, of other exceptions only the type does. Cancelled when the run is; it must not outlive that.
Conduct = Callable[[ActorRef[RunMessage]], Awaitable[None]]


async def why_it_fails(conduct: Conduct, run: ActorRef[RunMessage]) -> str | None:
    """Do the work. Why the run fails, as a sentence for its log; None when it does not."""
    try:
        await conduct(run)
    except PlaygroundError as failure:
        return failure.message
    except Exception as failure:
        log.exception("run.conductor_failed")
        # Of the kernel's errors the text says which actor kept the run waiting; others may quote anything.
        what = str(failure) if isinstance(failure, ActorError) else type(failure).__name__
        return f"internal error: {what}; the server's log has the details"
    return None
