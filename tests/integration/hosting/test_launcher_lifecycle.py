"""Whatever dies, nothing stays behind."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import socket
import sys
from pathlib import Path

import pytest

from aitp_playground.errors import LaunchError
from aitp_playground.hosting import fork_launcher as launching
from aitp_playground.hosting.contract import Exit, Launcher
from aitp_playground.hosting.fork_launcher import ForkServerLauncher
from aitp_playground.resources import agents_dir
from tests.integration.hosting.staging import (
    children_of,
    descriptor_targets,
    ended,
    exists,
    initial_environment,
    listening,
    name_of,
    open_descriptors,
    scripted,
    threads_of,
)

ROOT = Path(__file__).parents[3]
SERVICE = Path(__file__).with_name("service.py")


@pytest.mark.parametrize("kind", ["fork", "exec"])
async def test_when_the_service_is_killed_its_agents_and_the_fork_server_end(kind: str) -> None:
    path = os.pathsep.join([str(ROOT), *sys.path])
    service = await asyncio.create_subprocess_exec(
        sys.executable, str(SERVICE), kind, "6", stdout=asyncio.subprocess.PIPE, env={"PYTHONPATH": path}
    )
    try:
        assert service.stdout is not None
        started = json.loads(await asyncio.wait_for(service.stdout.readline(), 300))
    finally:
        service.kill()
        await service.wait()
    assert len(started["agents"]) == 6
    assert (started["server"] is None) == (kind == "exec")
    for pid in [*started["agents"], started["server"]]:
        if pid is not None:
            await ended(pid)


async def test_when_the_fork_server_is_killed_its_agents_end_and_the_next_launch_brings_it_back(
    fork_launcher: ForkServerLauncher, listener: socket.socket
) -> None:
    first = fork_launcher.server_pid
    assert first is not None
    process = await fork_launcher.launch(scripted(listener, "ignore_term"))
    await process.ready()
    os.kill(first, signal.SIGKILL)
    assert await process.wait() == Exit(-signal.SIGKILL)
    await ended(process.pid)
    again = await fork_launcher.launch(scripted(listener, "until_told_to_end"))
    await again.ready()
    assert fork_launcher.server_pid not in (None, first)
    assert not exists(first)
    assert await again.stop(30) == Exit(0)


async def test_a_launch_underway_when_the_fork_server_dies_fails_and_says_why(
    fork_launcher: ForkServerLauncher, listener: socket.socket
) -> None:
    server = fork_launcher.server_pid
    assert server is not None
    os.kill(server, signal.SIGSTOP)  # it takes the request and never answers
    launch = asyncio.create_task(fork_launcher.launch(scripted(listener, "until_told_to_end")))
    await asyncio.sleep(0)
    os.kill(server, signal.SIGKILL)
    with pytest.raises(LaunchError, match="scripted was not started: the fork server ended") as failure:
        await launch
    assert failure.value.details["agent_id"] == "scripted"


async def test_a_fork_server_that_does_not_answer_is_replaced(
    fork_launcher: ForkServerLauncher, listener: socket.socket, monkeypatch: pytest.MonkeyPatch
) -> None:
    stuck = fork_launcher.server_pid
    assert stuck is not None
    os.kill(stuck, signal.SIGSTOP)
    with monkeypatch.context() as hurry:
        hurry.setattr(launching, "_ANSWER_SECS", 0.1)
        with pytest.raises(LaunchError, match="the fork server does not answer"):
            await fork_launcher.launch(scripted(listener, "until_told_to_end"))
    process = await fork_launcher.launch(scripted(listener, "until_told_to_end"))
    await process.ready()
    assert fork_launcher.server_pid != stuck
    assert await process.stop(30) == Exit(0)


async def test_a_fork_server_that_cannot_start_is_a_launch_error_with_its_output(tmp_path: Path) -> None:
    launcher = ForkServerLauncher(python=sys.executable, agents_dir=tmp_path)
    with pytest.raises(LaunchError, match=r"the fork server did not start.*No module named"):
        await launcher.start()
    await launcher.close()


async def test_the_fork_server_has_an_empty_environment_one_thread_and_no_descriptor_of_an_agent(
    fork_launcher: ForkServerLauncher, listener: socket.socket, monkeypatch: pytest.MonkeyPatch
) -> None:
    process = await fork_launcher.launch(scripted(listener, "until_told_to_end"))
    await process.ready()
    server = fork_launcher.server_pid
    assert server is not None
    assert initial_environment(server) == b""
    assert threads_of(server) == 1
    theirs = set(descriptor_targets(process.pid)) - {"/dev/null"}
    assert len(theirs) == 4
    assert theirs.isdisjoint(descriptor_targets(server))


async def test_waiting_children_are_used_once_and_replaced(
    fork_launcher: ForkServerLauncher, listener: socket.socket
) -> None:
    server = fork_launcher.server_pid
    assert server is not None
    waiting = await _waiting(server, 2)
    processes = [await fork_launcher.launch(scripted(listener, "until_told_to_end")) for _ in range(2)]
    assert {process.pid for process in processes} == waiting
    for process in processes:
        await process.ready()
        await process.stop(30)
    renewed = await _waiting(server, 2)
    assert not renewed & waiting


async def test_a_waiting_child_that_died_is_not_given_a_launch(
    fork_launcher: ForkServerLauncher, listener: socket.socket
) -> None:
    server = fork_launcher.server_pid
    assert server is not None
    for pid in await _waiting(server, 2):
        os.kill(pid, signal.SIGKILL)
        await ended(pid)
    process = await fork_launcher.launch(scripted(listener, "until_told_to_end"))
    await process.ready()
    assert await process.stop(30) == Exit(0)


async def test_cancelling_a_launch_leaves_no_process(
    fork_launcher: ForkServerLauncher, listener: socket.socket
) -> None:
    server = fork_launcher.server_pid
    assert server is not None
    before = await _waiting(server, 2)
    for _ in range(3):
        os.kill(server, signal.SIGSTOP)
        launch = asyncio.create_task(fork_launcher.launch(scripted(listener, "ignore_term")))
        await asyncio.sleep(0)
        launch.cancel()
        await asyncio.sleep(0)
        os.kill(server, signal.SIGCONT)
        with pytest.raises(asyncio.CancelledError):
            await launch
    after = await _waiting(server, 2)
    assert after.isdisjoint(before)
    assert {name_of(pid) for pid in after} == {"aitp:forkserver"}


async def test_cancelling_the_wait_for_readiness_then_stopping_leaves_no_process(
    launcher: Launcher, listener: socket.socket
) -> None:
    process = await launcher.launch(scripted(listener, "stay_silent"))
    waiting = asyncio.create_task(process.ready())
    await asyncio.sleep(0)
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    await process.stop(0)
    assert not exists(process.pid)


async def test_cancelling_a_stop_kills_at_once(launcher: Launcher, listener: socket.socket) -> None:
    process = await launcher.launch(scripted(listener, "ignore_term"))
    await process.ready()
    stopping = asyncio.create_task(process.stop(600))
    await asyncio.sleep(0)
    stopping.cancel()
    with pytest.raises(asyncio.CancelledError):
        await stopping
    assert await process.wait() == Exit(-signal.SIGKILL)


async def test_a_hundred_launches_leave_no_descriptor_no_zombie_and_no_process(launcher: Launcher) -> None:
    await _start_and_stop(launcher)
    await _settled(launcher)
    descriptors, processes = open_descriptors(), await _settled(launcher)
    for _ in range(10):
        await asyncio.gather(*(_start_and_stop(launcher) for _ in range(10)))
    assert await _settled(launcher) == processes
    assert open_descriptors() == descriptors


async def test_starting_and_closing_leaves_nothing(listener: socket.socket) -> None:
    descriptors, children = open_descriptors(), children_of(os.getpid())
    for _ in range(2):
        launcher = ForkServerLauncher(python=sys.executable, agents_dir=agents_dir(), pool_size=1)
        await asyncio.gather(launcher.start(), launcher.start())
        await launcher.close()
        await launcher.close()
    assert open_descriptors() == descriptors
    assert children_of(os.getpid()) == children


async def _start_and_stop(launcher: Launcher) -> None:
    with listening() as listener:
        process = await launcher.launch(scripted(listener, "until_told_to_end"))
        await process.ready()
        assert await process.stop(30) == Exit(0)


async def _settled(launcher: Launcher) -> tuple[int, int]:
    """Our children and the fork server's, once it has as many as it keeps waiting."""
    server = launcher.server_pid if isinstance(launcher, ForkServerLauncher) else None
    ours = len(children_of(os.getpid()))
    if server is None:
        return ours, 0
    pool = launcher.pool_size if isinstance(launcher, ForkServerLauncher) else 0
    return ours, len(await _waiting(server, pool))


async def _waiting(server: int, count: int) -> set[int]:
    """The fork server's children, once there are ``count``; ten seconds at most."""
    async with asyncio.timeout(300):
        while len(found := children_of(server)) != count:  # noqa: ASYNC110 - the kernel tells no event of it
            await asyncio.sleep(0.01)
    return found
