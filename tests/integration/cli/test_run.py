"""``run``: what it prints where, and the code it ends with."""

from __future__ import annotations

import json
import os
import pty
import re
import shlex
import signal
import subprocess
from pathlib import Path
from typing import Any

import pytest

from .serving import ask, serving
from .shell import TIMEOUT, Shell, alive, descendants

REF = "intra-org/research-and-write@1.0.0"


def test_a_successful_run_is_told_on_stdout_and_exits_0(shell: Shell) -> None:
    done = shell("run", REF, "--input", "topic=revocation", "--label", "first try")
    assert (done.returncode, done.stderr) == (0, "")
    lines = done.stdout.splitlines()
    assert lines[0].endswith(f"run started: {REF}")
    assert any(line.startswith("write: revocation") for line in lines), "the digest names the article"
    assert lines[-2].startswith("run success, proven: ")
    assert re.fullmatch(r"run id [0-9a-f-]{36}", lines[-1])


def test_json_is_the_only_thing_on_stdout_and_the_narration_goes_to_stderr(shell: Shell) -> None:
    done = shell("run", REF, "-i", "topic=trust", "--json", "--require-proof")
    assert done.returncode == 0
    document = json.loads(done.stdout)
    assert (document["status"], document["proof"], document["inputs"]["topic"]) == ("success", "proven", "trust")
    assert [event["seq"] for event in document["events"]] == list(range(1, len(document["events"]) + 1))
    assert f"run started: {REF}" in done.stderr
    assert f"run id {document['run_id']}" in done.stderr


def test_a_failed_run_exits_1_and_says_which_step_expected_what(shell: Shell) -> None:
    ref = shell.write_scenario("wrong", expect="[{path: $.topic, equals: something else}]")
    done = shell("run", ref, "--json")
    assert done.returncode == 1
    assert json.loads(done.stdout)["status"] == "failed"
    assert "something else" in done.stderr
    assert "Traceback" not in done.stderr


CHAIN = "\n".join(f"def stage_{n}():\n    stage_{n + 1}()" for n in range(12))
BROKEN_WORKERS = {
    "at import": f"{CHAIN}\ndef stage_12():\n    raise RuntimeError('no licence for this corpus')\nstage_0()\n",
    "in its set-up": (
        "import sys\nfrom base.worker import Worker\n"
        "for n in range(200): print('loading part', n, file=sys.stderr)\n"
        "raise ValueError('part 200 is damaged: ' + 'x' * 900 + ' no licence for this corpus')\n"
    ),
}


@pytest.mark.parametrize("code", BROKEN_WORKERS.values(), ids=BROKEN_WORKERS.keys())
def test_the_narration_shows_the_exception_of_a_worker_that_does_not_start(shell: Shell, code: str) -> None:
    done = shell("run", shell.write_sleeper(code))
    assert done.returncode == 1
    (told,) = [line for line in done.stdout.splitlines() if "run failed: " in line and "ended with exit code" in line]
    assert re.search(r"(RuntimeError|ValueError: part 200 is damaged): .*no licence for this corpus$", told)


READY_WORKER = """\
from base.worker import Worker

worker = Worker()


@worker.capability("sleep.long")
async def answer(task):
    return {"done": True}


if __name__ == "__main__":
    worker.run()
"""


def test_a_run_on_another_interpreter_than_the_manifest_asks_for_is_unproven_and_says_so(shell: Shell) -> None:
    ref = shell.write_sleeper(
        READY_WORKER, host="{python: /nowhere/bin/python}", expect="[{path: $.done, equals: true}]"
    )
    done = shell("run", ref, "--json")
    document = json.loads(done.stdout)
    assert (document["status"], document["proof"]) == ("success", "unproven")
    (why,) = document["unproven_because"]
    assert "/nowhere/bin/python" in why
    assert "/nowhere/bin/python, which its manifest asks for, is not there" in done.stderr


@pytest.mark.parametrize(
    ("args", "said"),
    [
        ([], "Missing argument 'REF...'"),
        ([REF, "--no-such-option"], "No such option"),
        ([REF.replace("write", "wrte")], f"did you mean {REF}"),
        (["nothing/like-it@9"], "aitp-playground list"),
        ([REF, "--template", "nope"], "no template 'nope'"),
        ([REF, "-i", "style=wild"], '/style: "wild" is not one of'),
        ([REF, "-i", "topci=x"], "did you mean 'topic'"),
        ([REF, "--inputs", "{"], "--inputs is not JSON"),
        ([REF, "--label", "two\nlines"], "one line"),
    ],
)
def test_a_mistake_of_the_caller_exits_2_and_records_no_run(shell: Shell, args: list[str], said: str) -> None:
    done = shell("run", *args)
    assert (done.returncode, done.stdout) == (2, "")
    assert said in done.stderr
    assert "Traceback" not in done.stderr


def test_a_wrong_setting_exits_2_and_names_the_variable(shell: Shell) -> None:
    done = shell("run", REF, env={"RUN_TIMEOUT_SECS": "soon"})
    assert done.returncode == 2
    assert "RUN_TIMEOUT_SECS" in done.stderr
    assert done.stderr.count("\n") == 1


def test_a_broken_file_exits_2_with_file_and_line(shell: Shell) -> None:
    ref = shell.write_scenario("broken", expect="[{path: $.topic, equls: x}]")
    done = shell("run", ref)
    assert done.returncode == 2
    assert re.search(r"local/broken/1\.0\.0/scenario\.yaml:\d+ .*equls.*equals", done.stderr)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_cancels_the_run_and_leaves_no_process(shell: Shell, number: int) -> None:
    running = shell.start("run", shell.write_sleeper(), "--json")
    assert running.stderr is not None
    told = ""
    while "step work (workflow) started" not in told:
        told = running.stderr.readline()
        assert told, "the narration ended early"
    started = descendants(running.pid)
    assert len(started) >= 2, "a fork server and an agent"
    running.send_signal(number)
    stdout, _ = running.communicate(timeout=TIMEOUT)
    document = json.loads(stdout)
    assert running.returncode == 130
    assert document["status"] == "cancelled"
    assert document["events"][-1]["type"] == "run.cancelled"
    assert document["error"] == f"cancelled by {signal.Signals(number).name}"
    assert not alive(started)


def test_a_reader_that_goes_away_does_not_disturb_the_run(shell: Shell) -> None:
    running = shell.start("run", REF)
    assert running.stdout is not None
    assert running.stderr is not None
    assert "run started" in running.stdout.readline()
    running.stdout.close()
    stderr = running.stderr.read()
    running.stderr.close()
    assert (running.wait(TIMEOUT), stderr) == (0, "")


def test_closed_output_descriptors_do_not_disturb_the_run(shell: Shell) -> None:
    command = f"exec {shlex.join(shell.argv('run', REF))} >&- 2>&-"
    done = subprocess.run(["sh", "-c", command], cwd=shell.home, env=shell.environment(), timeout=TIMEOUT, check=False)
    assert done.returncode == 0
    assert [run["status"] for run in _runs(shell)] == ["success"]


def _runs(shell: Shell) -> list[dict[str, Any]]:
    with serving(shell) as (_, url):
        found: list[dict[str, Any]] = json.loads(ask(f"{url}/runs"))["runs"]
    return found


def test_no_key_of_the_operator_is_ever_printed(shell: Shell) -> None:
    keys = {
        "OPENAI_API_KEY": "sk-openai-aaaaaaaaaaaa",
        "CP_API_KEY": "cp-bbbbbbbbbbbbbbbb",
        "PLAYGROUND_API_KEYS": "pg-cccccccccccccccc",
    }
    model = {"LLM_PROVIDER": "openai", "OPENAI_BASE_URL": "http://127.0.0.1:9"}
    done = shell("run", REF, "--json", env={**keys, **model, "LOG_LEVEL": "DEBUG"})
    assert done.returncode == 0
    assert '"llm.failed"' in done.stdout, "the key was in use"
    assert not [key for key in keys.values() if key in done.stdout + done.stderr]


@pytest.mark.parametrize("no_color", [False, True])
def test_a_terminal_gets_a_status_line_and_colour_unless_no_color_is_set(shell: Shell, no_color: bool) -> None:
    env = shell.environment(TERM="xterm-256color", COLUMNS="120") | ({"NO_COLOR": "1"} if no_color else {})
    ours, theirs = pty.openpty()
    with subprocess.Popen(
        shell.argv("run", REF), cwd=shell.home, env=env, stdout=theirs, stderr=subprocess.PIPE, text=True
    ) as running:
        os.close(theirs)
        shown = _everything(ours)
        assert running.wait(TIMEOUT) == 0
    assert "step 4 of 4: ask_back" in shown
    assert "run success, proven" in shown
    assert ("\x1b[32m" in shown) is not no_color
    assert shown.rindex("\x1b[?25h") > shown.rindex("\x1b[?25l"), "the cursor is back"


def _everything(descriptor: int) -> str:
    chunks: list[bytes] = []
    while True:
        try:
            chunk = os.read(descriptor, 65536)
        except OSError:  # Linux says so when the other end is closed
            chunk = b""
        if not chunk:
            os.close(descriptor)
            return b"".join(chunks).decode()
        chunks.append(chunk)


def test_an_unusable_state_directory_is_said_in_one_line(shell: Shell) -> None:
    (shell.home / "state").write_text("a file where the directory should be")
    done = shell("run", REF)
    assert done.returncode == 2
    assert "STATE_DIR" in done.stderr
    assert done.stderr.count("\n") == 1


def test_inputs_come_from_a_file_and_from_pairs(shell: Shell) -> None:
    ref = shell.write_scenario("typed")
    Path(shell.home / "inputs.json").write_text('{"words": ["a"], "count": 1}')
    document = shell.document("run", ref, "--inputs", "@inputs.json", "-i", "count=2", "-i", "deep=true", "--json")
    assert document["inputs"] == {"words": ["a"], "count": 2, "deep": True, "topic": "trust"}


def test_a_run_that_is_unproven_for_want_of_a_control_plane_says_what_to_do(shell: Shell) -> None:
    done = shell("run", "intra-org/cp-delegation-tree@1.0.0")
    (last,) = [line for line in done.stdout.splitlines() if line.startswith("run success, unproven")]
    assert "no Control Plane is configured" in last
    assert "--with-control-plane" in last
    assert "CP_BASE_URL" in last
