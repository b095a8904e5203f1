"""The command ``control-plane`` as a process: what it prints and hides, what it keeps, how it ends."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

KEY = "a-key-of-the-tests"
WAIT = 300.0


class Process:
    """A Control Plane of its own process; ``said`` holds the settings it printed."""

    def __init__(self, popen: subprocess.Popen[str]) -> None:
        self.popen = popen
        self.said: dict[str, str] = {}

    def read(self, last: str) -> None:
        """Read standard output up to the setting named ``last``."""
        assert self.popen.stdout is not None
        while last not in self.said:
            line = self.popen.stdout.readline()
            assert line, self.popen.stderr.read() if self.popen.stderr else ""
            name, is_setting, value = line.strip().partition("=")
            if is_setting:
                self.said[name] = value

    def ask(self, method: str, path: str, body: Any = None, key: str = KEY) -> Any:
        request = urllib.request.Request(
            self.said["CP_BASE_URL"] + path,
            method=method,
            data=None if body is None else json.dumps(body).encode(),
            headers={"Authorization": f"Bearer {key}"},
        )
        with urllib.request.urlopen(request, timeout=WAIT) as answer:
            return json.loads(answer.read())


@contextlib.contextmanager
def process(
    tmp_path: Path, *options: str, env: dict[str, str] | None = None, last: str = "CP_AID"
) -> Iterator[Process]:
    with subprocess.Popen(
        [sys.executable, "-m", "aitp_playground", "control-plane", "--port", "0", *options],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        cwd=tmp_path,
        env={**environment(), "STATE_DIR": str(tmp_path / "state"), "CP_API_KEY": "", **(env or {})},
    ) as popen:
        started = Process(popen)
        try:
            started.read(last)
            yield started
        finally:
            popen.kill()


def environment() -> dict[str, str]:
    """The developer's own, but for what makes every Python say more."""
    return {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}


def refused(tmp_path: Path, *options: str, **env: str) -> str:
    done = subprocess.run(
        [sys.executable, "-m", "aitp_playground", "control-plane", "--port", "0", *options],
        capture_output=True,
        text=True,
        cwd=tmp_path,
        timeout=WAIT,
        env={**environment(), "STATE_DIR": str(tmp_path / "state"), **env},
    )
    assert done.returncode == 2, done.stderr
    assert done.stderr.count("\n") == 1, "one line, no traceback"
    return done.stderr


def test_nothing_acknowledged_is_lost_by_kill_9(tmp_path: Path) -> None:
    options = ("--db", "cp.db", "--api-key", KEY)
    with process(tmp_path, *options) as first:
        for number in range(20):
            assert first.ask("POST", "/api/events", [{"type": "t", "payload": {"n": number}}]) == {"ingested": 1}
        first.ask("POST", "/api/revocation/entries", {"jti": "9a12be2d-0e1c-4953-8351-17ed8c8406f8"})
        first.popen.send_signal(signal.SIGKILL)
        first.popen.wait(WAIT)
    with process(tmp_path, *options) as second:
        kept = second.ask("GET", "/api/events/history?type=t")["events"]
        assert sorted(event["payload"]["n"] for event in kept) == list(range(20))
        signed = second.ask("GET", "/.well-known/aitp-revocation-list")["revocation_list"]
        assert [entry["jti"] for entry in signed["entries"]] == ["9a12be2d-0e1c-4953-8351-17ed8c8406f8"]
        assert second.said["CP_AID"] == first.said["CP_AID"] == signed["issuer"]


@pytest.mark.parametrize("sent", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_it_at_once_streams_included(tmp_path: Path, sent: signal.Signals) -> None:
    with process(tmp_path, "--api-key", KEY) as running:
        running.ask("POST", "/api/events", [{"type": "t"}])
        request = urllib.request.Request(
            running.said["CP_BASE_URL"] + "/api/events/stream", headers={"Authorization": f"Bearer {KEY}"}
        )
        with urllib.request.urlopen(request, timeout=WAIT) as stream:
            assert stream.readline().startswith(b"data: ")
            running.popen.send_signal(sent)
            stream.read()
        assert running.popen.wait(WAIT) == 0


def test_a_key_it_makes_up_is_printed_and_works(tmp_path: Path) -> None:
    with process(tmp_path, last="CP_API_KEY") as running:
        assert running.ask("GET", "/api/audit", key=running.said["CP_API_KEY"])["count"] == 0


def test_the_configured_key_is_used_and_not_printed(tmp_path: Path) -> None:
    with process(tmp_path, "--db", ":memory:", env={"CP_API_KEY": KEY}) as running:
        assert running.ask("GET", "/api/audit")["count"] == 0
        running.popen.send_signal(signal.SIGTERM)
        rest, errors = running.popen.communicate(timeout=WAIT)
        assert "CP_API_KEY" not in rest
        assert KEY not in rest + errors
        assert not (tmp_path / "state").exists()


def test_every_key_given_is_let_in_and_no_other(tmp_path: Path) -> None:
    with process(tmp_path, "--db", ":memory:", "--api-key", KEY, "--api-key", "second") as running:
        assert running.ask("GET", "/api/audit", key="second")["count"] == 0
        with pytest.raises(urllib.error.HTTPError) as unauthorized:
            running.ask("GET", "/api/audit", key="third")
        assert unauthorized.value.code == 401
        unauthorized.value.close()


def test_a_seed_file_makes_the_same_identity_anywhere(tmp_path: Path) -> None:
    (tmp_path / "seed").write_bytes(bytes(range(32)))
    aids = []
    for database in (":memory:", "cp.db"):
        with process(tmp_path, "--db", database, "--seed-file", "seed", "--api-key", KEY) as running:
            aids.append(running.said["CP_AID"])
    assert aids[0] == aids[1]
    assert not (tmp_path / "cp.db.seed").exists()


def test_a_missing_seed_file_is_made_for_its_owner_alone(tmp_path: Path) -> None:
    with process(tmp_path, "--seed-file", "seed", "--api-key", KEY) as running:
        first = running.said["CP_AID"]
    assert (tmp_path / "seed").stat().st_mode & 0o777 == 0o600
    assert len(bytes.fromhex((tmp_path / "seed").read_text())) == 32
    with process(tmp_path, "--db", ":memory:", "--seed-file", "seed", "--api-key", KEY) as running:
        assert running.said["CP_AID"] == first


def test_by_default_everything_lies_in_the_state_directory_for_its_owner_alone(tmp_path: Path) -> None:
    with process(tmp_path, "--api-key", KEY):
        modes = {file.name: file.stat().st_mode & 0o777 for file in (tmp_path / "state").iterdir()}
    assert {"control-plane.db", "control-plane.db.seed"} <= modes.keys()
    assert set(modes.values()) == {0o600}


def test_what_it_cannot_start_with_is_said_in_one_line(tmp_path: Path) -> None:
    (tmp_path / "short").write_text("abc")
    assert "must hold a seed" in refused(tmp_path, "--seed-file", "short")
    assert "loopback only" in refused(tmp_path, "--host", "0.0.0.0")
    assert "--api-key must not be empty" in refused(tmp_path, "--api-key", "")
    assert "cannot start" in refused(tmp_path, "--db", "missing/cp.db")
    assert "fault must be one of" in refused(tmp_path, "--switch", "no_such_fault")


def test_a_port_that_is_taken_is_said_in_one_line(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        assert f"cannot listen on 127.0.0.1:{port}: Address already in use; choose another --port" in refused(
            tmp_path, "--port", port
        )


def test_it_answers_under_the_names_let_in_and_under_no_others(tmp_path: Path) -> None:
    options = ("--db", ":memory:", "--api-key", KEY, "--allow-host", "cp.internal")
    with process(tmp_path, *options) as running:
        for host in ("cp.internal:4000", "localhost"):
            assert health_under(running, host) == 200
        with pytest.raises(urllib.error.HTTPError) as refused:
            health_under(running, "evil.example")
        with refused.value as answer:
            assert answer.code == 421


def health_under(running: Process, host: str) -> int:
    asked = urllib.request.Request(running.said["CP_BASE_URL"] + "/api/health", headers={"Host": host})
    with urllib.request.urlopen(asked, timeout=WAIT) as answer:
        status: int = answer.status
        return status


def test_a_directory_given_as_the_database_is_left_alone_and_named(tmp_path: Path) -> None:
    directory = tmp_path / "shared"
    directory.mkdir(mode=0o755)
    done = subprocess.run(
        [sys.executable, "-m", "aitp_playground", "control-plane", "--port", "0", "--db", str(directory)],
        capture_output=True,
        text=True,
        timeout=WAIT,
        check=False,
        env={**environment(), "STATE_DIR": str(tmp_path / "state")},
    )
    assert done.returncode == 2
    assert str(directory) in done.stderr
    assert "Traceback" not in done.stderr
    assert directory.stat().st_mode & 0o777 == 0o755
    assert not (tmp_path / "shared.seed").exists()
