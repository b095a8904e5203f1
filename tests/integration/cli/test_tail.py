"""``tail``: over a server's stream, a restart of it, a log, and this machine's history."""

from __future__ import annotations

import contextlib
import json
import signal
import sqlite3
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from aiohttp.test_utils import unused_port

from tests.support.rounds import ROUNDS

from .serving import ask, serving
from .shell import TIMEOUT, Shell, await_line

REF = "intra-org/trust-gate@1.0.0"


@contextlib.contextmanager
def tailing(shell: Shell, file: Path, *args: str, **env: str) -> Iterator[subprocess.Popen[bytes]]:
    """``tail`` in a process of its own, its output in ``file``. Killed at the end when it still runs."""
    with file.open("wb") as out, (file.parent / f"{file.name}.err").open("wb") as err:
        process = subprocess.Popen(
            shell.argv("tail", *args), cwd=shell.home, env=shell.environment(**env), stdout=out, stderr=err
        )
    try:
        yield process
    finally:
        process.kill()
        process.wait()


def told(file: Path) -> list[dict[str, Any]]:
    """What was printed so far, whole lines only."""
    text = file.read_text() if file.exists() else ""
    return [json.loads(line) for line in text.splitlines(keepends=True) if line.endswith("\n")]


def wait_for(true: Any) -> None:
    until = time.monotonic() + TIMEOUT
    while not true():
        assert time.monotonic() < until, "it did not come"
        time.sleep(0.02)


def history(shell: Shell) -> list[tuple[str, int]]:
    """Every stored event: run and seq, in the order of the commits."""
    with contextlib.closing(sqlite3.connect(shell.home / "state/runs.db")) as database:
        return database.execute(
            "SELECT run_id, seq FROM commits JOIN runs ON key = commits.run_key"
            " JOIN events ON events.run_key = key AND seq BETWEEN first_seq AND last_seq ORDER BY number, seq"
        ).fetchall()


def run_to_its_end(url: str) -> str:
    run_id: str = json.loads(ask(f"{url}/runs", {"scenario_ref": REF}))["run_id"]
    ask(f"{url}/runs/{run_id}/events")
    return run_id


def test_it_shows_everything_from_the_beginning_and_ends(shell: Shell) -> None:
    with serving(shell) as (_, url):
        run_to_its_end(url)
        run_to_its_end(url)
        shown = shell("tail", "--server", url, "--json")
        assert shown.returncode == 0, shown.stderr
        events = [json.loads(line) for line in shown.stdout.splitlines()]
        assert [(event["run_id"], event["seq"]) for event in events] == history(shell)
        lines = shell("tail", "--server", url, "--level", "warning").stdout.splitlines()
        assert lines
        assert all("denied" in line for line in lines)
        assert shell("tail", "--server", url, "--type", "run.*", "--type", "cp.*").stdout.count("\n") == 4


def test_killed_and_started_again_the_server_costs_no_event_and_none_is_told_twice(
    shell: Shell, tmp_path: Path
) -> None:
    port, file = str(unused_port()), tmp_path / "tail"
    url = f"http://127.0.0.1:{port}"
    with tailing(shell, file, "--server", url, "--json", "--follow", "--since", "1d"):
        for number in range(ROUNDS):
            with serving(shell, "--port", port) as (server, _):
                middle = len(told(file)) + 10 + 7 * (number % 10)
                for _ in range(3):
                    ask(f"{url}/runs", {"scenario_ref": REF})
                wait_for(lambda middle=middle: len(told(file)) > middle)
                server.kill()
        with serving(shell, "--port", port) as (server, _):
            last = run_to_its_end(url)
            wait_for(lambda: any(event["run_id"] == last and event["type"] == "run.complete" for event in told(file)))
            wait_for(lambda: len(told(file)) >= len(history(shell)))
    assert [(event["run_id"], event["seq"]) for event in told(file)] == history(shell)


def test_a_server_that_is_away_is_spoken_of(shell: Shell) -> None:
    port = str(unused_port())
    with serving(shell, "--port", port) as (server, url):
        following = shell.start("tail", "--server", url, "--follow", "--since", "1d")
        try:
            run_to_its_end(url)
            assert following.stdout is not None
            assert following.stdout.readline()
            server.kill()
            await_line(following, "is away: Connection refused; trying again for 60 s")
            with serving(shell, "--port", port):
                await_line(following, "it is there again")
        finally:
            following.kill()
            following.communicate()


def test_of_runs_that_go_on_it_begins_with_their_last_events(shell: Shell, tmp_path: Path) -> None:
    ref, file = shell.write_sleeper(), tmp_path / "tail"
    with serving(shell) as (_, url):
        run_to_its_end(url)
        run_id = json.loads(ask(f"{url}/runs", {"scenario_ref": ref}))["run_id"]
        wait_for(lambda: "step.started" in ask(f"{url}/runs/{run_id}").decode())
        with tailing(shell, file, "--server", url, "--json", "--follow"):
            wait_for(lambda: told(file) and told(file)[-1]["type"] == "step.started")
            assert {event["run_id"] for event in told(file)} == {run_id}
            ask(f"{url}/runs/{run_id}/cancel", {})
            wait_for(lambda: told(file)[-1]["type"] == "run.cancelled")
        seqs = [event["seq"] for event in told(file)]
        assert seqs == list(range(seqs[0], seqs[-1] + 1)), "each once, and in order"


def test_a_run_is_followed_to_its_end_and_its_code_is_the_commands(shell: Shell) -> None:
    failing = shell.write_scenario("failing", expect="[{path: $.findings, equals: 5}]")
    with serving(shell) as (_, url):
        for ref, code, last in ((REF, 0, "run.complete"), (failing, 1, "run.failed")):
            run_id = json.loads(ask(f"{url}/runs", {"scenario_ref": ref}))["run_id"]
            shown = shell("tail", run_id, "--server", url, "--json")
            events = [json.loads(line) for line in shown.stdout.splitlines()]
            assert (shown.returncode, events[-1]["type"]) == (code, last)
            assert [event["seq"] for event in events] == list(range(1, len(events) + 1))
            narrowed = shell("tail", run_id, "--server", url, "--json", "--type", "agent.ready")
            assert {json.loads(line)["type"] for line in narrowed.stdout.splitlines()} == {"agent.ready"}
            assert narrowed.returncode == code
        unknown = shell("tail", "00000000-0000-0000-0000-000000000000", "--server", url)
        assert (unknown.returncode, unknown.stdout) == (2, "")


def test_without_a_server_the_history_is_read_and_said_to_be_that(shell: Shell) -> None:
    run = json.loads(shell("run", REF, "--json").stdout)
    nowhere = {"PORT": str(unused_port())}
    shown = shell("tail", "--json", env=nowhere)
    assert shown.returncode == 0
    assert "no playground is at" in shown.stderr
    assert [json.loads(line)["seq"] for line in shown.stdout.splitlines()] == [e["seq"] for e in run["events"]]
    one = shell("tail", run["run_id"], "--json", env=nowhere)
    assert (one.returncode, one.stdout) == (0, shown.stdout)
    following = shell("tail", "--follow", env=nowhere)
    assert (following.returncode, following.stdout) == (2, "")
    assert "can be followed" in following.stderr
    malformed = shell("tail", "--server", f"http://127.0.0.1:{nowhere['PORT']}x")
    assert (malformed.returncode, malformed.stdout) == (2, "")


def test_a_log_is_read_from_standard_input_as_it_comes(shell: Shell) -> None:
    log, events = shell.home / "log", []
    with serving(shell) as (server, url):
        run_id = run_to_its_end(url)
        events = json.loads(ask(f"{url}/runs/{run_id}"))["events"]
        server.send_signal(signal.SIGTERM)
        _, stderr = server.communicate(timeout=TIMEOUT)
    log.write_text("no JSON\n" + stderr)
    with log.open() as stdin:
        shown = subprocess.run(
            shell.argv("tail", "-", "--json", "--type", "*.*"),
            stdin=stdin,
            capture_output=True,
            text=True,
            env=shell.environment(),
            timeout=TIMEOUT,
            check=True,
        )
    lines = [json.loads(line) for line in shown.stdout.splitlines()]
    assert [line["id"] for line in lines if "seq" in line] == [event["id"] for event in events]
    assert {"service.started", "service.stopped"} <= {line["type"] for line in lines}
    of_file = shell("tail", str(log), "--agent", "writer")
    assert of_file.returncode == 0
    assert "writer refused caller's call" in of_file.stdout


def test_a_log_is_followed_over_its_rotation(shell: Shell, tmp_path: Path) -> None:
    log, file = tmp_path / "serve.log", tmp_path / "tail"

    def line(number: int) -> str:
        return json.dumps({"event": "run.started", "seq": number, "timestamp": "2026-01-01T00:00:00Z"}) + "\n"

    log.write_text(line(1))
    with tailing(shell, file, str(log), "--json", "--follow"):
        wait_for(lambda: len(told(file)) == 1)
        with log.open("a") as old:
            old.write(line(2)[:20])
            old.flush()
            log.rename(tmp_path / "serve.log.1")
            old.write(line(2)[20:] + line(3))
            old.flush()
            log.write_text(line(4))
        wait_for(lambda: len(told(file)) == 4)
        log.write_text('{"event":"run.complete","seq":5}\n')  # cut short in place
        wait_for(lambda: len(told(file)) == 5)
    assert [event["seq"] for event in told(file)] == [1, 2, 3, 4, 5]


def test_it_ends_with_an_interrupt_and_without_a_word(shell: Shell, tmp_path: Path) -> None:
    file = tmp_path / "tail"
    with (
        serving(shell) as (_, url),
        tailing(shell, file, "--server", url, "--follow", "--json", "--since", "1d") as process,
    ):
        run_to_its_end(url)
        wait_for(lambda: told(file))
        process.send_signal(signal.SIGINT)
        assert process.wait(TIMEOUT) == 130
    assert (tmp_path / "tail.err").read_text() == ""


@pytest.mark.parametrize("args", [("nothing-of-that-name",), ("--since", "soon"), ("--level", "loud")])
def test_what_cannot_be_meant_is_refused(shell: Shell, args: tuple[str, ...]) -> None:
    refused = shell("tail", *args)
    assert (refused.returncode, refused.stdout) == (2, "")
    assert refused.stderr
