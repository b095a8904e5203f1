"""A structured log as events: a file, followed over rotations, or standard input.

A line of the log is the event as it was stored, but for ``type`` and ``ts``, which are ``event`` and ``timestamp``.
What is no such line is passed over.
"""

from __future__ import annotations

import asyncio
import os
import select
from collections.abc import AsyncGenerator
from datetime import datetime
from pathlib import Path
from typing import IO, Any

from aitp_playground.errors import InvalidRequest
from aitp_playground.events.codec import decode_json

#: Between two looks at a file that is followed. Seconds.
_LOOK = 0.1
_PIECE = 1 << 16
#: A line of the log is bounded well below; what is longer is no line of ours.
_LONGEST = 1 << 22


class Lines:
    """Whole lines out of pieces. A line that is too long is dropped up to its end."""

    def __init__(self) -> None:
        self._held = bytearray()
        self._dropping = False

    def take(self, piece: bytes) -> list[bytes]:
        """The lines that are whole now."""
        self._held += piece
        *lines, rest = bytes(self._held).split(b"\n")
        if self._dropping and lines:
            del lines[0]
            self._dropping = False
        if len(rest) > _LONGEST:
            rest, self._dropping = b"", True
        self._held = bytearray(rest)
        return lines

    def rest(self) -> list[bytes]:
        """What stands at the end without a line end, once nothing comes any more."""
        rest, self._held = bytes(self._held), bytearray()
        return [rest] if rest and not self._dropping else []


def event_of(line: bytes) -> dict[str, Any] | None:
    """The event that a line tells of, as the API has it; None for what is no line of a structured log."""
    try:
        entry = decode_json(line)
    except ValueError:
        return None
    if not isinstance(entry, dict) or not isinstance(entry.get("event"), str):
        return None
    head = {"seq": entry.get("seq"), "id": entry.get("id"), "type": entry.pop("event"), "ts": _seconds(entry)}
    told = {name: value for name, value in head.items() if value is not None}
    return told | {name: value for name, value in entry.items() if name not in (*told, "timestamp", "trace_id")}


def _seconds(entry: dict[str, Any]) -> float | None:
    try:
        return datetime.fromisoformat(entry["timestamp"]).timestamp()
    except (KeyError, TypeError, ValueError):
        return None


async def lines_of_stream(stream: IO[bytes]) -> AsyncGenerator[list[bytes]]:
    """The lines of a pipe or terminal until it ends; each batch as soon as it is there."""
    lines, descriptor = Lines(), stream.fileno()
    while (piece := await asyncio.to_thread(_read, descriptor)) != b"":
        if piece is not None:
            yield lines.take(piece)
    yield lines.rest()


def _read(descriptor: int) -> bytes | None:
    """None when there is nothing for a moment: a thread that waits for ever would keep the process from ending."""
    poller = select.poll()
    poller.register(descriptor, select.POLLIN)
    return os.read(descriptor, _PIECE) if poller.poll(_LOOK * 1000) else None


async def lines_of_file(path: Path, *, follow: bool) -> AsyncGenerator[list[bytes]]:
    """The lines of a file; ``follow``: also those that come, and those of the file that takes its name after it.

    Raises InvalidRequest when there is none to begin with.
    """
    try:
        file: IO[bytes] = await asyncio.to_thread(path.open, "rb", 0)
    except OSError as failure:
        raise InvalidRequest(f"{path} cannot be read: {failure.strerror}") from failure
    lines = Lines()
    try:
        while True:
            while piece := await asyncio.to_thread(file.read, _PIECE):
                yield lines.take(piece)
            if not follow:
                yield lines.rest()
                return
            successor = await asyncio.to_thread(_successor, path, file)
            if successor is not None:
                # What was written to the old one between the two looks comes before the first of the new one.
                while piece := await asyncio.to_thread(file.read, _PIECE):
                    yield lines.take(piece)
                yield lines.rest()
                file.close()
                file, lines = successor, Lines()
                continue
            await asyncio.sleep(_LOOK)
    finally:
        file.close()


def _successor(path: Path, file: IO[bytes]) -> IO[bytes] | None:
    """What stands under the file's name now, if that is another file; a file that was cut short is read anew."""
    try:
        there, ours = path.stat(), os.fstat(file.fileno())
        if not os.path.samestat(there, ours):
            return path.open("rb", 0)
    except FileNotFoundError:
        return None  # moved away, and the next one not there yet
    if ours.st_size < file.tell():
        file.seek(0)
    return None
