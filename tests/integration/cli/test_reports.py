"""The reports of ``run --junit``."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import stat
import subprocess
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest

from .serving import serving
from .shell import TIMEOUT, Shell, await_line

GATE, PINS = "intra-org/trust-gate@1.0.0", "intra-org/spki-pinning@1.0.0"
WRONG = "[{path: $.topic, equals: something else}, {event: capability.self_execute, max: 0}]"
WAITER = """\
import asyncio
from pathlib import Path
from base.worker import Worker

worker = Worker()


@worker.capability("sleep.long")
async def wait(task):
    while not (Path(__file__).parents[2] / "go").exists():
        await asyncio.sleep(0.05)
    return {}


if __name__ == "__main__":
    worker.run()
"""


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
    assert cases(found[dead]) == {"work": ["skipped"], "run": ["error"]}
    assert shell("run", idle, "--junit", "report.xml").returncode == 0
    assert cases(suites(shell.home / "report.xml")[idle]) == {"work": []}


def test_what_could_not_be_tried_is_skipped_in_the_report(shell: Shell) -> None:
    ref = "intra-org/external-enrollment@1.0.0"
    shell("run", ref, "--junit", "report.xml")
    assert cases(suites(shell.home / "report.xml")[ref]) == {"self_enroll": ["skipped"]}


STEPS = """
      - {id: remark, type: meta, description: nothing to be done}
      - {id: knock, agent: worker, capability: research.query, expect: [{path: $.topic, equals: something else}]}
      - {id: later, agent: worker, capability: research.query}
"""
TEMPLATE = f"""\
apiVersion: aitp.dev/v1
kind: ScenarioTemplate
metadata: {{name: longer, summary: More steps.}}
spec:
  workflow:
    steps:{STEPS}"""


@pytest.mark.parametrize("remote", [False, True])
def test_a_step_that_was_skipped_or_not_come_to_is_skipped_in_the_report(shell: Shell, *, remote: bool) -> None:
    ref = shell.write_scenario("several")
    template = shell.scenarios / "local/several/1.0.0/templates/longer.yaml"
    template.parent.mkdir()
    template.write_text(TEMPLATE)
    with serving(shell) if remote else contextlib.nullcontext((None, "")) as (_, url):
        where = ["--server", url] if remote else []
        assert shell("run", ref, "-t", "longer", "--junit", "report.xml", *where).returncode == 1
    suite = suites(shell.home / "report.xml")[f"{ref} (longer)"]
    assert cases(suite) == {"remark": ["skipped"], "knock": ["failure"], "later": ["skipped"]}
    assert counts(suite) == {"tests": "3", "failures": "1", "errors": "0", "skipped": "2"}
    assert [each.get("message") for each in suite.iter("skipped")] == ["nothing to be done", "it was not come to"]


def test_what_cannot_be_begun_any_more_costs_itself_alone(shell: Shell) -> None:
    first = shell.write_sleeper(WAITER)
    second = shell.write_scenario("second")
    running = shell.start("run", "--json", first, second, GATE, "--junit", "report.xml")
    await_line(running, "step work (workflow) started")
    shutil.rmtree(shell.scenarios / "local/second")
    (shell.home / "go").touch()
    _, said = running.communicate(timeout=TIMEOUT)
    assert running.returncode == 2
    assert [line for line in said.splitlines() if "Error: " in line and second in line]
    assert said.splitlines()[-2:] == ["2 of 3 runs as they should be", f"  {second}: could not be run"]
    found = suites(shell.home / "report.xml")
    assert cases(found[first]) == {"work": []}
    assert cases(found[second]) == {"run": ["error"]}
    assert second in str(next(found[second].iter("error")).get("message"))
    assert list(cases(found[GATE]).values()) == [[]] * 4


def test_when_the_server_goes_the_report_says_of_which_runs(shell: Shell) -> None:
    sleeper = shell.write_sleeper()
    with serving(shell) as (server, url):
        running = shell.start("run", "--json", "--server", url, GATE, sleeper, PINS, "--junit", "report.xml")
        await_line(running, "step work (workflow) started")
        server.kill()
        _, said = running.communicate(timeout=TIMEOUT)
    assert running.returncode == 1
    assert said.splitlines()[-3:] == ["1 of 3 runs as they should be", f"  {sleeper}: failed", f"  {PINS}: failed"]
    found = suites(shell.home / "report.xml")
    assert list(cases(found[GATE]).values()) == [[]] * 4
    for ref in (sleeper, PINS):
        assert cases(found[ref]) == {"run": ["error"]}
        assert url in str(next(found[ref].iter("error")).get("message"))


def test_when_nobody_reads_any_more_what_was_run_is_reported(shell: Shell) -> None:
    running = shell.start("run", "--json", GATE, PINS, "--junit", "report.xml")
    assert running.stdout is not None
    running.stdout.close()
    assert running.wait(TIMEOUT) == 141
    assert running.stderr is not None
    assert running.stderr.read().splitlines()[-1] == f"  {PINS}: not come to"
    found = suites(shell.home / "report.xml")
    assert list(cases(found[GATE]).values()) == [[]] * 4
    assert cases(found[PINS]) == {"run": ["skipped"]}
    running.stderr.close()


def test_a_report_takes_the_place_of_a_file_as_it_is(shell: Shell) -> None:
    real, link = shell.home / "real.xml", shell.home / "report.xml"
    real.write_text("of last time")
    real.chmod(0o600)
    link.symlink_to("real.xml")
    assert shell("run", GATE, "--junit", "report.xml").returncode == 0
    assert link.is_symlink()
    assert list(suites(real)) == [GATE]
    assert stat.S_IMODE(real.stat().st_mode) == 0o600
    done = subprocess.run(
        ["sh", "-c", 'umask 077; exec "$@"', "sh", *shell.argv("run", GATE, "--junit", "new.xml")],
        cwd=shell.home, env=shell.environment(), capture_output=True, timeout=TIMEOUT, check=False,
    )  # fmt: skip
    assert done.returncode == 0
    assert stat.S_IMODE((shell.home / "new.xml").stat().st_mode) == 0o600


def test_a_report_is_written_to_a_pipe_or_a_device(shell: Shell) -> None:
    os.mkfifo(shell.home / "pipe")
    reader = os.open(shell.home / "pipe", os.O_RDONLY | os.O_NONBLOCK)
    try:
        assert shell("run", GATE, "--junit", "pipe").returncode == 0
        assert next(iter(ET.fromstring(os.read(reader, 1 << 20)))).get("name") == GATE
    finally:
        os.close(reader)
    assert stat.S_ISFIFO((shell.home / "pipe").stat().st_mode)
    done = shell("run", GATE, "--junit", "pipe")
    assert (done.returncode, done.stderr.splitlines()[-1][:26]) == (1, "Error: pipe cannot be writ"), "nobody reads it"
    done = shell("run", GATE, "--json", "--junit", "/dev/stderr")
    assert done.returncode == 0
    assert "<testsuites" in done.stderr
    assert Path("/dev/stderr").is_symlink()


@pytest.mark.parametrize("odd", ["nowhere/report.xml", "folder", "dangling", "x" * 256, "loop"])
def test_a_report_that_cannot_be_written_is_told_before_the_run(shell: Shell, odd: str) -> None:
    (shell.home / "folder").mkdir()
    (shell.home / "dangling").symlink_to("nowhere/report.xml")
    (shell.home / "loop").symlink_to("loop")
    done = shell("run", PINS, "--junit", odd)
    assert (done.returncode, done.stdout) == (2, "")
    assert odd.partition("/")[0] in done.stderr
    assert sorted(path.name for path in shell.home.iterdir()) == ["dangling", "folder", "loop"]


def test_an_interrupt_leaves_the_rest_out_and_the_report_says_so(shell: Shell) -> None:
    sleeper = shell.write_sleeper()
    running = shell.start("run", sleeper, PINS, "--json", "--junit", "report.xml")
    await_line(running, "step work (workflow) started")
    running.send_signal(signal.SIGINT)
    told, _ = running.communicate(timeout=TIMEOUT)
    assert running.returncode == 130
    assert json.loads(told)["status"] == "cancelled"
    found = suites(shell.home / "report.xml")
    assert cases(found[sleeper])["work"] == ["failure"]
    assert cases(found[PINS]) == {"run": ["skipped"]}
