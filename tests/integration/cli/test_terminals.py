"""Outputs that fail, are full, are narrow or are held: a sentence and the right code, never a traceback or a hang."""

from __future__ import annotations

import fcntl
import os
import pty
import shlex
import signal
import socket
import subprocess
import time
import urllib.error
from pathlib import Path

import pytest

from .serving import ask, serving
from .shell import TIMEOUT, Shell

REF = "intra-org/trust-gate@1.0.0"
#: F_SETPIPE_SZ of fcntl.h; Python 3.11 has it only on some builds.
SET_PIPE_SIZE = 1031


def in_shell(shell: Shell, command: str, **env: str) -> subprocess.CompletedProcess[str]:
    """``$AITP`` is the command."""
    text = command.replace("$AITP", shlex.join(shell.argv()))
    return subprocess.run(
        ["bash", "-c", text],
        cwd=shell.home,
        env=shell.environment(**env),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=TIMEOUT,
        check=False,
    )


@pytest.mark.parametrize(
    "args",
    ["--help", "--version", "list", "list --json", f"show {REF}", f"dry-run {REF}", f"run {REF}", f"run {REF} --json"],
)
def test_a_full_disk_behind_standard_output_is_code_74_and_one_line(shell: Shell, args: str) -> None:
    done = in_shell(shell, f"$AITP {args} > /dev/full")
    assert done.returncode == 74
    last = done.stderr.splitlines()[-1]
    assert last.startswith("Error: standard output cannot be written: No space left on device")
    assert "Traceback" not in done.stderr
    assert "Exception ignored" not in done.stderr


@pytest.mark.parametrize(("args", "code"), [("validate", 0), ("run no/such@1", 2), ("nonsense", 2), (f"run {REF}", 0)])
def test_a_full_disk_behind_standard_error_changes_no_exit_code(shell: Shell, args: str, code: int) -> None:
    assert in_shell(shell, f"$AITP {args} 2> /dev/full").returncode == code


@pytest.mark.parametrize("args", ["list", "list --json", f"show {REF}", f"run {REF} --json"])
def test_a_reader_that_is_gone_is_code_141_and_no_word(shell: Shell, args: str) -> None:
    done = in_shell(shell, f"set -o pipefail; {{ sleep 0.1; $AITP {args}; echo $? >&2; }} 2> said | true; tail -1 said")
    assert done.stdout.strip() in {"141", "0"}, "0 when all of it went into the pipe before its reader left"
    assert "Traceback" not in (shell.home / "said").read_text()


ASCII_LOCALE = {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}


@pytest.mark.parametrize("env", [{"PYTHONIOENCODING": "ascii"}, {"PYTHONIOENCODING": "cp437"}, ASCII_LOCALE])
def test_a_narrow_encoding_shows_escapes(shell: Shell, env: dict[str, str]) -> None:
    ref = shell.write_scenario("narrow")
    file = shell.scenarios / "local/narrow/1.0.0/scenario.yaml"
    file.write_text(file.read_text().replace("name: A test", "name: Test, summary: 日本 🎉"), encoding="utf-8")
    for args in (["list"], ["show", ref], ["dry-run", ref], ["run", ref], ["list", "--json"], ["show", ref, "--json"]):
        done = shell(*args, env=env)
        assert done.returncode == 0, done.stderr
        assert "Error" not in done.stderr
    shown = shell.document("show", ref, "--json", env=env)
    assert shown["metadata"]["summary"] == "日本 🎉", "JSON stays JSON"


def test_a_dumb_terminal_gets_plain_lines(shell: Shell) -> None:
    ours, theirs = pty.openpty()
    env = shell.environment(TERM="dumb")
    with subprocess.Popen(shell.argv("run", REF), cwd=shell.home, env=env, stdout=theirs) as running:
        os.close(theirs)
        shown = bytearray()
        while True:
            try:
                shown += os.read(ours, 65536)
            except OSError:  # Linux says so when the other end is closed
                break
        assert running.wait(TIMEOUT) == 0
    os.close(ours)
    assert b"run success, proven" in shown
    assert b"\x1b" not in shown


@pytest.mark.parametrize("label", ["🎉", "👩‍🔬 at work", "🏳️‍🌈", "größer", "x" * 200])
def test_a_label_may_be_any_line(shell: Shell, label: str) -> None:
    assert shell.document("run", REF, "--label", label, "--json")["run_label"] == label


@pytest.mark.parametrize("label", ["a\tb", "a\x1b[2J", "a\u2028b", "x" * 201, os.fsdecode(b"\xff")])
def test_a_label_that_the_api_would_refuse_is_refused(shell: Shell, label: str) -> None:
    done = shell("run", REF, "--label", label)
    assert done.returncode == 2
    assert "one line" in done.stderr


def test_the_hint_of_new_can_be_pasted_whatever_the_directory_is_called(shell: Shell) -> None:
    made = shell("new", "mine/first", "--dir", "my $(touch pwned) 'packs'")
    hint = made.stdout.splitlines()[-1].removeprefix("Now try: ").replace("aitp-playground", "$AITP")
    done = in_shell(shell, hint)
    assert done.returncode == 0, done.stderr
    assert "run success, proven" in done.stdout
    assert not (shell.home / "pwned").exists()


@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, -signal.SIGTERM), (signal.SIGINT, 130)])
@pytest.mark.parametrize("command", ["run", "dry-run"])
def test_inputs_from_a_pipe_that_says_nothing_hold_up_no_signal(
    shell: Shell, command: str, number: signal.Signals, code: int
) -> None:
    os.mkfifo(shell.home / "inputs")
    running = shell.start(command, REF, "--inputs", "@inputs")
    with (shell.home / "inputs").open("wb"):  # opens once the command does
        running.send_signal(number)
        _, stderr = running.communicate(timeout=TIMEOUT)
    assert running.returncode == code
    assert stderr.strip() == ("Error: cancelled" if number is signal.SIGINT else "")


@pytest.mark.parametrize("command", ["run", "list", "validate"])
def test_closed_standard_input_is_no_trouble(shell: Shell, command: str) -> None:
    done = in_shell(shell, f"$AITP {command} {REF if command == 'run' else ''} <&-")
    assert done.returncode == 0, done.stderr


def test_inputs_from_a_closed_standard_input_are_refused(shell: Shell) -> None:
    done = in_shell(shell, f"$AITP run {REF} --inputs @- <&-")
    assert done.returncode == 2
    assert "standard input is closed" in done.stderr


# -- readers that do not read ------------------------------------------------------------------------------------------


def full_pipe() -> tuple[int, int]:
    """A pipe without room for a byte, whose writing end waits for room."""
    reader, writer = os.pipe()
    fcntl.fcntl(writer, SET_PIPE_SIZE, 4096)
    return reader, writer


def fill(writer: int) -> None:
    os.set_blocking(writer, False)
    try:
        while True:
            os.write(writer, b".")
    except BlockingIOError:
        os.set_blocking(writer, True)


@pytest.mark.parametrize("which", ["stderr", "stdout", "both"])
def test_a_server_whose_pipes_are_full_answers_and_ends_when_told(shell: Shell, which: str) -> None:
    reader, writer = full_pipe()
    ready, readied = os.pipe()
    streams = {
        "stdout": writer if which in {"stdout", "both"} else readied,
        "stderr": writer if which in {"stderr", "both"} else subprocess.DEVNULL,
    }
    env = shell.environment(PORT=str(_free_port()))
    if which != "stderr":
        fill(writer)
    with subprocess.Popen(shell.argv("serve"), cwd=shell.home, env=env, **streams) as server:  # type: ignore[call-overload]
        try:
            url = f"http://127.0.0.1:{env['PORT']}"
            _await_health(url)
            fill(writer)
            for _ in range(3):
                ask(f"{url}/runs", {"scenario_ref": REF})
            assert ask(f"{url}/healthz")
            server.send_signal(signal.SIGTERM)
            assert server.wait(TIMEOUT) == 0
        finally:
            server.kill()
    for descriptor in (reader, writer, ready, readied):
        os.close(descriptor)


def test_a_start_error_into_a_full_pipe_ends_too(shell: Shell) -> None:
    reader, writer = full_pipe()
    fill(writer)
    with subprocess.Popen(
        shell.argv("serve"), cwd=shell.home, env=shell.environment(PORT="many"), stderr=writer
    ) as server:
        assert server.wait(TIMEOUT) == 2
    os.close(reader)
    os.close(writer)


@pytest.mark.parametrize("extra", [[], ["--json"]])
def test_a_run_whose_reader_does_not_read_ends_after_a_signal(shell: Shell, extra: list[str]) -> None:
    reader, writer = full_pipe()
    fill(writer)
    with subprocess.Popen(
        shell.argv("run", shell.write_sleeper(), *extra),
        cwd=shell.home,
        env=shell.environment(),
        stdout=writer,
        stderr=subprocess.PIPE,
        text=True,
    ) as running:
        _await_database(shell)
        running.send_signal(signal.SIGTERM)
        running.communicate(timeout=TIMEOUT)
        assert running.returncode == 130
    os.close(reader)
    os.close(writer)


def test_the_announcements_of_an_agent_may_be_read_in_part(shell: Shell) -> None:
    running = shell.start("agent", "analyzer")
    assert running.stdout is not None
    assert running.stdout.readline().startswith("agent analyzer listens on ")
    running.stdout.close()  # as head does
    running.stdout = None
    running.send_signal(signal.SIGTERM)
    _, stderr = running.communicate(timeout=TIMEOUT)
    assert running.returncode == 0, stderr
    assert "Traceback" not in stderr


def test_a_hangup_drains_like_the_other_signals(shell: Shell) -> None:
    with serving(shell) as (server, url):
        ask(f"{url}/runs", {"scenario_ref": REF})
        server.send_signal(signal.SIGHUP)
        _, stderr = server.communicate(timeout=TIMEOUT)
    assert server.returncode == 0
    assert '"signal":"SIGHUP"' in stderr


def test_a_server_under_nohup_outlives_its_terminal(shell: Shell) -> None:
    done = in_shell(
        shell,
        "trap '' HUP; $AITP serve --port 0 > out & until grep -q listens out; do sleep 0.05; done; "
        "kill -HUP $!; kill -0 $! && kill -TERM $!; wait $!",
    )
    assert done.returncode == 0, done.stderr
    assert '"signal":"SIGTERM"' in done.stderr


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as found:
        port: int = found.getsockname()[1]
    return port


def _await_health(url: str) -> None:
    until = time.monotonic() + TIMEOUT
    while True:
        try:
            ask(f"{url}/healthz")
        except urllib.error.URLError:
            assert time.monotonic() < until
            time.sleep(0.05)
        else:
            return


def _await_database(shell: Shell) -> None:
    until = time.monotonic() + TIMEOUT
    while not Path(shell.home / "state/runs.db").exists():
        assert time.monotonic() < until
        time.sleep(0.05)
