"""Signals that end a command: the first asks for an orderly end, the second ends the process."""

from __future__ import annotations

import asyncio
import os
import select
import signal
from types import TracebackType
from typing import Self

#: SIGHUP too: whoever closes the terminal of a server wants its runs to be shut down.
_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
_SHOW_CURSOR = b"\x1b[?25h"


class Interrupts:
    """Context manager in a running loop. ``asked`` is set by the first SIGINT, SIGTERM or SIGHUP; ``name`` says which.

    The second one ends the process at once with code 128 + its number: agents notice that their service is gone and
    end too, and the next server writes the end of what was running. A SIGHUP that was ignored when the process
    started (``nohup``) stays ignored.
    """

    def __init__(self) -> None:
        self.asked = asyncio.Event()
        self.name = ""
        self._heeded: list[signal.Signals] = []

    def __enter__(self) -> Self:
        loop = asyncio.get_running_loop()
        for number in _SIGNALS:
            if number is signal.SIGHUP and signal.getsignal(number) is signal.SIG_IGN:
                continue
            loop.add_signal_handler(number, self._receive, number)
            self._heeded.append(number)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        loop = asyncio.get_running_loop()
        for number in self._heeded:
            loop.remove_signal_handler(number)

    def _receive(self, number: signal.Signals) -> None:
        if self.asked.is_set():
            _show_cursor()
            os._exit(128 + number)
        self.name = number.name
        self.asked.set()


def _show_cursor() -> None:
    """A progress display that is cut off leaves the cursor hidden. A terminal that is held is not waited for."""
    if os.isatty(2):
        poller = select.poll()
        poller.register(2, select.POLLOUT)
        if poller.poll(0):
            os.write(2, _SHOW_CURSOR)
