"""The development Control Plane as a real process: started by its command, told apart by its first line."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
import urllib.request
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

KEY = "contract-suite-key"
#: A hundred times as fast: retries after 0.3 and 1.2 seconds, heartbeats after 0.15.
QUICK = ("--time-scale", "0.01")


@dataclass(frozen=True)
class Embedded:
    """A running Control Plane of our own."""

    process: subprocess.Popen[str]
    url: str
    key: str


@contextlib.contextmanager
def embedded(database: Path, *options: str, keys: Sequence[str] = (KEY,)) -> Iterator[Embedded]:
    """Start one on a free port; killed at the end when it still runs."""
    given = [word for key in keys for word in ("--api-key", key)]
    process = subprocess.Popen(
        [
            sys.executable,
            "-m",
            "aitp_playground",
            "control-plane",
            "--port",
            "0",
            "--db",
            str(database),
            *given,
            *options,
        ],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        env={**os.environ, "PYTHONUNBUFFERED": "1"},
    )
    try:
        yield Embedded(process, _url(process), keys[0])
    finally:
        process.kill()
        process.communicate()


def _url(process: subprocess.Popen[str]) -> str:
    assert process.stdout is not None
    for line in process.stdout:
        for word in line.split():
            if word.startswith("http://"):
                with urllib.request.urlopen(f"{word}/api/health", timeout=300) as answer:
                    assert answer.status == 200
                return word
    raise AssertionError("the Control Plane ended before it listened")
