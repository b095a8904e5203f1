"""A command that another one started for its own use ends when that one does, however it ended."""

from __future__ import annotations

import asyncio
import os
from typing import Final

from aitp_playground.cli.exits import FAILED
from aitp_playground.cli.process.signals import Interrupts

#: Names the descriptor of a pipe that gives end of file when whoever started us is gone.
LIFELINE: Final = "AITP_LIFELINE_FD"
#: For an orderly end.
END_SECONDS: Final = 5.0


def end_with_parent(interrupts: Interrupts) -> None:
    """Ask for the end when the lifeline does; without one, nothing happens. Call it in the running loop."""
    number = os.environ.get(LIFELINE, "")
    if not number.isdecimal():
        return
    loop, descriptor = asyncio.get_running_loop(), int(number)

    def gone() -> None:
        loop.remove_reader(descriptor)
        loop.call_later(END_SECONDS, os._exit, FAILED)
        interrupts.asked.set()

    loop.add_reader(descriptor, gone)
