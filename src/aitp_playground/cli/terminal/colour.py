"""Lines in colour above a status line. Colour follows ``NO_COLOR`` and ``TERM``."""

from __future__ import annotations

import io
from collections.abc import Iterable
from typing import TextIO

from rich.console import Console
from rich.status import Status
from rich.text import Text

from aitp_playground.events.model import RunEvent
from aitp_playground.events.vocabulary import spec
from aitp_playground.observability.sink import LineSink

_STYLES = {
    "run.complete": "bold green",
    "run.failed": "bold red",
    "run.cancelled": "bold yellow",
    "step.started": "bold",
    "step.complete": "green",
    "trust.established": "cyan",
    "handshake.complete": "cyan",
}
_LEVEL_STYLES = {"warning": "yellow", "error": "red"}


class TerminalDisplay:
    """See :class:`aitp_playground.cli.terminal.live_run.Display`."""

    def __init__(self, stream: TextIO, sink: LineSink) -> None:
        self._console = Console(file=_SinkFile(stream, sink), highlight=False, soft_wrap=True)
        self._status = Status("", console=self._console)
        self._status.start()

    def show(self, lines: Iterable[tuple[RunEvent | None, str]]) -> None:
        text = Text("\n").join(_styled(event, line) for event, line in lines)
        self._console.print(text, soft_wrap=True)

    def progress(self, text: str) -> None:
        self._status.update(Text(text, style="dim"))

    def close(self) -> None:
        self._status.stop()


class _SinkFile(io.StringIO):
    """What the console writes to: a terminal to look at, with the writer thread behind it."""

    def __init__(self, stream: TextIO, sink: LineSink) -> None:
        super().__init__()
        self._stream = stream
        self._sink = sink

    @property
    def encoding(self) -> str:  # type: ignore[override]  # the console asks it which characters it may draw
        return self._stream.encoding

    def write(self, text: str) -> int:
        self._sink.write(text.encode(self.encoding, "backslashreplace"))
        return len(text)

    def isatty(self) -> bool:
        return True


def _styled(event: RunEvent | None, line: str) -> Text:
    if event is None:
        return Text(line)
    row = spec(event.type)
    style = _STYLES.get(event.type) or _LEVEL_STYLES.get(row.level if row else "", "")
    clock, gap, rest = line.partition("  ")
    return Text.assemble((clock, "dim"), gap, (rest, style))
