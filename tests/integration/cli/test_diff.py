"""``diff``: at a server, without one, and of files; what it prints, and its exit codes."""

from __future__ import annotations

import json
import os
import pty
import subprocess
from pathlib import Path

import pytest
from aiohttp.test_utils import unused_port

from .serving import ask, serving
from .shell import TIMEOUT, Shell

REF = "intra-org/trust-gate@1.0.0"
UNKNOWN = "00000000-0000-4000-8000-000000000000"
SAME = "The same happened in both runs.\n"


@pytest.fixture
def nowhere(shell: Shell) -> dict[str, str]:
    return {"PORT": str(unused_port())}


def ran(shell: Shell, *args: str) -> str:
    return str(json.loads(shell("run", REF, *args, "--json").stdout)["run_id"])


def changed(shell: Shell, run_id: str, old: str, new: str, env: dict[str, str]) -> Path:
    """A file with the events of a run in which something is changed."""
    text = shell("events", run_id, "--json", env=env).stdout
    assert old in text
    file = shell.home / "changed.jsonl"
    file.write_text(text.replace(old, new), encoding="utf-8")
    return file


def test_a_server_is_asked_and_two_runs_are_equal(shell: Shell) -> None:
    with serving(shell) as (_, url):
        ids = []
        for _ in range(2):
            ids.append(json.loads(ask(f"{url}/runs", {"scenario_ref": REF}))["run_id"])
            ask(f"{url}/runs/{ids[-1]}/events")
        told = shell("diff", *ids, "--server", url)
        assert (told.returncode, told.stdout, told.stderr) == (0, SAME, "")
        printed = json.loads(shell("diff", *ids, "--json", "--server", url).stdout)
        answered = json.loads(ask(f"{url}/runs/{ids[0]}/diff/{ids[1]}"))
        assert {name: printed[name] for name in printed if name not in "ab"} == {
            name: answered[name] for name in answered if name not in "ab"
        }
        assert printed["a"].items() - {"template": None}.items() <= answered["a"].items()
        for args in ((ids[0], UNKNOWN), (UNKNOWN, ids[0])):
            refused = shell("diff", *args, "--server", url)
            assert (refused.returncode, refused.stdout) == (2, "")
            assert UNKNOWN in refused.stderr
    gone = shell("diff", *ids, "--server", url)
    assert (gone.returncode, gone.stdout) == (1, "")


def test_without_a_server_this_machines_runs_are_compared(shell: Shell, nowhere: dict[str, str]) -> None:
    one, other, another = ran(shell), ran(shell), ran(shell, "--input", "topic=doubt")
    told = shell("diff", one, other, env=nowhere)
    assert (told.returncode, told.stdout) == (0, SAME)
    assert "no playground is at" in told.stderr
    told = shell("diff", one, another, env=nowhere)
    assert told.returncode == 1
    assert told.stdout.startswith(f"--- {one}\n    {REF}: success, proven\n+++ {another}\n")
    assert '\nrun\n  inputs.topic\n    - "AI agent collaboration"\n    + "doubt"\n' in told.stdout
    assert "\nstep research\n  output\n" in told.stdout
    unknown = shell("diff", one, UNKNOWN, env=nowhere)
    assert (unknown.returncode, unknown.stdout) == (2, "")


def test_a_file_of_events_stands_for_a_run(shell: Shell, nowhere: dict[str, str]) -> None:
    one, other = ran(shell), ran(shell)
    file = changed(shell, one, "tct_missing", "tct_expired", nowhere)
    told = shell("diff", other, str(file), env=nowhere)
    assert told.returncode == 1
    assert told.stdout.partition("\n\n")[2] == (
        "step probe_no_tct\n"
        "  writer\n"
        "    ~ capability.denied (seq 9)\n"
        "        payload.code\n"
        '          - "tct_missing"\n'
        '          + "tct_expired"\n'
    )
    document = json.loads(shell("diff", other, str(file), "--json", env=nowhere).stdout)
    (step,) = document["steps"]
    assert step["events"][0]["fields"] == [{"path": "payload.code", "a": "tct_missing", "b": "tct_expired"}]
    assert document["b"]["file"] == str(file)
    # Nobody is asked about files.
    alone = shell("diff", str(file), str(file), env=nowhere)
    assert (alone.returncode, alone.stdout, alone.stderr) == (0, SAME, "")


def test_what_cannot_be_compared_is_wrong_usage(shell: Shell, nowhere: dict[str, str]) -> None:
    one = ran(shell)
    events = shell("events", one, "--json", env=nowhere).stdout
    broken, empty, two = (shell.home / name for name in ("broken.jsonl", "empty.jsonl", "two.jsonl"))
    broken.write_text("[]\n")
    empty.write_text("\n")
    two.write_text(events + events.replace(one, UNKNOWN))
    for file, why in ((broken, "line 1 is no event of a run"), (empty, "no events of a run"), (two, "of another run")):
        refused = shell("diff", one, str(file), env=nowhere)
        assert (refused.returncode, refused.stdout) == (2, ""), file
        assert why in refused.stderr
    neither = shell("diff", one, "nothing-of-the-kind", env=nowhere)
    assert (neither.returncode, neither.stdout) == (2, "")
    assert "neither the id of a run" in neither.stderr


def test_a_run_that_goes_on_is_not_compared(shell: Shell) -> None:
    ref = shell.write_sleeper()
    with serving(shell) as (_, url):
        run_id = json.loads(ask(f"{url}/runs", {"scenario_ref": ref}))["run_id"]
        refused = shell("diff", run_id, run_id, "--server", url)
        assert (refused.returncode, refused.stdout) == (2, "")
        assert "when they are over" in refused.stderr
        ask(f"{url}/runs/{run_id}/cancel", {})


@pytest.mark.parametrize(("term", "colour"), [("xterm-256color", True), ("dumb", False)])
def test_colours_are_for_terminals_that_have_them_and_lines_for_their_width(
    shell: Shell, nowhere: dict[str, str], term: str, colour: bool
) -> None:
    one = ran(shell)
    file = changed(shell, one, "the call carries no TCT", "it is " + "long, " * 30 + "indeed", nowhere)
    ours, theirs = pty.openpty()
    process = subprocess.Popen(
        shell.argv("diff", one, file.name),
        cwd=shell.home,
        env=shell.environment(TERM=term, COLUMNS="80", **nowhere),
        stdin=subprocess.DEVNULL,
        stdout=theirs,
        stderr=subprocess.DEVNULL,
    )
    os.close(theirs)
    shown = b""
    while True:
        try:
            part = os.read(ours, 65536)
        except OSError:  # the terminal's other end is closed
            break
        if not part:
            break
        shown += part
    os.close(ours)
    assert process.wait(TIMEOUT) == 1
    assert (b"\x1b[31m" in shown) is colour
    assert (b"\x1b" in shown) is colour
    if not colour:
        assert max(len(line) for line in shown.decode().splitlines()) <= 80
