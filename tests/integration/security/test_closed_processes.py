"""Agents run as the user of the service. None of its processes lets that user read its memory, environment or files."""

from __future__ import annotations

import contextlib
import ctypes
import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.integration.cli.shell import Shell, descendants

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="only Linux closes a process to its own user")

#: Tries what a nosy worker would: who answers is read from the outside.
SPY = """\
import json, os, sys
open_doors = []
for pid in sys.argv[1:]:
    for attempt in ("open(f'/proc/{pid}/environ', 'rb').read()", "open(f'/proc/{pid}/mem', 'rb')",
                    "os.readlink(f'/proc/{pid}/fd/1')"):
        try:
            eval(attempt)
        except PermissionError:
            continue
        open_doors.append([int(pid), attempt])
print(json.dumps(open_doors))
"""
_PR_CAPBSET_DROP = 24
_CAPABILITIES = 64


def powerless() -> None:
    """Before exec: what follows is an ordinary process also when the tests run as root."""
    libc = ctypes.CDLL(None)
    for capability in range(_CAPABILITIES):
        libc.prctl(_PR_CAPBSET_DROP, capability, 0, 0, 0)


def doors_open_to_a_spy(pids: set[int]) -> list[list[object]]:
    spied = subprocess.run(
        [sys.executable, "-c", SPY, *map(str, pids)], preexec_fn=powerless, capture_output=True, check=True, timeout=300
    )
    found: list[list[object]] = json.loads(spied.stdout)
    return found


@contextlib.contextmanager
def ordinary(argv: list[str], until: str, **options: object) -> Iterator[int]:
    """A process without privileges that has printed ``until``; its id."""
    process = subprocess.Popen(  # type: ignore[call-overload]
        argv, preexec_fn=powerless, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, **options
    )
    try:
        assert any(until in line for line in process.stdout), f"it ended without {until!r}"
        yield process.pid
    finally:
        process.kill()
        process.wait()
        process.stdout.close()


def test_the_spy_sees_into_a_process_that_does_not_close_itself() -> None:
    waits = "import sys, time; print('here', flush=True); time.sleep(60)"
    with ordinary([sys.executable, "-c", waits], "here") as pid:
        assert len(doors_open_to_a_spy({pid})) == 3


@pytest.mark.parametrize("launcher", ["fork", "exec"])
def test_service_fork_server_waiting_children_and_agents_are_closed(tmp_path: Path, launcher: str) -> None:
    shell = Shell(tmp_path)
    argv = shell.argv("run", shell.write_sleeper())
    environment = shell.environment(AGENT_LAUNCHER=launcher, AGENT_POOL_SIZE="2")
    with ordinary(argv, "ready as", cwd=tmp_path, env=environment) as pid:
        agents = descendants(pid)
        assert agents
        assert doors_open_to_a_spy({pid, *agents}) == []
