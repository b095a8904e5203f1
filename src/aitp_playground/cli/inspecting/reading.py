"""What is to be inspected, read from a file or from standard input, within a bound."""

from __future__ import annotations

import os
import stat
import sys
import time
from typing import Final

from aitp_playground.errors import ConfigurationError

#: How long a named pipe may be without anybody who writes into it.
PATIENCE_SECONDS: Final = 5.0
_PAUSE_SECONDS: Final = 0.05


def read_source(source: str, most: int) -> bytes:
    """What the file holds, ``-`` being standard input.

    Raises ConfigurationError for what cannot be read, is larger than ``most`` bytes, or is a pipe into which nobody
    writes.
    """
    try:
        raw = _of_stdin(most + 1) if source == "-" else _of_file(source, most + 1)
    except (OSError, ValueError) as failure:
        reason = failure.strerror if isinstance(failure, OSError) else failure
        raise ConfigurationError(f"{source} cannot be read: {reason}") from failure
    if len(raw) > most:
        raise ConfigurationError(f"{source} is larger than {most} bytes")
    return raw


def _of_stdin(size: int) -> bytes:
    if sys.stdin is None or sys.stdin.closed:
        raise ValueError("standard input is closed")
    return sys.stdin.buffer.read(size)


def _of_file(path: str, size: int) -> bytes:
    # Opened to wait for nothing: a named pipe that nobody writes into would keep us for ever. One that a shell makes
    # of <(a command) has its writer from the beginning, however long that one takes.
    descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    with os.fdopen(descriptor, "rb") as stream:
        begun = _begun(descriptor, size) if stat.S_ISFIFO(os.fstat(descriptor).st_mode) else b""
        os.set_blocking(descriptor, True)
        return begun + stream.read(size - len(begun))


def _begun(descriptor: int, size: int) -> bytes:
    """What is in the pipe when somebody has it open for writing, or had and is done."""
    patience = time.monotonic() + PATIENCE_SECONDS
    while True:
        try:
            if begun := os.read(descriptor, size):
                return begun
        except BlockingIOError:
            return b""
        if time.monotonic() >= patience:
            raise ValueError("it is a pipe and no regular file, and nobody writes into it")
        time.sleep(_PAUSE_SECONDS)
