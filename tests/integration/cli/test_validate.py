"""``validate`` and ``lint`` never say "no errors" of what they have not looked at."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from aitp_playground import resources
from aitp_playground.cli.scenario_files.paths import places
from aitp_playground.errors import InvalidRequest

from .shell import Shell


def make(home: Path, what: str) -> None:
    path = home / "given"
    match what:
        case "empty":
            path.mkdir()
        case "directories only":
            (path / "pack/scenario/1.0.0").mkdir(parents=True)
        case "other files":
            path.mkdir()
            (path / "README.md").write_text("# nothing")
        case "file":
            path.write_text("no yaml")
        case "fifo":
            os.mkfifo(path)
        case "dangling link":
            path.symlink_to("nowhere")
        case "link to itself":
            path.symlink_to("given")
        case "yaml of somebody else's":
            path.mkdir()
            (path / "compose.yaml").write_text("services: {}")


KINDS = [
    "missing", "empty", "directories only", "other files", "file", "fifo", "dangling link", "link to itself",
    "yaml of somebody else's",
]  # fmt: skip


@pytest.mark.parametrize("command", ["validate", "lint"])
@pytest.mark.parametrize("what", KINDS)
@pytest.mark.parametrize("given", ["argument", "setting"])
def test_where_there_is_nothing_to_check_the_exit_code_is_2(shell: Shell, command: str, what: str, given: str) -> None:
    make(shell.home, what)
    args, env = (["given"], {}) if given == "argument" else ([], {"SCENARIOS_DIR": "given"})
    done = shell(command, *args, env=env)
    assert (done.returncode, done.stdout) == (2, ""), done.stderr
    assert "given" in done.stderr
    assert "no errors" not in done.stderr
    assert "nothing found" not in done.stderr
    assert "Traceback" not in done.stderr


def test_one_directory_of_several_that_is_not_there_is_enough(shell: Shell) -> None:
    shell.write_scenario("sound")
    done = shell("validate", env={"SCENARIOS_DIR": f"scenarios{os.pathsep}misspelt"})
    assert done.returncode == 2
    assert "misspelt" in done.stderr


def test_a_directory_that_cannot_be_read_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refused(path: str | os.PathLike[str]) -> None:  # a mode would not stop root, as whom some run their tests
        raise PermissionError(13, "Permission denied", os.fspath(path))

    monkeypatch.setattr(os, "scandir", refused)
    with pytest.raises(InvalidRequest, match="cannot be read: Permission denied"):
        places([tmp_path])


@pytest.mark.parametrize("command", [["validate"], ["lint", "--strict"]])
def test_the_shipped_packs_are_clean(shell: Shell, command: list[str]) -> None:
    done = shell(*command, str(resources.scenarios_dir()))
    assert (done.returncode, done.stdout) == (0, "")


@pytest.mark.parametrize("command", [["list"], ["show", "intra-org/trust-gate@1.0.0"], ["dry-run", "a/b@1"]])
def test_commands_that_need_scenarios_say_that_there_are_none(shell: Shell, command: list[str]) -> None:
    done = shell(*command, env={"SCENARIOS_DIR": "misspelt"})
    assert done.returncode == 2
    assert "SCENARIOS_DIR names misspelt, which is no directory" in done.stderr
