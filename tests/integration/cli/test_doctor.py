"""``doctor`` finds what was broken on purpose, and says what to do about it."""

from __future__ import annotations

import contextlib
import json
import resource
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import aitp
import pytest
from aiohttp.test_utils import unused_port

from tests.contract.embedded import embedded

from .serving import serving
from .shell import TIMEOUT, Shell

WELL = {
    *("interpreter", "open files", "state directory", "disk", "run history", "port", "door", "protocol SDK"),
    *("scenarios", "Control Plane"),
}


def findings(shell: Shell, *args: str, **env: str) -> tuple[int, dict[str, dict[str, Any]]]:
    done = shell("doctor", "--json", *args, env={"PORT": "0", **env})
    return done.returncode, {found["check"]: found for found in map(json.loads, done.stdout.splitlines())}


@contextlib.contextmanager
def receiver() -> Iterator[str]:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        yield "{}:{}".format(*listening.getsockname())


def found(shell: Shell, check: str, verdict: str, said: str, advice: str, **env: str) -> None:
    """One thing is wrong, it is said with what to do, and nothing else is."""
    code, all_of_them = findings(shell, "--quick", **env)
    one = all_of_them[check]
    assert (one["verdict"], code) == (verdict, int(verdict == "error"))
    assert said in one["said"], one
    assert advice in one["advice"], one
    assert {name for name, each in all_of_them.items() if each["verdict"] != "ok"} == {check}


def test_where_all_is_well_it_says_so_and_runs_two_agents(shell: Shell) -> None:
    code, all_of_them = findings(shell)
    assert code == 0
    assert {name for name, each in all_of_them.items() if each["verdict"] == "ok"} == WELL | {"agents"}
    assert not (shell.home / "state/runs.db").exists(), "it leaves no run behind"
    text = shell("doctor", "--quick", env={"PORT": "0"})
    assert text.stdout.count("ok       ") == len(WELL)


def test_a_port_that_is_taken(shell: Shell) -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = str(other.getsockname()[1])
        found(shell, "port", "error", "cannot be listened on", "set PORT", PORT=port)


@pytest.mark.parametrize("host", ["192.0.2.1", "no-such-host.invalid"])
def test_an_address_that_this_machine_does_not_have(shell: Shell, host: str) -> None:
    _, all_of_them = findings(shell, "--quick", HOST=host, PORT="8777", PLAYGROUND_API_KEYS="a-key-of-some-length")
    assert all_of_them["port"]["verdict"] == "error"
    assert "set HOST to" in all_of_them["port"]["advice"]


def test_a_secret_that_others_can_read(shell: Shell) -> None:
    state = shell.home / "state"
    state.mkdir(mode=0o700)
    (state / "identity.secret").write_bytes(b"x" * 32)
    (state / "identity.secret").chmod(0o644)
    found(shell, "state directory", "error", "identity.secret cannot be trusted", "chmod 600")
    (state / "identity.secret").chmod(0o600)
    assert findings(shell, "--quick")[1]["state directory"]["verdict"] == "ok"


def test_a_port_at_which_a_playground_is(shell: Shell) -> None:
    with serving(shell) as (_, url):
        _, all_of_them = findings(shell, "--quick", PORT=url.rpartition(":")[2])
    assert all_of_them["port"] == {"check": "port", "verdict": "ok", "said": all_of_them["port"]["said"]}
    assert "a playground answers" in all_of_them["port"]["said"]


def test_a_state_directory_that_cannot_be_written(shell: Shell) -> None:
    (shell.home / "file").write_text("in the way")
    code, all_of_them = findings(shell, "--quick", STATE_DIR=str(shell.home / "file/state"))
    assert code == 1
    assert any(
        "file" in each["said"] and each["verdict"] == "error" and each["advice"] for each in all_of_them.values()
    )


def test_a_state_directory_that_others_can_read(shell: Shell) -> None:
    (shell.home / "state").mkdir(mode=0o755)
    (shell.home / "state").chmod(0o755)
    found(shell, "state directory", "warning", "mode 0755", "chmod 700")


def test_a_low_limit_of_files(shell: Shell) -> None:
    done = subprocess.run(
        shell.argv("doctor", "--json", "--quick"),
        env=shell.environment(PORT="0"),
        cwd=shell.home,
        capture_output=True,
        text=True,
        timeout=TIMEOUT,
        check=False,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_NOFILE, (256, 256)),
    )
    one = next(each for each in map(json.loads, done.stdout.splitlines()) if each["check"] == "open files")
    assert (one["verdict"], "256" in one["said"], "ulimit" in one["advice"]) == ("warning", True, True)


@pytest.mark.parametrize("content", [b"this is no database" * 100, b"SQLite format 3\x00" + b"\xff" * 4080])
def test_a_run_history_that_is_none(shell: Shell, content: bytes) -> None:
    (shell.home / "state").mkdir(mode=0o700)
    (shell.home / "state/runs.db").write_bytes(content)
    found(shell, "run history", "error", "runs.db", "move it away")


def test_a_run_history_of_a_later_release(shell: Shell) -> None:
    shell("run", "intra-org/spki-pinning@1.0.0")
    import sqlite3

    with sqlite3.connect(shell.home / "state/runs.db") as database:
        database.execute("PRAGMA user_version=99")
    database.close()
    found(shell, "run history", "error", "later release", "RUN_HISTORY_DB")


def test_an_open_door(shell: Shell) -> None:
    found(shell, "door", "error", "other machines can reach", "above", HOST="0.0.0.0")


def test_a_setting_that_is_none(shell: Shell) -> None:
    code, all_of_them = findings(shell, "--quick", MAX_CONCURRENT_RUNS="many")
    assert code == 1
    assert list(all_of_them) == ["settings"]
    assert "MAX_CONCURRENT_RUNS" in all_of_them["settings"]["said"]


def test_keys_that_others_can_read(shell: Shell) -> None:
    directory = shell.home / "secrets"
    directory.mkdir()
    (directory / "cp_api_key").write_text("key")
    (directory / "cp_api_key").chmod(0o644)
    found(shell, "secrets", "warning", "cp_api_key", "chmod 600", SECRETS_DIR=str(directory))


def test_a_scenarios_directory_that_is_not_there(shell: Shell) -> None:
    found(shell, "scenarios", "error", "nowhere", "SCENARIOS_DIR", SCENARIOS_DIR=str(shell.home / "nowhere"))


def test_a_scenario_that_is_broken(shell: Shell) -> None:
    shell.write_scenario("broken", expect="[{pth: $.x}]")
    found(shell, "scenarios", "warning", "broken/1.0.0/scenario.yaml", "lint")


def test_a_language_model_without_its_key(shell: Shell) -> None:
    found(shell, "language model", "error", "OPENAI_API_KEY is empty", "above", LLM_PROVIDER="openai")


def test_traces_that_nothing_exports(shell: Shell) -> None:
    hidden = shell.home / "no-otel"
    hidden.mkdir()
    (hidden / "sitecustomize.py").write_text("import sys\nsys.modules['opentelemetry'] = None\n")
    asked = {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://user:secret@127.0.0.1:4318"}
    found(shell, "traces", "warning", "not installed", "make otel", **asked, PYTHONPATH=str(hidden))
    with receiver() as place:
        asked = {"OTEL_EXPORTER_OTLP_ENDPOINT": f"http://user:secret@{place}"}
        _, all_of_them = findings(shell, "--quick", **asked)
        assert (all_of_them["traces"]["verdict"], all_of_them["traces"]["said"]) == ("ok", f"exported to {place}")
        assert "traces" not in findings(shell, "--quick", **asked, OTEL_SDK_DISABLED="true")[1]
        for name in ("OTEL_EXPORTER_OTLP_PROTOCOL", "OTEL_EXPORTER_OTLP_TRACES_PROTOCOL"):
            found(shell, "traces", "warning", f"{name} asks for grpc", "http/protobuf", **asked, **{name: "grpc"})
        wrong = {"OTEL_TRACES_SAMPLER": "foo"}
        found(shell, "traces", "warning", "OTEL_TRACES_SAMPLER=foo", "parentbased_traceidratio", **asked, **wrong)
    found(shell, "traces", "warning", f"nobody takes them at {place}: Connection refused", "start the", **asked)


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"OTEL_BSP_MAX_QUEUE_SIZE": "-1"}, "max_queue_size must be a positive integer"),
        ({"OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:port"}, "no http:// or https:// address"),
    ],
    ids=["queue", "endpoint"],
)
def test_traces_with_a_variable_that_says_what_cannot_be(shell: Shell, wrong: dict[str, str], said: str) -> None:
    asked = {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:4318", **wrong}
    found(shell, "traces", "warning", said, "correct that variable", **asked)


def test_a_control_plane_that_is_away(shell: Shell) -> None:
    found(shell, "Control Plane", "warning", "refused", "CP_BASE_URL", CP_BASE_URL=f"http://127.0.0.1:{unused_port()}")


def test_a_control_plane_with_another_key_and_one_with_another_aid(shell: Shell, tmp_path: Path) -> None:
    with embedded(tmp_path / "cp.db") as cp:
        right = {"CP_BASE_URL": cp.url, "CP_API_KEY": cp.key}
        found(
            shell,
            "Control Plane",
            "warning",
            "refuses CP_API_KEY",
            "set CP_API_KEY",
            **{**right, "CP_API_KEY": "wrong"},
        )
        another = aitp.AitpAgent.generate().aid
        found(shell, "Control Plane", "warning", "is not accepted", "CP_AID", **right, CP_AID=another)
        _, all_of_them = findings(shell, "--quick", **right)
        assert all_of_them["Control Plane"]["verdict"] == "ok"


def test_an_sdk_without_a_feature_and_none_at_all(shell: Shell) -> None:
    hidden = shell.home / "hidden"
    hidden.mkdir()
    (hidden / "sitecustomize.py").write_text("import aitp\ndel aitp.SessionBundleBuilder\n")
    found(shell, "protocol SDK", "warning", "session_bundle", "--upgrade aitp-sdk", PYTHONPATH=str(hidden))
    (hidden / "sitecustomize.py").unlink()
    (hidden / "aitp.py").write_text("raise ImportError('broken')\n")
    code, all_of_them = findings(shell, "--quick", PYTHONPATH=str(hidden))
    assert code == 1
    assert all_of_them["protocol SDK"]["verdict"] == "error"
    assert "install" in all_of_them["protocol SDK"]["advice"]


def test_agents_that_do_not_start(shell: Shell) -> None:
    code, all_of_them = findings(shell, AGENT_PYTHON="/bin/false")
    assert (code, all_of_them["agents"]["verdict"]) == (1, "error")
    assert all_of_them["agents"]["advice"]
