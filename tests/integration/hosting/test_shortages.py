"""Descriptors, processes and the loop's watch may run short anywhere: nothing stays behind, and it goes on."""

from __future__ import annotations

import asyncio
import errno
import os
import resource
import signal
import socket
import sys
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from aitp_playground.errors import LaunchError
from aitp_playground.hosting import fork_launcher as launching
from aitp_playground.hosting.contract import Exit, Launcher
from aitp_playground.hosting.exec_launcher import ExecLauncher
from aitp_playground.hosting.fork_launcher import ForkServerLauncher
from aitp_playground.resources import agents_dir
from tests.integration.hosting.staging import children_of, ended, open_descriptors, scripted

#: Everything by which a launch gets hold of something that has to be given back.
ACQUISITIONS = ("os.pipe", "os.dup", "os.pidfd_open", "os.set_blocking", "socket.socketpair", "loop.add_reader")
MAKERS: list[Callable[[], Launcher]] = [
    lambda: ForkServerLauncher(python=sys.executable, agents_dir=agents_dir(), pool_size=0),
    lambda: ExecLauncher(python=sys.executable, agents_dir=agents_dir()),
]


async def attempt(launcher: Launcher, listener: socket.socket) -> bool:
    """A whole life of an agent; False when it was refused in an orderly way."""
    try:
        process = await launcher.launch(scripted(listener, "until_told_to_end"))
    except LaunchError:
        return False
    await process.ready()
    assert await process.stop(30) == Exit(0)
    return True


async def settled(descriptors: int, children: set[int]) -> None:
    """What was begun and given up is reaped by the loop, not at once."""
    async with asyncio.timeout(300):
        while open_descriptors() > descriptors or children_of(os.getpid()) > children:  # noqa: ASYNC110
            await asyncio.sleep(0.01)
    assert open_descriptors() == descriptors


@contextmanager
def failing(acquisition: str, at: int, monkeypatch: pytest.MonkeyPatch) -> Iterator[list[int]]:
    """The ``at``-th call (from 0) fails as it does when descriptors run out; gives the number of calls so far."""
    owner: Any = {"os": os, "socket": socket, "loop": asyncio.get_running_loop()}[acquisition.partition(".")[0]]
    name, calls = acquisition.partition(".")[2], [0]
    real = getattr(owner, name)

    def scarce(*args: Any, **kwargs: Any) -> Any:
        calls[0] += 1
        if calls[0] == at + 1:
            raise OSError(errno.EMFILE, os.strerror(errno.EMFILE))
        return real(*args, **kwargs)

    with monkeypatch.context() as patch:
        patch.setattr(owner, name, scarce)
        yield calls


@pytest.mark.parametrize("make", MAKERS)
@pytest.mark.parametrize("warm", [True, False])
@pytest.mark.parametrize("acquisition", ACQUISITIONS)
async def test_each_acquisition_may_fail_and_leaves_nothing_open(
    make: Callable[[], Launcher],
    warm: bool,
    acquisition: str,
    listener: socket.socket,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Warm: the launcher runs already, and only the launch is short of something."""
    cold = open_descriptors()
    alone = children_of(os.getpid())
    for at in range(100):
        launcher = make()
        if warm:
            await launcher.start()
            assert await attempt(launcher, listener)
        before, children = open_descriptors(), children_of(os.getpid())
        with failing(acquisition, at, monkeypatch) as calls:
            await attempt(launcher, listener)
        if warm:
            await settled(before, children)
        assert await attempt(launcher, listener), at
        await launcher.close()
        await settled(cold, alone)
        if calls[0] <= at:
            break
    else:
        pytest.fail("there is no end to it")


@pytest.fixture(params=MAKERS)
async def warm_launcher(request: pytest.FixtureRequest) -> AsyncIterator[Launcher]:
    launcher = request.param()
    await launcher.start()
    yield launcher
    await launcher.close()


async def test_running_out_of_descriptors_anywhere_is_got_over(
    warm_launcher: Launcher, listener: socket.socket
) -> None:
    assert await attempt(warm_launcher, listener)
    before, children = open_descriptors(), children_of(os.getpid())
    limits = resource.getrlimit(resource.RLIMIT_NOFILE)
    refused = 0
    for left in range(16):
        resource.setrlimit(resource.RLIMIT_NOFILE, (before - 1 + left, limits[1]))
        try:
            refused += not await attempt(warm_launcher, listener)
        finally:
            resource.setrlimit(resource.RLIMIT_NOFILE, limits)
        await settled(before, children)
    assert refused > 0
    assert await attempt(warm_launcher, listener)


async def test_a_shortage_of_descriptors_is_said_with_what_to_do(
    warm_launcher: Launcher, listener: socket.socket, monkeypatch: pytest.MonkeyPatch
) -> None:
    with (
        failing("os.pipe", 0, monkeypatch),
        pytest.raises(LaunchError, match=r"no more files may be opened .*ulimit -n"),
    ):
        await warm_launcher.launch(scripted(listener, "until_told_to_end"))


@pytest.mark.parametrize("number", [errno.EAGAIN, errno.ENOMEM])
async def test_a_system_without_room_for_processes_is_said_as_that(
    number: int, listener: socket.socket, monkeypatch: pytest.MonkeyPatch
) -> None:
    def popen(*_args: Any, **_kwargs: Any) -> Any:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr("aitp_playground.hosting.child_process.subprocess.Popen", popen)
    for make in MAKERS:
        launcher = make()
        with pytest.raises(LaunchError, match=r"the system .* process"):
            await launcher.launch(scripted(listener, "until_told_to_end"))
        await launcher.close()


@pytest.mark.skipif(os.geteuid() == 0, reason="root has no limit of processes")
async def test_a_limit_of_processes_met_by_the_fork_server_is_said_as_that(
    fork_launcher: ForkServerLauncher, listener: socket.socket
) -> None:
    server = fork_launcher.server_pid
    assert server is not None
    resource.prlimit(server, resource.RLIMIT_NPROC, (1, 1))
    with pytest.raises(LaunchError, match="starts no more processes"):  # noqa: PT012 - whichever launch it is
        for _ in range(5):  # children forked ahead of need are used up first
            await fork_launcher.launch(scripted(listener, "until_told_to_end"))


def refused_fork(launcher: ForkServerLauncher, said: int) -> None:
    """As the fork server says it."""
    server = launcher._server
    assert server is not None
    number = max(server._launches)
    server._take({"op": "failed", "id": number, "error": os.strerror(said), "errno": said})


async def test_what_the_fork_server_is_short_of_is_said_as_that(
    fork_launcher: ForkServerLauncher, listener: socket.socket
) -> None:
    assert fork_launcher.server_pid is not None
    os.kill(fork_launcher.server_pid, signal.SIGSTOP)
    launch = asyncio.create_task(fork_launcher.launch(scripted(listener, "until_told_to_end")))
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    refused_fork(fork_launcher, errno.EAGAIN)
    with pytest.raises(LaunchError, match=r"starts no more processes .*ulimit -u"):
        await launch
    fork_launcher._server.kill()  # type: ignore[union-attr]


async def test_an_agent_of_a_fork_server_that_stands_still_is_ended_all_the_same(
    fork_launcher: ForkServerLauncher, listener: socket.socket, monkeypatch: pytest.MonkeyPatch
) -> None:
    process = await fork_launcher.launch(scripted(listener, "until_told_to_end"))
    await process.ready()
    stuck = fork_launcher.server_pid
    assert stuck is not None
    os.kill(stuck, signal.SIGSTOP)
    monkeypatch.setattr(launching, "_KILL_SECS", 0.1)
    monkeypatch.setattr(launching, "_END_SECS", 3600.0)  # what ending a server may take by itself
    async with asyncio.timeout(300):
        assert await process.stop(0.1) == Exit(-signal.SIGKILL)
    await ended(process.pid)
    again = await fork_launcher.launch(scripted(listener, "until_told_to_end"))
    await again.ready()
    assert await again.stop(30) == Exit(0)


async def test_closing_waits_for_no_fork_server_that_does_not_come_up(
    tmp_path: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    package = tmp_path / "base" / "process"
    package.mkdir(parents=True)
    for directory in (package.parent, package):
        (directory / "__init__.py").touch()
    (package / "forkserver.py").write_text("import time\ntime.sleep(600)\n")
    launcher = ForkServerLauncher(python=sys.executable, agents_dir=tmp_path)
    starting = asyncio.create_task(launcher.start())
    monkeypatch.setattr(launching, "_START_SECS", 3600.0)
    async with asyncio.timeout(300):
        while launcher._coming is None:  # noqa: ASYNC110
            await asyncio.sleep(0.01)
        await launcher.close()
    with pytest.raises(LaunchError):
        await starting
