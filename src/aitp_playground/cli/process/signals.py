"""Signals that end a command: the first asks for an orderly end, the second ends the process."""

from __future__ import annotations

import asyncio
import os
import signal
from types import TracebackType
from typing import Self

_SIGNALS = (signal.SIGINT, signal.SIGTERM)
_SHOW_CURSOR = b"\x1b[?25h"


class Interrupts:
    """Context manager in a running loop. ``asked`` is set by the first SIGINT or SIGTERM.

    The second one ends the process at once with code 128 + its number: agents notice that their service is gone and
    end too, and the next server writes the end of what was running.
    """

    def __init__(self) -> None:
        self.asked = asyncio.Event()

    def __enter__(self) -> Self:
        loop = asyncio.get_running_loop()
        for number in _SIGNALS:
            loop.add_signal_handler(number, self._receive, number)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        loop = asyncio.get_running_loop()
        for number in _SIGNALS:
            loop.remove_signal_handler(number)

    def _receive(self, number: int) -> None:
        if self.asked.is_set():
            # A progress display that is cut off leaves the cursor hidden.
            if os.isatty(2):
                os.write(2, _SHOW_CURSOR)
            os._exit(128 + number)
        self.asked.set()
