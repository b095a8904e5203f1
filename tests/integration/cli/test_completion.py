"""What bash and zsh complete."""

from __future__ import annotations

import json
import shutil
import subprocess

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
    for command in ("events", "narrate", "diff", "cancel", "tail"):
        assert completed(shell, f"aitp-playground {command} ") == [f"plain,{run_id}" for run_id in reversed(ids)]
    assert completed(shell, f"aitp-playground events {ids[0][:8]}") == [f"plain,{ids[0]}"]
    assert completed(shell, f"aitp-playground diff {ids[1]} {ids[0][:8]}") == [f"plain,{ids[0]}"]
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
