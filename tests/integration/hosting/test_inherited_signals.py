"""Whatever whoever started the service did to signals, agents and the service begin clean."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from aitp_playground.hosting import child_process
from aitp_playground.hosting.contract import Exit, Launcher
from aitp_playground.hosting.exec_launcher import ExecLauncher
from aitp_playground.hosting.fork_launcher import ForkServerLauncher
from aitp_playground.resources import agents_dir
from tests.integration.cli.shell import Shell
from tests.integration.hosting.staging import listening, scripted

UNCATCHABLE = {signal.SIGKILL, signal.SIGSTOP}
EVERY = signal.valid_signals() - UNCATCHABLE

#: Becomes a command, with every signal blocked and, but for those that a terminal sends, ignored.
CRIPPLED = """
import os, signal, sys
for number in signal.valid_signals() - {signal.SIGKILL, signal.SIGSTOP}:
    signal.signal(number, signal.SIG_IGN)
signal.pthread_sigmask(signal.SIG_SETMASK, signal.valid_signals())
os.execv(sys.argv[1], sys.argv[1:])
"""


@contextmanager
def blocked() -> Iterator[None]:
    before = signal.pthread_sigmask(signal.SIG_BLOCK, EVERY)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


@contextmanager
def ignored() -> Iterator[None]:
    before = {number: signal.signal(number, signal.SIG_IGN) for number in EVERY}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler if handler is not None else signal.SIG_DFL)


@pytest.fixture(params=[blocked, ignored])
def started_crippled(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """What the service starts inherits a mask, or ignored signals."""
    popen = subprocess.Popen

    def start(*args: Any, **kwargs: Any) -> Any:
        with request.param():
            return popen(*args, **kwargs)

    monkeypatch.setattr(child_process.subprocess, "Popen", start)


@pytest.mark.parametrize(
    "make",
    [
        lambda: ForkServerLauncher(python=sys.executable, agents_dir=agents_dir(), pool_size=1),
        lambda: ForkServerLauncher(python=sys.executable, agents_dir=agents_dir(), pool_size=0),
        lambda: ExecLauncher(python=sys.executable, agents_dir=agents_dir()),
    ],
)
async def test_agents_begin_clean_are_reaped_and_end_when_asked(
    make: Callable[[], Launcher], started_crippled: None
) -> None:
    launcher = make()
    await launcher.start()
    try:
        with listening() as listener:
            process = await launcher.launch(scripted(listener, "report"))
            await process.ready()
            facts = json.loads(process.output().splitlines()[0])
            assert facts["blocked"] == []
            assert facts["ignored"] == sorted([signal.SIGPIPE, signal.SIGXFSZ])
            assert await process.stop(30) == Exit(0)
            early = await launcher.launch(scripted(listener, "exit_early", code=7))
            assert await early.wait() == Exit(7)
    finally:
        await launcher.close()


@pytest.fixture
def shell(tmp_path: Path) -> Shell:
    return Shell(tmp_path)


def test_a_run_started_by_such_a_parent_comes_to_its_end(shell: Shell) -> None:
    command = [sys.executable, "-c", CRIPPLED, sys.executable, "-m", "aitp_playground"]
    done = subprocess.run(
        [*command, "run", "intra-org/research-and-write@1.1.0", "--input", "topic=trust"],
        env=shell.environment(),
        cwd=shell.home,
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_a_command_ends_when_asked_and_keeps_ignoring_the_hangup(shell: Shell) -> None:
    """nohup(1) is one such parent, and means it."""
    asked = """
import os, signal, sys
from aitp_playground.hosting.signals import clean_signals
clean_signals()
print(signal.getsignal(signal.SIGHUP) == signal.SIG_IGN, flush=True)
os.kill(os.getpid(), signal.SIGHUP)
os.kill(os.getpid(), signal.SIGTERM)
print("still here")
"""
    done = subprocess.run(
        [sys.executable, "-c", CRIPPLED, sys.executable, "-c", asked], capture_output=True, text=True, timeout=300
    )
    assert (done.returncode, done.stdout) == (-signal.SIGTERM, "True\n"), done.stderr
