"""A stream that fails for a while costs no line; one that nobody reads costs a count; none costs the process."""

from __future__ import annotations

import contextlib
import io
import os
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from aitp_playground.observability.sink import LineSink

GENEROUS = 30.0


class Failing(io.StringIO):
    """Refuses to be written to, with these errors one after the other, and is then sound."""

    def __init__(self, *errors: OSError) -> None:
        super().__init__()
        self._errors = list(errors)

    def write(self, text: str) -> int:
        if self._errors:
            raise self._errors.pop(0)
        return super().write(text)


def notice(count: int) -> bytes:
    return b"dropped %d\n" % count


@contextlib.contextmanager
def sink_to(stream: io.IOBase, **more: object) -> Iterator[LineSink]:
    sink = LineSink(stream, notice, lasting=True, retry=0.0, **more)  # type: ignore[arg-type]
    try:
        yield sink
    finally:
        sink.close()


@pytest.mark.parametrize("number", [28, 5, 122, 11, 4], ids=os.strerror)
def test_a_transient_error_costs_no_line(number: int) -> None:
    stream = Failing(*(OSError(number, os.strerror(number)) for _ in range(3)))
    with sink_to(stream) as sink:
        sink.write(b"one\n")
        assert sink.flush(GENEROUS)
        sink.write(b"two\n")
        assert sink.flush(GENEROUS)
    assert stream.getvalue() == "one\ntwo\n"


def test_a_full_disk_behind_the_descriptor_is_outlasted_and_no_line_is_torn() -> None:
    descriptor = os.open("/dev/full", os.O_WRONLY)
    reader, writer = os.pipe()
    with os.fdopen(descriptor, "wb", buffering=0) as stream, os.fdopen(reader, "rb") as source:
        with sink_to(stream) as sink:
            for number in range(100):
                sink.write(b"line %d\n" % number)
            assert not sink.flush(0.1)
            os.dup2(writer, descriptor)  # there is room again
            os.close(writer)
            assert sink.flush(GENEROUS)
        stream.close()
        assert source.read() == b"".join(b"line %d\n" % number for number in range(100))


def test_a_line_that_was_written_in_part_is_gone_on_with() -> None:
    reader, writer = os.pipe()
    os.set_blocking(writer, False)
    with os.fdopen(reader, "rb") as source, os.fdopen(writer, "wb", buffering=0) as stream:
        with sink_to(stream) as sink:
            sink.write(b"x" * 1_000_000 + b"\n")
            received = bytearray()
            while not received.endswith(b"\n"):
                received += os.read(source.fileno(), 65536)
            assert sink.flush(GENEROUS)
        assert bytes(received) == b"x" * 1_000_000 + b"\n"


def test_what_nobody_was_there_to_read_is_counted_for_the_next_reader() -> None:
    reader, writer = os.pipe()
    os.close(reader)
    with os.fdopen(writer, "wb", buffering=0) as stream, sink_to(stream) as sink:
        for _ in range(3):
            sink.write(b"for nobody\n")
            assert sink.flush(GENEROUS)
        again, new_writer = os.pipe()
        os.dup2(new_writer, writer)
        os.close(new_writer)
        sink.write(b"for you\n")
        assert sink.flush(GENEROUS)
        with os.fdopen(again, "rb") as source:
            assert (source.readline(), source.readline()) == (b"for you\n", b"dropped 3\n")
        assert sink.lost == 3, "the notices that were lost with them are no lines of anybody's"


def test_the_bound_holds_while_the_stream_fails() -> None:
    with Path("/dev/full").open("wb", buffering=0) as full, sink_to(full, max_pending=1000) as sink:
        sink.write(b"first\n")
        for _ in range(10_000):
            sink.write(b"x" * 99 + b"\n")
        # What fits, and what was taken meanwhile, is not lost yet.
        assert 10_000 - 2 * 10 <= sink.lost < 10_000
        before = threading.active_count()
        sink.close(GENEROUS)
        assert threading.active_count() == before - 1, "the writer gives a failing stream up when it is told to end"


def test_a_sink_that_does_not_last_says_what_ended_it() -> None:
    with Path("/dev/full").open("wb", buffering=0) as full:
        sink = LineSink(full, notice)
        sink.write(b"lost\n")
        assert sink.flush(GENEROUS)
        sink.close()
        assert isinstance(sink.failure, OSError)
        assert sink.failure.errno == 28
