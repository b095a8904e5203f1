"""A run told live on a stream: plain lines, or colour and a status line on a terminal.

Everything goes through a writer thread: a pager that does not read, or a terminal that is held, must not hold up the
run's own event loop. Whoever stops reading altogether (``| head``) misses the rest; the run goes on.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from typing import Protocol, TextIO

from aitp_playground.cli.exits import OutputLost
from aitp_playground.cli.process.signals import Interrupts
from aitp_playground.cli.terminal.patience import lost, written
from aitp_playground.events.codec import decode
from aitp_playground.events.model import RunEvent
from aitp_playground.events.vocabulary import STEP_ENDS
from aitp_playground.observability.narrator import Narrator
from aitp_playground.observability.sink import LineSink
from aitp_playground.store.port import StoredEvent


class Display(Protocol):
    """Where lines appear."""

    def show(self, lines: Iterable[tuple[RunEvent | None, str]]) -> None:
        """Add lines; the event, if any, is the one a line tells of."""

    def progress(self, text: str) -> None:
        """Say what is going on now, where that can be said in passing."""

    def close(self) -> None:
        """No more progress."""


class PlainDisplay:
    """One line after the other."""

    def __init__(self, stream: TextIO, sink: LineSink) -> None:
        self._encoding = stream.encoding or "utf-8"
        self._sink = sink

    def show(self, lines: Iterable[tuple[RunEvent | None, str]]) -> None:
        text = "".join(f"{line}\n" for _, line in lines)
        self._sink.write(text.encode(self._encoding, "backslashreplace"))

    def progress(self, text: str) -> None:
        """Lines that stay are no place for what passes."""

    def close(self) -> None:
        """Nothing is held."""


class LiveRun:
    """Tells one run of ``steps`` steps; feed it the stored events in order."""

    def __init__(self, stream: TextIO, steps: int) -> None:
        self._sink = LineSink(stream, lambda count: b"(%d lines could not be shown in time)\n" % count)
        self._display = _display(stream, self._sink)
        self._narrator = Narrator()
        self._steps = steps
        self._done = 0
        self._current = "starting the agents"

    def take(self, batch: Sequence[StoredEvent]) -> None:
        """Tell what was just committed."""
        lines: list[tuple[RunEvent | None, str]] = []
        for stored in batch:
            event = decode(stored.body)
            self._follow(event)
            line = self._narrator.line(event)
            if line is not None:
                lines.append((event, line))
        if lines:
            self._display.show(lines)
        self._display.progress(f"step {min(self._done + 1, self._steps)} of {self._steps}: {self._current}")

    def finish(self, run_id: str, digest: Iterable[str]) -> None:
        """Tell what came of it."""
        self._display.close()
        told = list(digest)
        closing = ["", *told, *([""] if told else []), self._narrator.summary(), f"run id {run_id}"]
        self._display.show([(None, line) for line in closing])

    async def close(self, interrupts: Interrupts) -> None:
        """Wait until it is all read; see :func:`~aitp_playground.cli.terminal.patience.written`."""
        self._display.close()
        await written(self._sink, interrupts)

    def lost(self) -> OutputLost | None:
        """After :meth:`close`: the error when what was told could not be written."""
        return lost(self._sink)

    def _follow(self, event: RunEvent) -> None:
        if event.type == "trust.peers_resolved":
            self._current = "establishing trust"
        elif event.type == "step.started":
            self._current = str(event.get("step_id"))
        elif event.type in STEP_ENDS:
            self._done += 1


def _display(stream: TextIO, sink: LineSink) -> Display:
    # A terminal that cannot move its cursor can show no status line above which lines appear.
    if not stream.isatty() or os.environ.get("TERM", "dumb") in {"dumb", "unknown", ""}:
        return PlainDisplay(stream, sink)
    from aitp_playground.cli.terminal.colour import TerminalDisplay

    return TerminalDisplay(stream, sink)
