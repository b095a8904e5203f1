"""``serve``: where it listens, what it logs, how it ends."""

from __future__ import annotations

import json
import signal
import socket
import urllib.request

import pytest

from .serving import ask, read_until, serving
from .shell import TIMEOUT, Shell, alive, await_end, descendants

REF = "intra-org/research-and-write@1.0.0"


def test_a_run_beside_a_server_is_the_very_document_that_the_server_gives(shell: Shell) -> None:
    with serving(shell) as (server, url):
        printed = shell("run", REF, "--json").stdout
        assert ask(f"{url}/runs/{json.loads(printed)['run_id']}").decode() == printed
        server.send_signal(signal.SIGINT)
        server.communicate(timeout=TIMEOUT)
        assert server.returncode == 0


def test_a_signal_drains_what_runs_and_exits_0(shell: Shell) -> None:
    with serving(shell, SHUTDOWN_GRACE_SECS="30") as (server, url):
        ask(f"{url}/runs", {"scenario_ref": REF})
        read_until(server, "agent.spawning")
        server.send_signal(signal.SIGTERM)
        _, stderr = server.communicate(timeout=TIMEOUT)
    assert server.returncode == 0
    assert '"event":"run.complete"' in stderr, "the run was given its time"


def test_what_outlasts_the_grace_is_cancelled(shell: Shell) -> None:
    ref = shell.write_sleeper()
    with serving(shell, SHUTDOWN_GRACE_SECS="0") as (server, url):
        ask(f"{url}/runs", {"scenario_ref": ref})
        read_until(server, "step.started")
        started = descendants(server.pid)
        server.send_signal(signal.SIGTERM)
        _, stderr = server.communicate(timeout=TIMEOUT)
    assert server.returncode == 0
    assert '"event":"run.cancelled"' in stderr
    assert not alive(started)


def test_every_run_event_is_a_log_line(shell: Shell) -> None:
    with serving(shell) as (server, url):
        run_id = json.loads(ask(f"{url}/runs", {"scenario_ref": REF}))["run_id"]
        urllib.request.urlopen(f"{url}/runs/{run_id}/events", timeout=TIMEOUT).read()
        events = json.loads(ask(f"{url}/runs/{run_id}"))["events"]
        server.send_signal(signal.SIGTERM)
        _, stderr = server.communicate(timeout=TIMEOUT)
    lines = [json.loads(line) for line in stderr.splitlines() if line.startswith("{")]
    assert [line["id"] for line in lines if line.get("run_id") == run_id and "id" in line] == [e["id"] for e in events]


def test_a_second_signal_ends_at_once_and_takes_the_agents_along(shell: Shell) -> None:
    ref = shell.write_sleeper()
    with serving(shell, SHUTDOWN_GRACE_SECS="600") as (server, url):
        ask(f"{url}/runs", {"scenario_ref": ref})
        read_until(server, "step.started")
        started = descendants(server.pid)
        server.send_signal(signal.SIGTERM)
        read_until(server, "draining")
        server.send_signal(signal.SIGTERM)
        server.communicate(timeout=TIMEOUT)
        assert server.returncode == 128 + signal.SIGTERM
        assert len(started) >= 2
        for pid in started:
            await_end(pid)


@pytest.mark.parametrize(
    ("env", "said"),
    [
        ({}, ("REVOCATION_FAIL_MODE is fail_open", "ISSUER_LIST_FAIL_MODE is fail_closed")),
        (
            {"REVOCATION_FAIL_MODE": "soft_fail", "REVOCATION_SAFE_CAPS": "write.content, analyze.data"},
            ("serve only write.content, analyze.data", "ISSUER_LIST_FAIL_MODE is fail_closed"),
        ),
        (
            {"REVOCATION_FAIL_MODE": "fail_closed", "ISSUER_LIST_FAIL_MODE": "fail_open"},
            ("runs depend on the Control Plane", "ISSUER_LIST_FAIL_MODE is fail_open"),
        ),
    ],
)
def test_it_says_which_fail_modes_are_in_force(shell: Shell, env: dict[str, str], said: tuple[str, str]) -> None:
    with serving(shell, **env) as (server, _):
        assert server.stdout is not None
        for part in said:
            assert part in server.stdout.readline()


@pytest.mark.parametrize(
    ("env", "named"),
    [
        ({"PORT": "many"}, "PORT"),
        ({"HOST": "0.0.0.0"}, "PLAYGROUND_API_KEYS"),
        ({"LOG_LEVEL": "loud"}, "LOG_LEVEL"),
        ({"REVOCATION_FAIL_MODE": "soft_fail"}, "fail_open"),
    ],
)
def test_a_wrong_setting_exits_2_and_names_the_variable(shell: Shell, env: dict[str, str], named: str) -> None:
    done = shell("serve", env=env)
    assert done.returncode == 2
    assert named in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "", "::1", "[::1]", "localhost", "127.0.0.2"])
def test_a_run_works_wherever_the_server_listens(shell: Shell, host: str) -> None:
    with serving(shell, "--host", host, PLAYGROUND_API_KEYS="key-1234567") as (_, url):
        run_id = json.loads(ask(f"{url}/runs", {"scenario_ref": REF}, key="key-1234567"))["run_id"]
        request = urllib.request.Request(f"{url}/runs/{run_id}/events", headers={"Authorization": "Bearer key-1234567"})
        urllib.request.urlopen(request, timeout=TIMEOUT).read()
        assert json.loads(ask(f"{url}/runs/{run_id}", key="key-1234567"))["status"] == "success"


@pytest.mark.parametrize("command", [["list"], ["validate"], ["run", "intra-org/trust-gate@1.0.0"]])
def test_only_serving_wants_keys_for_an_address_that_others_reach(shell: Shell, command: list[str]) -> None:
    assert shell(*command, env={"HOST": "0.0.0.0"}).returncode == 0


def test_a_port_that_is_taken_exits_2(shell: Shell) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        done = shell("serve", "--port", str(taken.getsockname()[1]))
    assert done.returncode == 2
    assert "cannot listen" in done.stderr
