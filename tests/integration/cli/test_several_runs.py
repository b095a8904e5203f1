"""``run`` with several refs, with ``--junit`` and with ``--watch``."""

from __future__ import annotations

import json
import signal
import stat
import subprocess
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest

from .serving import serving
from .shell import TIMEOUT, Shell

GATE, PINS = "intra-org/trust-gate@1.0.0", "intra-org/spki-pinning@1.0.0"
WRONG = "[{path: $.topic, equals: something else}, {event: capability.self_execute, max: 0}]"


def suites(file: Path) -> dict[str, ET.Element]:
    return {suite.get("name", ""): suite for suite in ET.parse(file).getroot()}


def cases(suite: ET.Element) -> dict[str | None, list[str]]:
    """Each case with what became of it, beside its properties."""
    return {
        case.get("name"): [child.tag for child in case if child.tag != "properties"]
        for case in suite.findall("testcase")
    }


def counts(element: ET.Element) -> dict[str, str | None]:
    return {name: element.get(name) for name in ("tests", "failures", "errors", "skipped")}


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


def test_a_report_has_a_suite_per_run_and_a_case_per_step(shell: Shell) -> None:
    wrong = shell.write_scenario("wrong", expect=WRONG)
    file = shell.home / "report.xml"
    for where in ([], ["--server"]):
        with serving(shell) as (_, url):
            done = shell("run", GATE, wrong, "--junit", "report.xml", *where, *([url] if where else []))
        assert done.returncode == 1
        found = suites(file)
        assert list(found) == [GATE, wrong]
        assert list(cases(found[GATE]).values()) == [[]] * 4
        assert counts(found[GATE]) == {"tests": "4", "failures": "0", "errors": "0", "skipped": "0"}
        assert cases(found[wrong]) == {"work": ["failure"]}
        [failure] = found[wrong].iter("failure")
        assert "$.topic" in str(failure.get("message"))
        assert "something else" in str(failure.text)
        assert '"trust"' in str(failure.text), "what it was instead"
        assert counts(ET.parse(file).getroot()) == {"tests": "5", "failures": "1", "errors": "0", "skipped": "0"}
        properties = {each.get("name"): each.get("value") for each in found[GATE].findall("properties/property")}
        assert (properties["status"], properties["proof"]) == ("success", "proven")
        assert stat.S_IMODE(file.stat().st_mode) == 0o644
        assert [path.name for path in shell.home.iterdir() if "report" in path.name] == ["report.xml"]
        file.unlink()


def test_an_unproven_run_and_one_that_did_not_come_to_its_steps_are_told(shell: Shell) -> None:
    idle = shell.write_scenario("idle")
    dead = shell.write_sleeper("raise SystemExit('no licence \\x1b[31m \\ufffe')\n")
    done = shell("run", idle, dead, "--junit", "report.xml", "--require-proof")
    assert done.returncode == 1
    found = suites(shell.home / "report.xml")
    assert cases(found[idle]) == {"work": [], "proof": ["failure"]}
    assert "no claim was checked" in str(next(found[idle].iter("failure")).get("message"))
    assert cases(found[dead]) == {"run": ["error"]}
    assert shell("run", idle, "--junit", "report.xml").returncode == 0
    assert cases(suites(shell.home / "report.xml")[idle]) == {"work": []}


def test_what_could_not_be_tried_is_skipped_in_the_report(shell: Shell) -> None:
    ref = "intra-org/external-enrollment@1.0.0"
    shell("run", ref, "--junit", "report.xml")
    assert cases(suites(shell.home / "report.xml")[ref]) == {"self_enroll": ["skipped"]}


def test_a_report_that_cannot_be_written_is_told_before_the_run_and_after_it(shell: Shell) -> None:
    done = shell("run", PINS, "--junit", "nowhere/report.xml")
    assert (done.returncode, done.stdout) == (2, "")
    assert "nowhere is no directory" in done.stderr
    (shell.home / "report.xml").mkdir()
    assert shell("run", PINS, "--junit", "report.xml").returncode == 2


def test_an_interrupt_leaves_the_rest_out_and_the_report_says_so(shell: Shell) -> None:
    sleeper = shell.write_sleeper()
    running = shell.start("run", sleeper, PINS, "--json", "--junit", "report.xml")
    _await(running, "step work (workflow) started")
    running.send_signal(signal.SIGINT)
    told, _ = running.communicate(timeout=TIMEOUT)
    assert running.returncode == 130
    assert json.loads(told)["status"] == "cancelled"
    found = suites(shell.home / "report.xml")
    assert cases(found[sleeper])["work"] == ["failure"]
    assert cases(found[PINS]) == {"run": ["skipped"]}


def test_a_change_is_run_at_once_whatever_it_makes_of_the_scenario(shell: Shell) -> None:
    ref = shell.write_scenario("mine", expect="[{path: $.topic, equals: trust}]")
    file = shell.scenarios / "local/mine/1.0.0/scenario.yaml"
    good = file.read_text()
    running = shell.start("run", ref, "--watch", "--json")
    try:
        _await(running, "watching ")
        for text, said in [
            (good.replace("equals: trust", "equals: doubt"), 'expected $.topic equals "doubt"'),
            (good.replace("agent: worker", "agent: wroker"), "did you mean 'worker'"),
            (good, "run success, proven"),
        ]:
            file.write_text(text)
            _await(running, f"changed: {file.resolve()}")
            _await(running, said)
            _await(running, "watching ")
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
        _await(running, "watching ")
        code = shell.home / "agents/sleeper/main.py"
        (code.parent / "__pycache__").mkdir(exist_ok=True)
        (code.parent / "__pycache__/main.pyc").write_text("is nobody's source")
        (code.parent / ".main.py.swp").write_text("nor is this")
        code.write_text(ANSWER.format(answer=2))
        _await(running, f"changed: {code.resolve()}")
        _await(running, "watching ")
        running.send_signal(signal.SIGTERM)
        told, _ = running.communicate(timeout=TIMEOUT)
    finally:
        running.kill()
    assert running.returncode == 0
    assert [line.partition(":")[0] for line in told.splitlines() if line.startswith("run ") and ":" in line] == [
        "run failed",
        "run success, proven",
    ]


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


def _await(running: subprocess.Popen[str], said: str) -> None:
    assert running.stderr is not None
    while said not in (line := running.stderr.readline()):
        assert line, f"it ended without saying {said!r}"
