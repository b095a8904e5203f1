"""What a Ctrl-C does to a command that has ended, while its interpreter has not."""

from __future__ import annotations

import subprocess
import sys

import pytest

MAIN = """
import atexit, os, signal, sys, threading
from aitp_playground.cli import main

def interrupt():
    os.kill(os.getpid(), signal.SIGINT)

def interrupt_the_wait():
    threading.main_thread().join()
    interrupt()
    threading.Event().wait(5)

WHEN
sys.argv = ["aitp-playground", "no-such-command"]
main()
"""


@pytest.mark.parametrize(
    "when",
    [
        "threading.Thread(target=interrupt_the_wait).start()",
        # Called in the reverse order, so behind what main registers.
        "atexit.register(interrupt)",
    ],
    ids=["threads are waited for", "nothing is waited for"],
)
def test_its_exit_code_stands_and_nothing_is_said(when: str) -> None:
    argv = [sys.executable, "-c", MAIN.replace("WHEN", when)]
    done = subprocess.run(argv, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=300, check=False)
    assert (done.returncode, done.stderr.splitlines()[-1]) == (2, "Error: No such command 'no-such-command'.")
