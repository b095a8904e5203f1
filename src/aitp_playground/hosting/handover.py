"""The descriptors of a launch: opened for the worker, closed here, whatever happens."""

from __future__ import annotations

import contextlib
import fcntl
import os
from collections.abc import Iterator
from dataclasses import dataclass

from aitp_playground.hosting.contract import LaunchSpec

#: What a pipe holds without asking for more, and the most an unprivileged process may ask for; pipe(7).
_PIPE_BYTES = 64 * 1024
_MOST_BYTES = 1024 * 1024


class Lifeline:
    """A pipe whose writing end only this process holds: its reading end ends when this process does."""

    def __init__(self) -> None:
        self.reader, self._writer = os.pipe()

    def close(self) -> None:
        """End it."""
        os.close(self.reader)
        os.close(self._writer)


@dataclass(frozen=True, slots=True)
class Handover:
    """The worker's descriptors, and the reading ends of its output as ``readers``, which ``owner`` closes."""

    bootstrap: int
    listen: int
    lifeline: int
    stdout: int
    stderr: int
    readers: tuple[int, int]
    owner: contextlib.ExitStack

    @property
    def contract(self) -> dict[str, int]:
        """The descriptors that the worker's environment names."""
        return {
            "AITP_BOOTSTRAP_FD": self.bootstrap,
            "AITP_LISTEN_FD": self.listen,
            "AITP_LIFELINE_FD": self.lifeline,
        }

    def take_readers(self) -> tuple[int, int]:
        """Stdout's and stderr's reading ends; they are the caller's from now on."""
        self.owner.pop_all()
        return self.readers


@contextlib.contextmanager
def handover(spec: LaunchSpec, lifeline: Lifeline) -> Iterator[Handover]:
    """Open what the worker gets. Afterwards only the reading ends stay open, and only if they were taken."""
    with contextlib.ExitStack() as ours, contextlib.ExitStack() as readers:
        bootstrap = filled_pipe(spec.bootstrap)
        ours.callback(os.close, bootstrap)
        out_reader, stdout = owned_pipe(readers, ours)
        err_reader, stderr = owned_pipe(readers, ours)
        yield Handover(
            bootstrap,
            spec.listener.fileno(),
            lifeline.reader,
            stdout,
            stderr,
            readers=(out_reader, err_reader),
            owner=readers,
        )


def owned_pipe(reader_owner: contextlib.ExitStack, writer_owner: contextlib.ExitStack) -> tuple[int, int]:
    """A pipe's reading and writing end, each with its owner from the start. Raises ``OSError``."""
    reader, writer = os.pipe()
    reader_owner.callback(os.close, reader)
    writer_owner.callback(os.close, writer)
    return reader, writer


def filled_pipe(content: bytes) -> int:
    """The reading end of a pipe that holds ``content`` (1 MiB at most) and then ends. Raises ``OSError``."""
    with contextlib.ExitStack() as kept, contextlib.ExitStack() as used:
        reader, writer = owned_pipe(kept, used)
        if len(content) > _PIPE_BYTES and hasattr(fcntl, "F_SETPIPE_SZ"):
            with contextlib.suppress(OSError):  # the write below tells whether it was enough
                fcntl.fcntl(writer, fcntl.F_SETPIPE_SZ, min(len(content), _MOST_BYTES))
        os.set_blocking(writer, False)
        try:
            taken = os.write(writer, content) if content else 0
        except BlockingIOError:
            taken = 0
        if taken != len(content):
            raise OSError(f"{len(content)} bytes are too much to hand to an agent")
        kept.pop_all()
        return reader
