"""A JSON log is nothing but JSON lines, for the whole life of a server, and answers what an operator asks."""

from __future__ import annotations

import json
import signal
import socket
import subprocess
import urllib.error
import urllib.request
from hashlib import sha256
from typing import Any

import pytest

from aitp_playground import resources
from aitp_playground.config import Settings

from .serving import ask, serving
from .shell import TIMEOUT, Shell

KEY = "key-of-an-operator-0123456789"
REF = "intra-org/delegation-chain@1.0.0"
NOISY = """\
import sys, warnings
from base.worker import Worker

warnings.warn("at import", DeprecationWarning)
print("out at import")
print("err at import", file=sys.stderr)
worker = Worker()


@worker.capability("sleep.long")
async def sleep(task):
    print("out in a call", flush=True)
    print("err in a call", file=sys.stderr, flush=True)
    return {"body": "x" * 500_000}


if __name__ == "__main__":
    worker.run()
"""


def refused(url: str, path: str, **headers: str) -> int:
    request = urllib.request.Request(url + path, headers=headers)
    try:
        with urllib.request.urlopen(request, timeout=TIMEOUT) as answer:
            return int(answer.status)
    except urllib.error.HTTPError as refusal:
        with refusal:
            return refusal.code


@pytest.fixture(scope="module")
def life(tmp_path_factory: pytest.TempPathFactory) -> tuple[list[dict[str, Any]], str]:
    """What a server logged in its life, parsed line by line, and as it was."""
    shell = Shell(tmp_path_factory.mktemp("life"))
    noisy = shell.write_sleeper()
    (shell.home / "agents/sleeper/main.py").write_text(NOISY)
    env = {
        "PLAYGROUND_API_KEYS": KEY,
        "CP_API_KEY": "secret-of-the-control-plane",
        "SHUTDOWN_GRACE_SECS": "0",
        "SCENARIOS_DIR": f"scenarios:{resources.scenarios_dir()}",
        "PYTHONWARNINGS": "always",
    }
    with serving(shell, "--with-control-plane", **env) as (server, url):
        assert refused(url, "/runs?token=hidden-in-a-query") == 401
        assert refused(url, "/healthz", Host="evil.example") == 403
        with socket.create_connection(("127.0.0.1", int(url.rpartition(":")[2]))) as raw:
            raw.sendall(b"NONSENSE\r\n\r\n")
            raw.recv(1000)
        for ref in (REF, noisy):
            run_id = json.loads(ask(f"{url}/runs", {"scenario_ref": ref}, key=KEY))["run_id"]
            request = urllib.request.Request(f"{url}/runs/{run_id}/events", headers={"Authorization": f"Bearer {KEY}"})
            urllib.request.urlopen(request, timeout=TIMEOUT).read()
        last = json.loads(ask(f"{url}/runs", {"scenario_ref": REF}, key=KEY))["run_id"]
        ask(f"{url}/runs/{last}/cancel", {}, key=KEY)
        server.send_signal(signal.SIGTERM)
        _, stderr = server.communicate(timeout=TIMEOUT)
    assert server.returncode == 0
    return [json.loads(line) for line in stderr.splitlines()], stderr


def no_repeats(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    assert len({name for name, _ in pairs}) == len(pairs), pairs
    return dict(pairs)


def test_every_line_is_an_object_with_one_event_one_level_and_one_time(life: tuple[list[dict[str, Any]], str]) -> None:
    for text in life[1].splitlines():
        line = json.loads(text, object_pairs_hook=no_repeats)
        assert {"event", "level", "timestamp"} <= line.keys()
        assert not {"type", "ts"} & line.keys()


def test_no_line_is_long(life: tuple[list[dict[str, Any]], str]) -> None:
    assert max(map(len, life[1].splitlines())) < 30_000


def one(life: tuple[list[dict[str, Any]], str], event: str) -> dict[str, Any]:
    return next(line for line in life[0] if line["event"] == event)


def test_the_start_is_told_with_the_settings_in_effect_and_without_secrets(
    life: tuple[list[dict[str, Any]], str],
) -> None:
    started = one(life, "service.started")
    assert started["settings"].keys() == {name.upper() for name in Settings.model_fields}
    told = [started["settings"][name] for name in ("PLAYGROUND_API_KEYS", "CP_API_KEY", "OPENAI_API_KEY")]
    assert told == ["1 set", "set", ""]
    assert started["settings"]["SHUTDOWN_GRACE_SECS"] == 0
    assert started["settings"]["MAX_CONCURRENT_RUNS"] == 16
    assert started["url"].startswith("http://127.0.0.1:")
    for secret in (KEY, "secret-of-the-control-plane", "hidden-in-a-query"):
        assert secret not in life[1]


def test_refused_requests_are_told_with_path_client_and_reason(life: tuple[list[dict[str, Any]], str]) -> None:
    told = [line for line in life[0] if line["event"] == "request.refused"]
    assert {(line["status"], line["path"], line["client"]) for line in told} == {
        (401, "/runs", "127.0.0.1"),
        (403, "/healthz", "127.0.0.1"),
    }
    assert all(line["reason"] and line["level"] == "warning" for line in told)


def test_who_submitted_and_cancelled_is_told_by_the_digest_of_the_key(life: tuple[list[dict[str, Any]], str]) -> None:
    by = f"key:{sha256(KEY.encode()).hexdigest()[:8]}"
    for event in ("run.submitted", "run.cancel_asked"):
        line = one(life, event)
        assert (line["by"], line["client"]) == (by, "127.0.0.1")
        assert line["run_id"]


def test_the_end_is_told_with_the_signal(life: tuple[list[dict[str, Any]], str]) -> None:
    assert one(life, "service.draining")["signal"] == "SIGTERM"
    assert life[0][-1]["event"] == "service.stopped"


def test_no_delegation_token_is_in_the_log(life: tuple[list[dict[str, Any]], str]) -> None:
    results = [line["result"] for line in life[0] if line["event"] == "step.complete" and line["step_id"] == "delegate"]
    assert results
    assert all(result["delegation_token"].startswith("sha256:") for result in results)
    assert "eyJ" not in life[1]


@pytest.mark.parametrize(
    ("args", "env", "said"),
    [
        (["serve"], {"PORT": "many"}, "PORT"),
        (["serve"], {"HOST": "0.0.0.0"}, "PLAYGROUND_API_KEYS"),
        (["serve"], {"LLM_PROVIDER": "openai"}, "OPENAI_API_KEY"),
        (["serve"], {"CP_BASE_URL": "http://u:very-secret@h"}, "CP_BASE_URL"),
        (["serve", "--no-such-option"], {}, "No such option"),
        (["serve", "--port", "x"], {}, "--port"),
        (["serve"], {"RUN_HISTORY_DB": "/proc/no/such/place.db", "PORT": "0"}, "/proc"),
        (["serve"], {"PORT": "many", "LOG_LEVEL": "DEBUG"}, "PORT"),
        (["control-plane", "--port", "x"], {}, "--port"),
        (["agent", "no-such-agent"], {}, "no-such-agent"),
    ],
)
def test_a_start_that_fails_is_a_json_line_too(shell: Shell, args: list[str], env: dict[str, str], said: str) -> None:
    done: subprocess.CompletedProcess[str] = shell(*args, env=env)
    assert done.returncode in {1, 2}
    lines = [json.loads(line) for line in done.stderr.splitlines()]
    assert lines[-1]["event"] == "command.failed"
    assert said in lines[-1]["error"]
    assert "very-secret" not in done.stderr


def test_a_start_that_fails_is_told_as_the_log_would_be(shell: Shell) -> None:
    (shell.home / ".env").write_text("LOG_FORMAT=console\nHOST=0.0.0.0\n")
    assert shell("serve").stderr.startswith("Error: HOST is 0.0.0.0")


def test_a_run_that_the_end_of_the_server_cuts_short_says_so(shell: Shell) -> None:
    ref = shell.write_sleeper()
    with serving(shell, SHUTDOWN_GRACE_SECS="0") as (server, url):
        run_id = json.loads(ask(f"{url}/runs", {"scenario_ref": ref}))["run_id"]
        assert server.stderr is not None
        while '"event":"step.started"' not in (line := server.stderr.readline()):
            assert line, "the log ended early"
        server.send_signal(signal.SIGTERM)
        server.communicate(timeout=TIMEOUT)
    with serving(shell) as (_, url):
        document = json.loads(ask(f"{url}/runs/{run_id}"))
    assert document["status"] == "cancelled"
    assert "the server was told to stop" in document["error"]
    assert "SHUTDOWN_GRACE_SECS (0 s)" in document["error"]
