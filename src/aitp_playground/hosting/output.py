"""What a process prints: read without threads, bounded, secrets blotted out before anything is kept."""

from __future__ import annotations

import asyncio
import os
import re
from collections.abc import Callable, Iterable
from functools import cached_property

TAIL_BYTES = 64 * 1024
REDACTED = b"[redacted]"

_CHUNK = 64 * 1024
#: From this length on, the cut-off beginning of a secret gives too much of it away.
_TELLING = 8


class Redactor:
    """Replaces secrets in a byte stream, also when one is split over several chunks."""

    def __init__(self, secrets: Iterable[str]) -> None:
        self._secrets = sorted({secret.encode() for secret in secrets if secret}, key=len, reverse=True)
        self._held = b""

    @cached_property
    def _pattern(self) -> re.Pattern[bytes]:
        # Compiled when a secret shows up, which is hardly ever: compiling costs more than all an agent prints.
        return re.compile(b"|".join(map(re.escape, self._secrets)))

    def _matches(self, text: bytes) -> Iterable[re.Match[bytes]]:
        return self._pattern.finditer(text) if any(secret in text for secret in self._secrets) else ()

    def feed(self, chunk: bytes) -> bytes:
        """Take a chunk; return what can no longer be part of a secret."""
        if not self._secrets:
            return chunk
        text = self._held + chunk
        hold = self._hold_from(text)
        parts: list[bytes] = []
        end = 0
        for match in self._matches(text):
            if match.start() >= hold:
                break
            parts += (text[end : match.start()], REDACTED)
            end = match.end()
        hold = max(hold, end)
        self._held = text[hold:]
        return b"".join((*parts, text[end:hold]))

    def rest(self) -> bytes:
        """What is held back, fit to be shown."""
        if not self._held:
            return b""
        shown = self._pattern.sub(REDACTED, self._held)
        return shown if len(self._held) < _TELLING or shown != self._held else REDACTED

    def _hold_from(self, text: bytes) -> int:
        """Where the longest end of ``text`` starts that could be the beginning of a secret."""
        longest = min(len(text), len(self._secrets[0]) - 1)
        for length in range(longest, 0, -1):
            end = text[-length:]
            if any(len(secret) > length and secret.startswith(end) for secret in self._secrets):
                return len(text) - length
        return len(text)


class Tail:
    """The last :data:`TAIL_BYTES` of a stream, redacted."""

    def __init__(self, secrets: Iterable[str] = ()) -> None:
        self._redactor = Redactor(secrets)
        self._kept = bytearray()

    def feed(self, chunk: bytes) -> None:
        """Append a chunk."""
        self._kept += self._redactor.feed(chunk)
        if len(self._kept) > 2 * TAIL_BYTES:
            del self._kept[:-TAIL_BYTES]

    def text(self) -> str:
        """The end of the stream; bytes that are not UTF-8 become replacement characters."""
        return (bytes(self._kept) + self._redactor.rest())[-TAIL_BYTES:].decode(errors="replace")


def last_lines(text: str, limit: int) -> str:
    """The last whole lines of ``text`` that fit into ``limit`` characters; of a last line that does not fit, both ends.

    An exception stands at the end of what a process prints, its name at the beginning of that line.
    """
    text = text.strip()
    if len(text) <= limit:
        return text
    last = text[text.rfind("\n") + 1 :]
    if len(last) > limit:
        half = limit // 2
        return f"{last[: limit - half - 1]}…{last[-half:]}"
    fitting = text[-limit - 1 :]
    return fitting[fitting.index("\n") + 1 :]


class OutputPipe:
    """The reading end of a pipe, drained by the running loop until end of file. Owns the descriptor, once it is made.
    Raises ``OSError`` when the loop cannot watch it."""

    def __init__(self, descriptor: int, feed: Callable[[bytes], object]) -> None:
        self._descriptor = descriptor
        self._feed = feed
        self._loop = asyncio.get_running_loop()
        self.closed: asyncio.Future[None] = self._loop.create_future()
        os.set_blocking(descriptor, False)
        self._loop.add_reader(descriptor, self._readable)

    def close(self) -> None:
        """Stop reading. Idempotent; end of file does it too."""
        if not self.closed.done():
            self._loop.remove_reader(self._descriptor)
            os.close(self._descriptor)
            self.closed.set_result(None)

    def _readable(self) -> None:
        try:
            chunk = os.read(self._descriptor, _CHUNK)
        except BlockingIOError:
            return
        except OSError:
            chunk = b""
        if chunk:
            self._feed(chunk)
        else:
            self.close()
