"""Lines to a stream from a thread of its own, so that a slow or full pipe never holds up the event loop.

What waits is bounded. Beyond the bound lines are dropped and counted, and the count is written as a line of its own as
soon as the stream moves again: a log is a view, the store is the record.
"""

from __future__ import annotations

import io
import os
import select
import threading
from collections.abc import Callable
from typing import IO, Any

MAX_PENDING_BYTES = 8 * 1024 * 1024
_LINGER_SECS = 0.01
_CLOSE_SECS = 2.0


class LineSink:
    """Whole lines, in order, from any thread. ``notice`` renders the line that tells how many were dropped.

    At most ``max_pending`` bytes wait, beside the batch that is being written.
    """

    def __init__(self, stream: IO[Any], notice: Callable[[int], bytes], max_pending: int = MAX_PENDING_BYTES) -> None:
        self._stream = stream
        self._notice = notice
        self._max_pending = max_pending
        self._lock = threading.Condition()
        self._lines: list[bytes] = []
        self._size = 0
        self._dropped = 0
        self._writing = False
        self._closed = False
        self._thread = threading.Thread(target=self._run, name="log-writer", daemon=True)
        self._thread.start()

    def write(self, line: bytes) -> None:
        """Hand over a line that ends in a newline. Never waits for the stream."""
        with self._lock:
            if self._closed or self._size + len(line) > self._max_pending:
                self._dropped += 1
                return
            self._lines.append(line)
            self._size += len(line)
            if len(self._lines) == 1:
                self._lock.notify_all()

    def flush(self, timeout: float = _CLOSE_SECS) -> bool:
        """Wait until everything handed over so far is written; False when ``timeout`` seconds were too short."""
        with self._lock:
            return self._lock.wait_for(lambda: not self._lines and not self._writing, timeout)

    def close(self, timeout: float = _CLOSE_SECS) -> None:
        """Write what waits and end the thread. A stream that is stuck is given up after ``timeout`` seconds."""
        with self._lock:
            self._closed = True
            self._lock.notify_all()
        self._thread.join(timeout)

    def _run(self) -> None:
        while True:
            with self._lock:
                self._lock.wait_for(lambda: self._lines or self._closed)
                if not self._closed:
                    # More lines gather meanwhile: one write then carries hundreds of them when the service is busy.
                    self._lock.wait_for(lambda: self._closed, _LINGER_SECS)
                batch, self._lines, self._size = self._lines, [], 0
                dropped, self._dropped = self._dropped, 0
                over, self._writing = self._closed and not batch and not dropped, bool(batch or dropped)
            if over:
                return
            if dropped:
                batch.append(self._notice(dropped))
            written = _write(self._stream, b"".join(batch))
            with self._lock:
                self._writing = False
                if not written:
                    self._closed = True
                    self._lines, self._size = [], 0
                self._lock.notify_all()
            if not written:
                return


def _write(stream: IO[Any], data: bytes) -> bool:
    """False when the stream is gone: nobody reads, and there is nobody to tell."""
    try:
        try:
            stream.flush()
            descriptor = stream.fileno()
        except (AttributeError, io.UnsupportedOperation):
            stream.write(data.decode("utf-8", "replace") if hasattr(stream, "encoding") else data)
            stream.flush()
        else:
            _write_all(descriptor, data)
    except (OSError, ValueError):
        return False
    return True


def _write_all(descriptor: int, data: bytes) -> None:
    # Whoever shares the pipe may have made it non-blocking; a full one must then be waited for.
    rest = memoryview(data)
    while rest:
        try:
            rest = rest[os.write(descriptor, rest) :]
        except BlockingIOError:
            poller = select.poll()
            poller.register(descriptor, select.POLLOUT)
            poller.poll()
