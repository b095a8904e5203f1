"""Launching by fork: a prepared process (``base/process/forkserver.py``) forks one child per agent in milliseconds."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import json
import os
import signal
import socket
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import structlog

from aitp_playground.errors import LaunchError
from aitp_playground.hosting.child_process import Child
from aitp_playground.hosting.contract import LaunchSpec
from aitp_playground.hosting.control_channel import Channel
from aitp_playground.hosting.handover import Lifeline, filled_pipe, handover, owned_pipe
from aitp_playground.hosting.job import worker_environment, worker_job
from aitp_playground.hosting.output import OutputPipe, Tail
from aitp_playground.hosting.shortages import shortage
from aitp_playground.hosting.worker_process import WorkerProcess, not_launched

_log = structlog.get_logger(__name__)

#: Seconds for the fork server to import what it shares, to kill one child, and to kill and reap them all.
_START_SECS = 30.0
_KILL_SECS = 3.0
_END_SECS = 5.0
#: Seconds for it to hand over a launch, which takes milliseconds: longer, and it is stuck.
_ANSWER_SECS = 10.0


def fork_supported() -> bool:
    """Whether this system has what the fork server needs (descriptor passing in packets, PR_SET_PDEATHSIG, /proc)."""
    return sys.platform == "linux"


class _ServerFailure(LaunchError):
    """The fork server does not start, is gone, or could not fork."""


@dataclass(frozen=True, slots=True)
class _Launch:
    """One launch: when it started, its process id; when it is reaped, its exit code."""

    started: asyncio.Future[int]
    exited: asyncio.Future[int]


class _Server:
    """One life of the fork server process and the launches in its care."""

    def __init__(self, python: str, agents_dir: Path, pool_size: int) -> None:
        loop = asyncio.get_running_loop()
        self._up: asyncio.Future[None] = loop.create_future()
        self._ids = itertools.count(1)
        self._launches: dict[int, _Launch] = {}
        self._tail = Tail()
        with contextlib.ExitStack() as kept, contextlib.ExitStack() as given:
            try:
                ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
                kept.callback(ours.close)
                given.callback(theirs.close)
                reader, writer = owned_pipe(kept, given)
                self._child = Child(
                    (python, "-m", "base.process.forkserver", str(theirs.fileno()), str(pool_size)),
                    env={},
                    cwd=agents_dir,
                    stdout=writer,
                    stderr=writer,
                    pass_fds=(theirs.fileno(),),
                )
                kept.callback(self._child.signal, signal.SIGKILL)
                self._output = OutputPipe(reader, self._tail.feed)
                kept.callback(loop.remove_reader, reader)
                self._channel = Channel(ours, self._take, self._lost)
            except OSError as failure:
                said = shortage(failure) or str(failure)
                raise _ServerFailure(f"the fork server cannot be started with {python}: {said}") from failure
            kept.pop_all()

    @property
    def alive(self) -> bool:
        """Whether it can take launches."""
        return self._up.done() and not self._child.exited.done() and not self._channel.ended

    @property
    def pid(self) -> int:
        """Its process id."""
        return self._child.pid

    @property
    def output(self) -> str:
        """The end of what it printed: its own troubles, nothing of an agent's."""
        return self._tail.text().strip()[-2000:]

    async def up(self) -> None:
        """Wait until it takes launches. Raises ``LaunchError``."""
        await asyncio.wait((self._up, self._child.exited), timeout=_START_SECS, return_when=asyncio.FIRST_COMPLETED)
        if not self.alive:
            await self.end()
            raise _ServerFailure(f"the fork server did not start: {self.output or 'no output'}")

    def begin(self, descriptors: tuple[int, ...]) -> tuple[_Launch, Callable[[int], None]]:
        """Ask for a child; gives the launch and the way to signal it."""
        number = next(self._ids)
        loop = asyncio.get_running_loop()
        self._channel.post({"op": "launch", "id": number}, descriptors)
        launch = self._launches[number] = _Launch(loop.create_future(), loop.create_future())

        def send_signal(sig: int) -> None:
            self._channel.post({"op": "signal", "id": number, "signal": int(sig)})
            if sig == signal.SIGKILL:
                # It takes milliseconds; a server that is stopped or stuck would keep its children alive for ever.
                loop.call_later(_KILL_SECS, self._replace_if_stuck, number)

        return launch, send_signal

    def _replace_if_stuck(self, number: int) -> None:
        if number in self._launches and not self._launches[number].exited.done():
            _log.warning("fork_server.stuck", pid=self.pid)
            self.kill()

    def kill(self) -> None:
        """End it and, by the kernel, all its children."""
        self._child.signal(signal.SIGKILL)
        self._channel.close()

    async def end(self) -> None:
        """Have it kill and reap its children and end; kill it if it does not."""
        self._channel.finish()
        await asyncio.wait((self._child.exited,), timeout=_END_SECS)
        self._child.signal(signal.SIGKILL)
        await asyncio.shield(self._child.exited)
        self._channel.close()
        self._output.close()

    def _take(self, message: dict[str, Any]) -> None:
        match message["op"]:
            case "up":
                self._up.set_result(None)
            case "started":
                launch = self._launches[message["id"]]
                if not launch.started.done():
                    launch.started.set_result(message["pid"])
            case "failed":
                failure = OSError(message["errno"], message["error"])
                why = shortage(failure) or message["error"]
                self._give_up(self._launches.pop(message["id"]), -signal.SIGKILL, why)
            case "exited":
                self._launches.pop(message["id"]).exited.set_result(message["code"])
            case unknown:
                _log.error("fork_server.unknown_message", op=unknown)

    def _lost(self) -> None:
        """Without the server the kernel kills its children; nobody can ask for their codes any more."""
        launches = list(self._launches.values())
        self._launches.clear()
        for launch in launches:
            self._give_up(launch, -signal.SIGKILL, "the fork server ended")

    @staticmethod
    def _give_up(launch: _Launch, code: int, why: str) -> None:
        launch.exited.set_result(code)
        if not launch.started.done():
            launch.started.set_exception(_ServerFailure(why))


class ForkServerLauncher:
    """Implements :class:`~aitp_playground.hosting.contract.Launcher` with one fork server, replaced when lost."""

    def __init__(self, *, python: str, agents_dir: Path, pool_size: int = 0) -> None:
        """``python`` needs the workers' dependencies; ``pool_size`` children wait forked ahead of need."""
        self._python = python
        self._agents_dir = agents_dir
        self.pool_size = pool_size
        self._server: _Server | None = None
        self._lifeline: Lifeline | None = None
        self._starting = asyncio.Lock()
        self._coming: _Server | None = None
        self._closing = False
        self._processes: set[WorkerProcess] = set()

    @property
    def server_pid(self) -> int | None:
        """The fork server's process id, None when there is none."""
        return self._server.pid if self._server is not None and self._server.alive else None

    async def start(self) -> None:
        """See the contract. Also brings a lost server back."""
        await self._running_server()

    async def launch(self, spec: LaunchSpec) -> WorkerProcess:
        """See the contract."""
        try:
            process, exited = await self._launch(spec)
        except (OSError, _ServerFailure) as failure:
            raise not_launched(spec, failure) from failure
        self._processes.add(process)
        exited.add_done_callback(lambda _: self._processes.discard(process))
        return process

    async def _launch(self, spec: LaunchSpec) -> tuple[WorkerProcess, asyncio.Future[int]]:
        job = worker_job(spec) | {"env": worker_environment(spec)}
        server = await self._running_server()
        assert self._lifeline is not None
        with handover(spec, self._lifeline) as given, _document(job) as job_fd:
            launch, send_signal = server.begin(
                (job_fd, given.bootstrap, given.listen, given.lifeline, given.stdout, given.stderr)
            )
            try:
                async with asyncio.timeout(_ANSWER_SECS):
                    pid = await launch.started
            except TimeoutError:
                server.kill()
                raise _ServerFailure("the fork server does not answer") from None
            except BaseException:
                await self._withdraw(launch, send_signal)
                raise
            try:
                process = WorkerProcess(spec, pid, launch.exited, send_signal, *given.take_readers())
            except BaseException:
                await self._withdraw(launch, send_signal)
                raise
            return process, launch.exited

    @staticmethod
    async def _withdraw(launch: _Launch, send_signal: Callable[[int], None]) -> None:
        send_signal(signal.SIGKILL)
        await asyncio.wait((launch.exited,), timeout=_END_SECS)

    async def close(self) -> None:
        """See the contract."""
        self._closing = True
        if self._coming is not None:
            self._coming.kill()  # whoever waits for it has the lock
        async with self._starting:
            processes = list(self._processes)
            if self._server is not None:
                await self._server.end()
                self._server = None
            for process in processes:
                await process.wait()
            if self._lifeline is not None:
                self._lifeline.close()
                self._lifeline = None
            self._closing = False

    async def _running_server(self) -> _Server:
        async with self._starting:
            if self._closing:
                raise _ServerFailure("the service is shutting down")
            if self._server is not None and not self._server.alive:
                _log.warning("fork_server.lost", pid=self._server.pid, output=self._server.output)
                await self._server.end()
                self._server = None
            if self._server is None:
                self._server = await self._started_server()
            return self._server

    async def _started_server(self) -> _Server:
        if self._lifeline is None:
            self._lifeline = Lifeline()
        server = self._coming = _Server(self._python, self._agents_dir, self.pool_size)
        try:
            await server.up()
        except asyncio.CancelledError:
            await server.end()
            raise
        finally:
            self._coming = None
        return server


@contextlib.contextmanager
def _document(job: dict[str, Any]) -> Iterator[int]:
    """A descriptor from which the worker reads its job."""
    descriptor = filled_pipe(json.dumps(job).encode())
    try:
        yield descriptor
    finally:
        os.close(descriptor)
