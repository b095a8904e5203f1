"""``run`` with several refs and with ``--watch``."""

from __future__ import annotations

import json
import select
import signal

import pytest

from .serving import serving
from .shell import TIMEOUT, Shell, await_line

GATE, PINS = "intra-org/trust-gate@1.0.0", "intra-org/spki-pinning@1.0.0"
WRONG = "[{path: $.topic, equals: something else}, {event: capability.self_execute, max: 0}]"


def test_several_are_run_whatever_becomes_of_one_and_the_worst_is_the_code(shell: Shell) -> None:
    wrong = shell.write_scenario("wrong", expect=WRONG)
    done = shell("run", PINS, wrong, GATE)
    assert done.returncode == 1
    begun = [line.rpartition(" ")[2] for line in done.stdout.splitlines() if "run started: " in line]
    assert begun == [PINS, wrong, GATE]
    assert done.stderr.splitlines()[-2:] == ["2 of 3 runs as they should be", f"  {wrong}: failed"]


def test_as_json_each_run_is_a_line(shell: Shell) -> None:
    wrong = shell.write_scenario("wrong", expect=WRONG)
    done = shell("run", "--json", GATE, wrong)
    assert [json.loads(line)["status"] for line in done.stdout.splitlines()] == ["success", "failed"]


@pytest.mark.parametrize("odd", ["local/nowhere@1.0.0", "nonsense"])
def test_what_cannot_be_run_is_said_before_anything_is(shell: Shell, odd: str) -> None:
    done = shell("run", PINS, odd)
    assert (done.returncode, done.stdout) == (2, "")
    assert "Error: " in done.stderr
    with serving(shell) as (_, url):
        remote = shell("run", "--server", url, PINS, odd)
        assert (remote.returncode, remote.stdout) == (2, "")
        assert shell("runs", "--json", "--server", url).stdout == ""


def test_a_change_is_run_at_once_whatever_it_makes_of_the_scenario(shell: Shell) -> None:
    ref = shell.write_scenario("mine", expect="[{path: $.topic, equals: trust}]")
    file = shell.scenarios / "local/mine/1.0.0/scenario.yaml"
    good = file.read_text()
    running = shell.start("run", ref, "--watch", "--json")
    try:
        await_line(running, "watching ")
        for text, said in [
            (good.replace("equals: trust", "equals: doubt"), 'expected $.topic equals "doubt"'),
            (good.replace("agent: worker", "agent: wroker"), "did you mean 'worker'"),
            (good, "run success, proven"),
        ]:
            file.write_text(text)
            await_line(running, f"changed: {file.resolve()}")
            await_line(running, said)
            await_line(running, "watching ")
        running.send_signal(signal.SIGINT)
        told, _ = running.communicate(timeout=TIMEOUT)
    finally:
        running.kill()
    assert running.returncode == 0, "as the last run was"
    assert [json.loads(line)["status"] for line in told.splitlines()] == ["success", "failed", "success"]


def test_the_code_of_an_agent_is_watched_as_well(shell: Shell) -> None:
    ref = shell.write_sleeper(ANSWER.format(answer=1), expect="[{path: $.answer, equals: 2}]")
    running = shell.start("run", ref, "--watch")
    try:
        await_line(running, "watching ")
        code = shell.home / "agents/sleeper/main.py"
        (code.parent / "__pycache__").mkdir(exist_ok=True)
        (code.parent / "__pycache__/main.pyc").write_text("is nobody's source")
        (code.parent / ".main.py.swp").write_text("nor is this")
        code.write_text(ANSWER.format(answer=2))
        await_line(running, f"changed: {code.resolve()}")
        await_line(running, "watching ")
        running.send_signal(signal.SIGTERM)
        told, _ = running.communicate(timeout=TIMEOUT)
    finally:
        running.kill()
    assert running.returncode == 0
    assert [line.partition(":")[0] for line in told.splitlines() if line.startswith("run ") and ":" in line] == [
        "run failed",
        "run success, proven",
    ]


def test_what_the_runs_write_themselves_is_no_change(shell: Shell) -> None:
    ref = shell.write_scenario("mine", expect="[{path: $.topic, equals: trust}]")
    ours = {"STATE_DIR": "scenarios/state", "RUN_HISTORY_DB": str(shell.scenarios / "runs.db")}
    running = shell.start("run", ref, "--watch", "--junit", "scenarios/report.xml", **ours)
    try:
        await_line(running, "watching ")
        # It looks every 0.3 s: a change of its own would be found before this one of ours.
        assert not select.select([running.stderr], [], [], 1.5)[0], running.stderr.readline()
        changed = shell.scenarios / "local/mine/1.0.0/scenario.yaml"
        changed.touch()
        assert running.stderr is not None
        assert running.stderr.readline() == f"changed: {changed.resolve()}\n"
        await_line(running, "watching ")
        running.send_signal(signal.SIGINT)
        running.communicate(timeout=TIMEOUT)
    finally:
        running.kill()
    assert running.returncode == 0
    assert (shell.scenarios / "report.xml").is_file()
    assert (shell.scenarios / "runs.db").is_file()


def test_a_server_has_files_of_its_own(shell: Shell) -> None:
    done = shell("run", GATE, "--watch", "--server", "http://127.0.0.1:9")
    assert done.returncode == 2
    assert "--watch is for runs in this process" in done.stderr


ANSWER = """\
from base.worker import Worker

worker = Worker()


@worker.capability("sleep.long")
async def answer(task):
    return {{"answer": {answer}}}


if __name__ == "__main__":
    worker.run()
"""
