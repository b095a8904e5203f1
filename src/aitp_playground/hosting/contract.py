"""What launching an agent means, whichever launcher does it. One contract suite holds for all of them.

The worker process gets, and alone keeps, these descriptors, named in its environment:

- ``AITP_BOOTSTRAP_FD``: read to end of file once: the bootstrap document (JSON, UTF-8), then closed;
- ``AITP_LISTEN_FD``: the listening TCP socket, bound by the service, so that the port is known and cannot be lost;
- ``AITP_LIFELINE_FD``: a pipe end that gives end of file when the service is gone: the worker then exits at once;
- 0 is ``/dev/null``, 1 and 2 are pipes the service reads.

It runs the entrypoint as ``__main__`` with ``LaunchSpec.path`` first on ``sys.path`` and ``host.cwd`` as its working
directory; its environment holds only ``PATH``, ``HOME``, ``LANG``, ``TZ``, ``TMPDIR`` (where the service has them), the
three names above and the manifest's ``host.env``. When it serves, it writes one line to stdout::

    AITP_AGENT_READY aid=<aid> port=<port>

SIGTERM asks it to flush its telemetry and exit 0; SIGKILL follows after the grace time.
"""

from __future__ import annotations

import socket
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, Protocol


@dataclass(frozen=True, slots=True, kw_only=True)
class LaunchSpec:
    """One agent to start. ``bootstrap`` is secret: it goes through a descriptor, never argv, environment or a file.

    ``path``: directories put first on ``sys.path``, in this order (the pack's agents directory, the shipped one).
    ``python``: an interpreter of its own, else the launcher's; ``manifest`` is where it was asked for, for errors.
    ``listener`` stays the caller's; the launcher duplicates
    what it passes on. ``secrets`` are strings (tokens, seeds) blotted out of anything the process prints.
    """

    run_id: str
    agent_id: str
    entrypoint_type: Literal["python_module", "python_file"]
    entrypoint: str
    cwd: Path
    path: tuple[Path, ...] = ()
    python: str | None = None
    manifest: str = ""
    env: Mapping[str, str] = field(default_factory=dict)
    bootstrap: bytes
    listener: socket.socket
    startup_timeout: float = 30.0
    secrets: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Ready:
    """The parsed ready line: the AID as the launch channel (not the network) told it."""

    aid: str
    port: int


@dataclass(frozen=True, slots=True)
class Exit:
    """How a process ended: ``code`` as in ``subprocess`` (negative: by that signal)."""

    code: int


class AgentProcess(Protocol):
    """A started worker."""

    pid: int

    async def ready(self) -> Ready:
        """Wait for the ready line, at most the spec's start-up time-out.

        Raises :class:`~aitp_playground.errors.LaunchError` (exit code, end of stderr) when the process exits first,
        stays silent, or writes a ready line that is not one or names another port. The process is then gone.
        """

    async def wait(self) -> Exit:
        """Wait for the end, reap, and drain the output pipes. Safe to call often and from several tasks."""

    async def stop(self, grace: float) -> Exit:
        """SIGTERM, then SIGKILL after ``grace`` seconds; returns when the process is reaped. Safe to call often."""

    def output(self) -> str:
        """The end of stdout and stderr (64 KiB each at most), secrets blotted out. Also after the end."""


class Launcher(Protocol):
    """Starts workers."""

    async def start(self) -> None:
        """Make ready to launch (the fork server starts here). Idempotent."""

    async def launch(self, spec: LaunchSpec) -> AgentProcess:
        """Start one process. Raises ``LaunchError``. Cancelling it leaves no process behind."""

    async def close(self) -> None:
        """Kill and reap every process still alive, then the launcher's own."""
