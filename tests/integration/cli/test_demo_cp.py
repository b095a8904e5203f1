"""The demonstration of everything that uses a Control Plane, as ``make demo-cp`` starts it."""

from __future__ import annotations

import signal
import subprocess
import sys

from aitp_playground.cli.control_plane.demo import DEMOS

from .shell import TIMEOUT, Shell, await_end, descendants

ARGV = [sys.executable, "-m", "aitp_playground.cli.control_plane.demo"]


def demonstrate(shell: Shell, **env: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ARGV,
        cwd=shell.home,
        env=shell.environment(**env),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=TIMEOUT,
        check=False,
    )


def test_every_scenario_is_shown_from_the_control_plane_and_every_claim_holds(shell: Shell) -> None:
    done = demonstrate(shell)
    assert (done.returncode, done.stderr) == (0, "")
    for ref in DEMOS:
        assert f"the Control Plane on {ref}: " in done.stdout
    assert done.stdout.endswith(f"{len(DEMOS)} scenarios, every claim holds\n")
    assert not (shell.home / "state").exists(), "nothing of the caller's is touched"


def test_the_exit_code_says_so_when_a_claim_does_not_hold(shell: Shell) -> None:
    done = demonstrate(shell, RUN_TIMEOUT_SECS="0.001")
    assert done.returncode == 1
    assert "FAILED: the run ended as failed" in done.stdout
    assert "every claim holds" not in done.stdout


def test_nothing_outlives_a_demonstration_that_is_killed(shell: Shell) -> None:
    with subprocess.Popen(
        ARGV,
        cwd=shell.home,
        env=shell.environment(TMPDIR=str(shell.home)),
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    ) as running:
        assert running.stdout is not None
        assert running.stdout.readline().startswith("running ")
        started = descendants(running.pid)
        running.send_signal(signal.SIGKILL)
    assert len(started) >= 4, "a Control Plane, a fork server, an agent's command and its worker"
    for pid in started:
        await_end(pid)
