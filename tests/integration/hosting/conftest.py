"""Launchers under test, and listening sockets."""

from __future__ import annotations

import socket
import sys
from collections.abc import AsyncIterator, Callable, Iterator

import pytest

from aitp_playground.hosting.contract import Launcher
from aitp_playground.hosting.exec_launcher import ExecLauncher
from aitp_playground.hosting.fork_launcher import ForkServerLauncher
from aitp_playground.resources import agents_dir
from tests.integration.hosting.staging import listening


@pytest.fixture
def listener() -> Iterator[socket.socket]:
    with listening() as sock:
        yield sock


@pytest.fixture
async def fork_launcher() -> AsyncIterator[ForkServerLauncher]:
    launcher = ForkServerLauncher(python=sys.executable, agents_dir=agents_dir(), pool_size=2)
    await launcher.start()
    yield launcher
    await launcher.close()


@pytest.fixture
async def exec_launcher() -> AsyncIterator[ExecLauncher]:
    launcher = ExecLauncher(python=sys.executable, agents_dir=agents_dir())
    await launcher.start()
    yield launcher
    await launcher.close()


@pytest.fixture(params=["fork", "cold fork", "exec"])
async def launcher(request: pytest.FixtureRequest) -> AsyncIterator[Launcher]:
    made: dict[str, Callable[[], Launcher]] = {
        "fork": lambda: ForkServerLauncher(python=sys.executable, agents_dir=agents_dir(), pool_size=2),
        "cold fork": lambda: ForkServerLauncher(python=sys.executable, agents_dir=agents_dir(), pool_size=0),
        "exec": lambda: ExecLauncher(python=sys.executable, agents_dir=agents_dir()),
    }
    launcher = made[request.param]()
    await launcher.start()
    yield launcher
    await launcher.close()
