"""``run --server``: as ``run``, on a playground that is already there."""

from __future__ import annotations

import json
import signal
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from .serving import ask, serving
from .shell import TIMEOUT, Shell

REF = "intra-org/research-and-write@1.0.0"
KEY = "key-dddddddddddddddd"


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, str]]:
    """The URL of a server with a key, and the ref of a scenario on it that never ends by itself."""
    shell = Shell(tmp_path_factory.mktemp("server"))
    sleeper = shell.write_sleeper()
    with serving(shell, PLAYGROUND_API_KEYS=KEY, SHUTDOWN_GRACE_SECS="0", LOG_LEVEL="ERROR") as (process, url):
        yield url, sleeper
        process.send_signal(signal.SIGTERM)
        process.communicate(timeout=TIMEOUT)


@pytest.fixture
def client(tmp_path: Path) -> Shell:
    """A shell elsewhere, which shares nothing with the server."""
    return Shell(tmp_path)


def test_a_run_on_a_server_is_told_and_printed_like_one_of_ones_own(server: tuple[str, str], client: Shell) -> None:
    url, _ = server
    done = client("run", REF, "-i", "style=academic", "--json", "--server", url, "--api-key", KEY)
    assert done.returncode == 0, done.stderr
    document = json.loads(done.stdout)
    assert done.stdout == ask(f"{url}/runs/{document['run_id']}", key=KEY).decode()
    assert document["inputs"]["style"] == "academic"
    told = done.stderr.splitlines()
    assert told[0].endswith(f"run started: {REF}")
    assert told[-1] == f"run id {document['run_id']}"
    assert not (client.home / "state").exists(), "nothing is kept at the client's"


def test_a_signal_cancels_the_run_on_the_server(server: tuple[str, str], client: Shell) -> None:
    url, sleeper = server
    running = client.start("run", sleeper, "--server", url, AITP_PLAYGROUND_API_KEY=KEY)
    assert running.stdout is not None
    while "step work (workflow) started" not in (line := running.stdout.readline()):
        assert line, "the narration ended early"
    running.send_signal(signal.SIGINT)
    stdout, _ = running.communicate(timeout=TIMEOUT)
    assert running.returncode == 130
    run_id = stdout.split()[-1]
    assert json.loads(ask(f"{url}/runs/{run_id}/status", key=KEY))["status"] == "cancelled"


@pytest.mark.parametrize(
    ("args", "said"),
    [
        ([REF.replace("write", "wrte")], f"did you mean {REF}"),
        (["no-ref-at-all"], "no scenario 'no-ref-at-all'"),
        ([REF, "-t", "nope"], "no template 'nope'"),
        ([REF, "-i", "style=wild"], '"wild" is not one of'),
        ([REF, "-i", "topci=x"], "did you mean 'topic'"),
    ],
)
def test_a_mistake_of_the_caller_exits_2(server: tuple[str, str], client: Shell, args: list[str], said: str) -> None:
    done = client("run", *args, "--server", server[0], env={"AITP_PLAYGROUND_API_KEY": KEY})
    assert (done.returncode, done.stdout) == (2, "")
    assert said in done.stderr


def test_a_wrong_key_exits_2_and_is_not_repeated(server: tuple[str, str], client: Shell) -> None:
    done = client("run", REF, "--server", server[0], "--api-key", "wrong-eeeeeeee", env={"LOG_LEVEL": "DEBUG"})
    assert done.returncode == 2
    assert "wrong-eeeeeeee" not in done.stderr
    assert "AITP_PLAYGROUND_API_KEY" in done.stderr


def test_a_server_that_is_not_there_exits_1_in_one_line(client: Shell) -> None:
    with socket.create_server(("127.0.0.1", 0)) as gone:
        url = f"http://127.0.0.1:{gone.getsockname()[1]}"
    done: subprocess.CompletedProcess[str] = client("run", REF, "--server", url)
    assert done.returncode == 1
    assert done.stderr == f"Error: {url} cannot be reached: Connection refused\n"


@pytest.mark.parametrize("url", ["localhost:8000", "", "http://h:0", "http://h:port", "http://somebody:hunter2@h"])
def test_an_address_that_is_no_url_or_holds_a_password_exits_2(client: Shell, url: str) -> None:
    done = client("run", REF, "--server", url)
    assert done.returncode == 2
    assert "--server" in done.stderr
    assert "hunter2" not in done.stderr
