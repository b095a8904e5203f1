"""Finds the ready line in a worker's stdout."""

from __future__ import annotations

import re

from aitp_playground.hosting.contract import Ready

_MARK = b"AITP_AGENT_READY"
_LINE = re.compile(rb"AITP_AGENT_READY aid=(aid:[A-Za-z0-9:._-]{1,200}) port=([0-9]{1,5})")
_LONGEST_LINE = 4096


class ReadyLineError(ValueError):
    """The line starts like a ready line and is not one."""


class ReadyLine:
    """Reads lines until the first that starts with the mark; all others are only output."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._line = b""
        self._over = False

    @property
    def held(self) -> int:
        """Bytes of a line that is not whole yet."""
        return len(self._line)

    def feed(self, chunk: bytes) -> Ready | None:
        """Take a chunk; return the ready line's content once. Raises :class:`ReadyLineError`."""
        if self._over:
            return None
        *lines, rest = (self._line + chunk).split(b"\n")
        self._line = rest[:_LONGEST_LINE]
        for line in lines:
            if line.startswith(_MARK):
                self._over = True
                return self._parse(line.rstrip(b"\r"))
        return None

    def _parse(self, line: bytes) -> Ready:
        match = _LINE.fullmatch(line)
        if match is None:
            raise ReadyLineError("its ready line is not 'AITP_AGENT_READY aid=<aid> port=<port>'")
        aid, port = match[1].decode(), int(match[2])
        if port != self._port:
            raise ReadyLineError(f"its ready line names port {port}, but it was given port {self._port}")
        return Ready(aid, port)
