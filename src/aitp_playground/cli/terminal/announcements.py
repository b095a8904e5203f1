"""What a command that runs for long says on standard output: where it listens, what became of its enrolment.

It is said through a writer thread. A pipe that is full or that nobody reads any more, or a full disk behind it, costs
the announcement, never the command: it goes on, and ends when it is told to.
"""

from __future__ import annotations

import sys
from typing import TextIO

from aitp_playground.events.narration import plain
from aitp_playground.observability.sink import LineSink

_LONGEST = 2000
#: At the end of the command, for a reader that is merely slow.
_CLOSE_SECONDS = 2.0


class Announcements:
    """``stream``: standard output, if none is given."""

    def __init__(self, stream: TextIO | None = None) -> None:
        self._stream = stream or sys.stdout
        self.sink = LineSink(self._stream, lambda count: b"(%d lines could not be written in time)\n" % count)

    def say(self, line: str) -> None:
        """A line, unprintable characters escaped; never waits."""
        text = plain(line, _LONGEST) + "\n"
        self.sink.write(text.encode(self._stream.encoding or "utf-8", "backslashreplace"))

    def close(self) -> None:
        """Wait a little for a slow reader. Blocking: not for a running loop."""
        self.sink.close(_CLOSE_SECONDS)
