"""A started worker, whichever launcher started it."""

from __future__ import annotations

import asyncio
import os
import re
import signal
from collections.abc import Callable
from typing import Any

from aitp_playground.errors import LaunchError
from aitp_playground.hosting.contract import Exit, LaunchSpec, Ready
from aitp_playground.hosting.output import OutputPipe, Tail, last_lines
from aitp_playground.hosting.ready_line import ReadyLine, ReadyLineError
from aitp_playground.hosting.shortages import shortage

#: Seconds for the pipes to reach end of file once the process is reaped: a stray grandchild may hold them open.
_DRAIN_SECS = 1.0
#: How much of what a process printed goes into an error message; more of it is in the details.
MESSAGE_CHARS = 500
_MISSING_MODULE = re.compile(r"^ModuleNotFoundError: No module named '([\w.]{1,200})'", re.MULTILINE)


class WorkerProcess:
    """Implements :class:`~aitp_playground.hosting.contract.AgentProcess`.

    ``exited`` gets the exit code (as in ``subprocess``) when the process is reaped; until then ``send_signal`` reaches
    it. Takes over the two pipe ends, also when it cannot be made (``OSError``). Must be made in the loop it lives in.
    """

    def __init__(
        self,
        spec: LaunchSpec,
        pid: int,
        exited: asyncio.Future[int],
        send_signal: Callable[[int], object],
        stdout: int,
        stderr: int,
    ) -> None:
        self.pid = pid
        self._spec = spec
        self._startup_timeout = spec.startup_timeout
        self._loop = asyncio.get_running_loop()
        self._deadline = self._loop.time() + spec.startup_timeout
        self._exited = exited
        self._send_signal = send_signal
        self._asked_to_end = False
        self._ready_line = ReadyLine(spec.listener.getsockname()[1])
        self._ready: asyncio.Future[Ready | ReadyLineError] = self._loop.create_future()
        self._tails = Tail(spec.secrets), Tail(spec.secrets)
        self._pipes = _output_pipes((stdout, self._take_stdout), (stderr, self._tails[1].feed))
        self._done: asyncio.Future[Exit] = self._loop.create_future()
        exited.add_done_callback(self._progress)
        for pipe in self._pipes:
            pipe.closed.add_done_callback(self._progress)

    async def ready(self) -> Ready:
        """See the contract."""
        await asyncio.wait(
            (self._ready, self._exited),
            timeout=max(0.0, self._deadline - self._loop.time()),
            return_when=asyncio.FIRST_COMPLETED,
        )
        found = self._ready.result() if self._ready.done() else None
        if isinstance(found, Ready):
            return found
        if self._exited.done():
            code = (await self.wait()).code
            raise self._launch_error(f"ended with {describe_exit(code)} before it was ready", exit_code=code)
        self.kill()
        await self.wait()
        raise self._launch_error(str(found) if found else f"was not ready within {self._startup_timeout:g} s")

    async def wait(self) -> Exit:
        """See the contract."""
        return await asyncio.shield(self._done)

    async def stop(self, grace: float) -> Exit:
        """See the contract. Cancelling it kills at once."""
        if not self._exited.done():
            if not self._asked_to_end:
                self._asked_to_end = True
                self._send_signal(signal.SIGTERM)
            try:
                await asyncio.wait((self._exited,), timeout=grace)
            finally:
                self.kill()
        return await self.wait()

    def kill(self) -> None:
        """SIGKILL, unless it is over."""
        if not self._exited.done():
            self._send_signal(signal.SIGKILL)

    def output(self) -> str:
        """See the contract: stdout first, then stderr."""
        stdout, stderr = (tail.text() for tail in self._tails)
        return stdout + ("\n" if stdout and stderr and not stdout.endswith("\n") else "") + stderr

    def _take_stdout(self, chunk: bytes) -> None:
        self._tails[0].feed(chunk)
        try:
            found: Ready | ReadyLineError | None = self._ready_line.feed(chunk)
        except ReadyLineError as failure:
            found = failure
        if found is not None:
            self._ready.set_result(found)

    def _progress(self, future: asyncio.Future[Any]) -> None:
        if not self._exited.done() or self._done.done():
            return
        if all(pipe.closed.done() for pipe in self._pipes):
            self._done.set_result(Exit(self._exited.result()))
        elif future is self._exited:
            for pipe in self._pipes:
                self._loop.call_later(_DRAIN_SECS, pipe.close)

    def _launch_error(self, what: str, *, exit_code: int | None = None) -> LaunchError:
        stderr = self._tails[1].text()
        end = last_lines(stderr, MESSAGE_CHARS)
        details: dict[str, Any] = {"agent_id": self._spec.agent_id, "stderr": stderr}
        if exit_code is not None:
            details["exit_code"] = exit_code
        if (missing := _MISSING_MODULE.search(stderr)) and self._spec.python is not None:
            what = (
                f"{what}: the interpreter {self._spec.python} that {self._spec.manifest or 'its manifest'} asks for "
                f"(host.python) has no module {missing[1]!r}; install it there, or leave host.python out"
            )
        elif exit_code == 0:
            what = f"{what}: its code ran to the end and served nothing; a worker's module ends with worker.run()"
        return LaunchError(
            f"agent {self._spec.agent_id} {what}" + (f"; its stderr ends: {end}" if end else ""), details=details
        )


def _output_pipes(*wanted: tuple[int, Callable[[bytes], object]]) -> list[OutputPipe]:
    """All of them, or none, and then every descriptor closed."""
    pipes: list[OutputPipe] = []
    try:
        for descriptor, feed in wanted:
            pipes.append(OutputPipe(descriptor, feed))
    except BaseException:
        for pipe in pipes:
            pipe.close()
        for descriptor, _ in wanted[len(pipes) :]:
            os.close(descriptor)
        raise
    return pipes


def not_launched(spec: LaunchSpec, failure: Exception) -> LaunchError:
    """The error of an agent whose process never came to be."""
    said = shortage(failure) or str(failure) or type(failure).__name__
    if spec.python is not None and isinstance(failure, OSError) and failure.filename == spec.python:
        said = (
            f"{said}; {spec.manifest or 'its manifest'} asks for that interpreter (host.python): name one that can be "
            "executed, or leave host.python out"
        )
    return LaunchError(
        f"agent {spec.agent_id} was not started: {said}", details={"agent_id": spec.agent_id, "stderr": ""}
    )


def describe_exit(code: int) -> str:
    """``exit code 3``, ``SIGKILL``."""
    if code >= 0:
        return f"exit code {code}"
    try:
        return signal.Signals(-code).name
    except ValueError:
        return f"signal {-code}"
