"""What bash and zsh complete."""

from __future__ import annotations

import json
import os
import pty
import select
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from .shell import TIMEOUT, Shell

REF = "intra-org/trust-gate@1.0.0"


def completed(shell: Shell, words: str, kind: str = "bash") -> list[str]:
    """What is offered for the last word of a line that is not finished."""
    script = {"_AITP_PLAYGROUND_COMPLETE": f"{kind}_complete", "COMP_WORDS": words, "COMP_CWORD": str(words.count(" "))}
    answer = subprocess.run(
        ["aitp-playground"],
        executable=shutil.which("aitp-playground", path=f"{shell.argv()[0].rpartition('/')[0]}"),
        env=shell.environment(**script),
        cwd=shell.home,
        capture_output=True,
        text=True,
        timeout=TIMEOUT,
        check=False,
    )
    assert answer.stderr == ""
    return answer.stdout.split("\n")[:-1] if answer.stdout.strip() else []


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ("aitp-playground nar", {"plain,narrate"}),
        ("aitp-playground run intra-org/trust", {f"plain,{REF}"}),
        (
            "aitp-playground show cross-",
            {"plain,cross-cloud/distributed-review@1.0.0", "plain,cross-org/federated-analysis@1.0.0"},
        ),
        ("aitp-playground run intra-org/research-and-write@1.0.0 --template re", {"plain,revoking"}),
        ("aitp-playground runs --status f", {"plain,failed"}),
        ("aitp-playground tail --lev", {"plain,--level"}),
        ("aitp-playground events 3", set()),
    ],
)
def test_bash_completes(shell: Shell, words: str, expected: set[str]) -> None:
    assert set(completed(shell, words)) == expected


def test_the_runs_of_this_machine_are_completed_and_the_newest_stands_first(shell: Shell) -> None:
    ids = [json.loads(shell("run", REF, "--json").stdout)["run_id"] for _ in range(2)]
    listed = [f"plain,{run_id}" for run_id in reversed(ids)]
    for command in ("events", "narrate", "cancel"):
        assert completed(shell, f"aitp-playground {command} ") == listed
    for command in ("diff", "tail"):
        assert completed(shell, f"aitp-playground {command} ") == [*listed, "file,"]
    assert completed(shell, f"aitp-playground events {ids[0][:8]}") == [f"plain,{ids[0]}"]
    assert completed(shell, f"aitp-playground diff {ids[1]} {ids[0][:8]}")[:1] == [f"plain,{ids[0]}"]
    shown = completed(shell, f"aitp-playground events {ids[0][:8]}", "zsh")
    assert shown[:3] == ["plain", ids[0], f"success {REF}"]


def test_what_the_shell_is_given_is_a_script_that_it_takes(shell: Shell) -> None:
    for kind in ("bash", "zsh"):
        if (there := shutil.which(kind)) is None:
            continue
        line = f'eval "$(_AITP_PLAYGROUND_COMPLETE={kind}_source {shell.argv()[0].rpartition("/")[0]}/aitp-playground)"'
        answer = subprocess.run(
            [there, "-c", line], env=shell.environment(), capture_output=True, text=True, timeout=TIMEOUT, check=False
        )
        assert (answer.returncode, answer.stderr) == (0, "")


def test_a_database_that_is_none_completes_nothing_and_says_nothing(shell: Shell) -> None:
    (shell.home / "state").mkdir()
    (shell.home / "state/runs.db").write_text("no database")
    assert completed(shell, "aitp-playground events ") == []


class Typed:
    """A bash at a terminal, in which completion is set up as the page says."""

    def __init__(self, shell: Shell) -> None:
        self._terminal, theirs = pty.openpty()
        commands = Path(shell.argv()[0]).parent
        path = f"{commands}:{os.environ['PATH']}"
        self._bash = subprocess.Popen(
            ["bash", "--norc", "--noprofile", "-i"],
            env=shell.environment(PATH=path, TERM="dumb", PS1="ready> ", HISTFILE=""),
            cwd=shell.home,
            stdin=theirs,
            stdout=theirs,
            stderr=theirs,
            start_new_session=True,
        )
        os.close(theirs)
        self.until("ready> ")
        self.type('eval "$(_AITP_PLAYGROUND_COMPLETE=bash_source aitp-playground)"; echo done-$?\n')
        self.until("done-0", "ready> ")
        # How a line is repainted is readline's affair: a key of ours says what it holds.
        self.type('bind -x \'"\\C-xp": echo "<$READLINE_LINE>"\'; echo done-$?\n')
        self.until("done-0", "ready> ")

    def type(self, text: str) -> None:
        os.write(self._terminal, text.encode())

    def until(self, *parts: str) -> str:
        """What is shown, up to where all of these have come one after another."""
        shown, at = "", 0
        for part in parts:
            while (found := shown.find(part, at)) < 0:
                ready, _, _ = select.select([self._terminal], [], [], TIMEOUT)
                assert ready, f"no {part!r} in {shown!r}"
                shown += os.read(self._terminal, 65536).decode()
            at = found + len(part)
        return shown

    def close(self) -> None:
        self._bash.kill()
        self._bash.wait()
        os.close(self._terminal)


@pytest.fixture
def typed(shell: Shell) -> Iterator[Typed]:
    bash = Typed(shell)
    yield bash
    bash.close()


@pytest.mark.parametrize(
    ("line", "completed"),
    [
        ("run intra-org/trust-ga", f"run {REF}"),
        ("run intra-org/trust-gate@", f"run {REF}"),
        ("run intra-org/trust-gate@1.", f"run {REF}"),
        ("run intra-org/research-and-write@1.0.0 -t rev", "-t revoking"),
        ("run intra-org/research-and-write@1.0.0 --template=rev", "--template=revoking"),
        ("run x --inputs @inp", "--inputs @inputs.json"),
        ("inspect inp", "inspect inputs.json"),
        ("diff inp", "diff inputs.json"),
        ("tail inp", "tail inputs.json"),
    ],
)
def test_what_is_typed_is_completed_at_a_terminal(shell: Shell, typed: Typed, line: str, completed: str) -> None:
    (shell.home / "inputs.json").write_text("{}")
    typed.type(f"aitp-playground {line}\t\x18p")
    assert f"{completed} >" in typed.until("<aitp-playground", ">")


def test_several_are_listed_behind_the_sign(typed: Typed) -> None:
    typed.type("aitp-playground run intra-org/research-and-write@1.\t\t")
    typed.until("1.0.0", "1.1.0")
