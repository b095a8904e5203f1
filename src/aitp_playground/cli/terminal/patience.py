"""Waiting for readers: as long as they take while nobody asks for the end, and then hardly any longer."""

from __future__ import annotations

import asyncio
import errno
from typing import Final

from aitp_playground.cli.exits import OutputLost
from aitp_playground.cli.process.signals import Interrupts
from aitp_playground.observability.sink import LineSink

#: Between two looks at whether the end was asked for.
_LOOK_SECONDS: Final = 0.2
#: For what waits when it was.
_CLOSE_SECONDS: Final = 2.0


async def written(sink: LineSink, interrupts: Interrupts) -> None:
    """Until all is read (a pager takes its time), nobody reads any more, or a signal came and a little more passed.

    The sink is closed afterwards. The loop is free meanwhile.
    """
    try:
        while not await asyncio.to_thread(sink.flush, _LOOK_SECONDS) and not interrupts.asked.is_set():
            pass
    finally:
        await asyncio.to_thread(sink.close, _CLOSE_SECONDS)


def lost(sink: LineSink) -> OutputLost | None:
    """The error of output that could not be written; None when it could, or when its reader just went away."""
    failure = sink.failure
    if not isinstance(failure, OSError) or failure.errno == errno.EPIPE:
        return None
    return OutputLost(f"standard output cannot be written: {failure.strerror}; the run itself is recorded")
