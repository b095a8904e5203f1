"""Spawning a child process of the service and reaping it, on the loop, without a thread."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path

#: Where the system cannot tell when a process ends (no pidfd), look this often.
_POLL_SECS = 0.05


class Child:
    """A process in a session of its own. ``exited`` gets its code once it is reaped (negative: the signal).

    When it ends, the rest of its process group is killed: what it started ends with it.
    """

    def __init__(
        self,
        argv: Sequence[str],
        *,
        env: Mapping[str, str],
        cwd: Path,
        stdout: int,
        stderr: int,
        pass_fds: Sequence[int],
    ) -> None:
        """Raises ``OSError`` when it cannot be started. Call it in the thread that lives as long as the child may."""
        self._loop = asyncio.get_running_loop()
        self.exited: asyncio.Future[int] = self._loop.create_future()
        self._process = subprocess.Popen(  # noqa: S603 - no shell; the interpreter is an operator's or manifest's choice
            argv,
            env=env,
            cwd=cwd,
            stdin=subprocess.DEVNULL,
            stdout=stdout,
            stderr=stderr,
            pass_fds=pass_fds,
            start_new_session=True,
        )
        self.pid = self._process.pid
        self._watch()

    def signal(self, number: int) -> None:
        """Send a signal; nothing once it is reaped. SIGKILL goes to its process group."""
        if self.exited.done():
            return
        with contextlib.suppress(ProcessLookupError):
            os.kill(self.pid, number)
        if number == signal.SIGKILL:
            self._kill_group()

    def _watch(self) -> None:
        try:
            descriptor = os.pidfd_open(self.pid)
        except (AttributeError, OSError):
            self._poll()
            return
        try:
            self._loop.add_reader(descriptor, self._ended, descriptor)
        except OSError:
            os.close(descriptor)
            self._poll()

    def _ended(self, descriptor: int) -> None:
        self._loop.remove_reader(descriptor)
        os.close(descriptor)
        self._kill_group()  # unreaped, it still owns the group's number
        self.exited.set_result(self._process.wait())

    def _poll(self) -> None:
        """Look without reaping: the group is killed while the child still owns its number."""
        try:
            over = os.waitid(os.P_PID, self.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is not None
        except ChildProcessError:
            over = True
        if not over:
            self._loop.call_later(_POLL_SECS, self._poll)
            return
        self._kill_group()
        self.exited.set_result(self._process.wait())

    def _kill_group(self) -> None:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self.pid, signal.SIGKILL)
