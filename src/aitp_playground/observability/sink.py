"""Lines to a stream from a thread of its own, so that a slow, full or failing stream never holds up the event loop.

What waits is bounded. Beyond the bound lines are dropped and counted, and the count is written as a line of its own as
soon as the stream moves again: a log is a view, the store is the record.
"""

from __future__ import annotations

import errno
import io
import os
import select
import threading
from collections.abc import Callable
from typing import IO, Any

MAX_PENDING_BYTES = 8 * 1024 * 1024
#: Between two attempts on a stream that fails.
RETRY_SECS = 0.5
_LINGER_SECS = 0.01
_CLOSE_SECS = 2.0
#: Nobody reads any more, or the descriptor is closed: what was to be written is for nobody.
_GONE = frozenset({errno.EPIPE, errno.EBADF})


class LineSink:
    """Whole lines, in order, from any thread. ``notice`` renders the line that tells how many were dropped.

    At most ``max_pending`` bytes wait, beside the batch that is being written.

    ``lasting``: a stream that fails is tried again every ``retry`` seconds, from the byte at which it failed, so that
    no line is torn; what nobody is there to read is counted as dropped. Otherwise the first failure ends the sink, and
    :attr:`failure` says which it was.
    """

    def __init__(
        self,
        stream: IO[Any],
        notice: Callable[[int], bytes],
        max_pending: int = MAX_PENDING_BYTES,
        *,
        lasting: bool = False,
        retry: float = RETRY_SECS,
    ) -> None:
        self._stream = stream
        self._notice = notice
        self._max_pending = max_pending
        self._lasting = lasting
        self._retry = retry
        self._lock = threading.Condition()
        self._lines: list[bytes] = []
        self._size = 0
        self._dropped = 0
        self._noticed = 0
        self._lost = 0
        self._writing = False
        self._closed = False
        #: What ended a sink that does not last.
        self.failure: Exception | None = None
        self._thread = threading.Thread(target=self._run, name="line-writer", daemon=True)
        self._thread.start()

    @property
    def lost(self) -> int:
        """Lines that were dropped so far."""
        return self._lost

    def write(self, line: bytes) -> None:
        """Hand over a line that ends in a newline. Never waits for the stream."""
        with self._lock:
            if self._closed or self._size + len(line) > self._max_pending:
                self._dropped += 1
                self._lost += 1
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

    # -- in the thread ------------------------------------------------------------------------------------------------

    def _run(self) -> None:
        while (batch := self._take()) is not None:
            rest, failure = _write(self._stream, batch)
            while failure is not None and self._try_again(rest, failure):
                rest, failure = _write(self._stream, rest)
            with self._lock:
                self._writing = False
                self._lock.notify_all()

    def _take(self) -> bytes | None:
        """What waits, with the number of lines that could not; None when there is nothing and never will be."""
        with self._lock:
            self._lock.wait_for(lambda: self._lines or self._closed)
            if not self._closed:
                # More lines gather meanwhile: one write then carries hundreds of them when the service is busy.
                self._lock.wait_for(lambda: self._closed, _LINGER_SECS)
            batch, self._lines, self._size = self._lines, [], 0
            dropped = self._noticed = self._dropped
            self._dropped = 0
            if not batch and not dropped:
                return None
            self._writing = True
        return b"".join([*batch, self._notice(dropped)] if dropped else batch)

    def _try_again(self, rest: bytes, failure: Exception) -> bool:
        """Whether ``rest`` is to be written once more, after a pause; else it is lost, and counted where that helps."""
        with self._lock:
            if not self._lasting or self._closed:
                self.failure, self._closed = failure, True
                self._lines, self._size, self._dropped = [], 0, 0
                return False
            gone = isinstance(failure, ValueError) or (isinstance(failure, OSError) and failure.errno in _GONE)
            if gone:
                # A notice that is lost takes its count back instead of counting for one.
                lost = rest.count(b"\n") - (1 if self._noticed else 0)
                self._dropped += lost + self._noticed
                self._lost += lost
                return False
            self._lock.wait_for(lambda: self._closed, self._retry)
            return True


def _write(stream: IO[Any], data: bytes) -> tuple[bytes, Exception | None]:
    """What could not be written, and why."""
    try:
        stream.flush()
        descriptor = stream.fileno()
    except (AttributeError, io.UnsupportedOperation):
        try:
            stream.write(data.decode("utf-8", "replace") if hasattr(stream, "encoding") else data)
            stream.flush()
        except (OSError, ValueError) as failure:
            return data, failure
        return b"", None
    except (OSError, ValueError) as failure:
        return data, failure
    return _write_all(descriptor, data)


def _write_all(descriptor: int, data: bytes) -> tuple[bytes, Exception | None]:
    # Whoever shares the pipe may have made it non-blocking; a full one must then be waited for.
    rest = memoryview(data)
    while rest:
        try:
            rest = rest[os.write(descriptor, rest) :]
        except BlockingIOError:
            poller = select.poll()
            poller.register(descriptor, select.POLLOUT)
            poller.poll()
        except OSError as failure:
            return bytes(rest), failure
    return b"", None
