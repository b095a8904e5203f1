"""What is inspected is read from whatever can be read, within its bound, and no pipe keeps the command for ever."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from aitp_playground.cli.inspecting import reading
from aitp_playground.cli.inspecting.reading import read_source
from aitp_playground.errors import ConfigurationError

MOST = 1 << 20


@pytest.fixture
def pipe(tmp_path: Path) -> Path:
    os.mkfifo(tmp_path / "pipe")
    return tmp_path / "pipe"


def later(pipe: Path, data: bytes, seconds: float = 0.0, between: float = 0.0) -> threading.Thread:
    """Somebody who opens the pipe after so many seconds, and writes after so many more."""

    def write() -> None:
        time.sleep(seconds)
        try:
            with pipe.open("wb", buffering=0) as stream:
                time.sleep(between)
                while data and stream.write(data) and len(data) > MOST:
                    pass
        except BrokenPipeError:
            return

    thread = threading.Thread(target=write, daemon=True)
    thread.start()
    return thread


def test_a_pipe_without_a_writer_is_refused(pipe: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reading, "PATIENCE_SECONDS", 0.1)
    with pytest.raises(ConfigurationError, match=r"pipe cannot be read: it is a pipe .* nobody writes into it"):
        read_source(str(pipe), MOST)


def test_whoever_writes_into_a_pipe_may_come_late_and_take_his_time(
    pipe: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    writer = later(pipe, b"x" * 100_000, seconds=0.2)
    assert read_source(str(pipe), MOST) == b"x" * 100_000
    writer.join()
    monkeypatch.setattr(reading, "PATIENCE_SECONDS", 0.5)
    writer = later(pipe, b"slow", between=1.0)
    assert read_source(str(pipe), MOST) == b"slow"
    writer.join()


def test_what_a_command_prints_can_be_given_as_a_file() -> None:
    read = f"from {read_source.__module__} import read_source; print(read_source(__import__('sys').argv[1], 9))"
    for command in ("echo said", "sleep 0.3; echo said", "echo sa; sleep 0.2; echo id"):
        done = subprocess.run(
            ["bash", "-c", f'"$0" -c "$1" <({command})', sys.executable, read],
            capture_output=True,
            text=True,
            check=True,
            timeout=60,
        )
        assert "sa" in done.stdout, done


def test_what_does_not_end_is_too_large(pipe: Path) -> None:
    with pytest.raises(ConfigurationError, match="/dev/zero is larger than"):
        read_source("/dev/zero", MOST)
    writer = later(pipe, b"x" * (MOST + 1))
    with pytest.raises(ConfigurationError, match="is larger than"):
        read_source(str(pipe), MOST)
    writer.join()


def test_what_cannot_be_read_says_why(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ConfigurationError, match="Is a directory"):
        read_source(str(tmp_path), MOST)
    with pytest.raises(ConfigurationError, match="nowhere cannot be read: No such file"):
        read_source(str(tmp_path / "nowhere"), MOST)
    with pytest.raises(ConfigurationError, match="cannot be read: embedded null byte"):
        read_source("a\0b", MOST)
    monkeypatch.setattr(sys, "stdin", None)
    with pytest.raises(ConfigurationError, match="standard input is closed"):
        read_source("-", MOST)
    (tmp_path / "full").write_bytes(b"x" * MOST)
    assert len(read_source(str(tmp_path / "full"), MOST)) == MOST
