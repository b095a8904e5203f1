"""Descriptors handed to a worker."""

from __future__ import annotations

import os
import socket
from pathlib import Path

import pytest

from aitp_playground.hosting.contract import LaunchSpec
from aitp_playground.hosting.handover import Lifeline, filled_pipe, handover


def spec(listener: socket.socket, bootstrap: bytes = b"{}") -> LaunchSpec:
    return LaunchSpec(
        run_id="r",
        agent_id="a",
        entrypoint_type="python_module",
        entrypoint="m",
        cwd=Path("/"),
        bootstrap=bootstrap,
        listener=listener,
    )


def open_descriptors() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))


@pytest.mark.parametrize("size", [0, 1, 65536, 500_000])
def test_a_filled_pipe_holds_its_content_and_ends(size: int) -> None:
    with os.fdopen(filled_pipe(b"x" * size), "rb") as stream:
        assert stream.read() == b"x" * size


def test_content_larger_than_any_pipe_is_refused_and_leaves_nothing_open() -> None:
    before = open_descriptors()
    with pytest.raises(OSError, match="too much to hand to an agent"):
        filled_pipe(b"x" * (8 << 20))
    assert open_descriptors() == before


def test_a_failed_launch_leaves_nothing_open_and_the_listener_to_its_owner() -> None:
    lifeline = Lifeline()
    with socket.create_server(("127.0.0.1", 0)) as listener:
        before = open_descriptors()
        with pytest.raises(RuntimeError), handover(spec(listener), lifeline):
            raise RuntimeError
        with pytest.raises(OSError, match="too much"), handover(spec(listener, b"x" * (8 << 20)), lifeline):
            pass
        assert open_descriptors() == before
        assert listener.getsockname()[1] > 0
    lifeline.close()


def test_taken_readers_stay_open() -> None:
    lifeline = Lifeline()
    with socket.create_server(("127.0.0.1", 0)) as listener, handover(spec(listener), lifeline) as given:
        os.write(given.stdout, b"out")
        readers = given.take_readers()
    assert os.read(readers[0], 10) == b"out"
    assert os.read(readers[0], 10) == b""
    for reader in readers:
        os.close(reader)
    lifeline.close()


def test_a_lifeline_ends_when_its_keeper_lets_go() -> None:
    lifeline = Lifeline()
    held = os.dup(lifeline.reader)
    os.set_blocking(held, False)
    with pytest.raises(BlockingIOError):
        os.read(held, 1)
    lifeline.close()
    assert os.read(held, 1) == b""
    os.close(held)
