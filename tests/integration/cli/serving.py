"""A server for the command line's tests: the command ``serve``, asked over HTTP."""

from __future__ import annotations

import contextlib
import json
import subprocess
import urllib.request
from collections.abc import Iterator
from typing import Any

from .shell import TIMEOUT, Shell


@contextlib.contextmanager
def serving(shell: Shell, *args: str, **env: str) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """A server that listens, and its URL. Killed at the end when it still runs."""
    server = shell.start("serve", "--port", "0", *args, **env)
    try:
        assert server.stdout is not None
        line = server.stdout.readline()
        assert line.startswith("aitp-playground listens on http://"), line
        yield server, line.split()[-1]
    finally:
        server.kill()
        server.communicate()


def ask(url: str, body: dict[str, Any] | None = None, *, key: str = "") -> bytes:
    """The body of the answer to a GET, or to a POST of ``body``."""
    data = None if body is None else json.dumps(body).encode()
    headers = {"Content-Type": "application/json"} | ({"Authorization": f"Bearer {key}"} if key else {})
    with urllib.request.urlopen(urllib.request.Request(url, data, headers), timeout=TIMEOUT) as answer:
        found: bytes = answer.read()
    return found


def read_until(server: subprocess.Popen[str], part: str) -> None:
    """Read the log up to a line that holds ``part``."""
    assert server.stderr is not None
    while part not in (line := server.stderr.readline()):
        assert line, "the log ended early"
