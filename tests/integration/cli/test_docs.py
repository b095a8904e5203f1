"""The commands that the pages show do what they are shown for."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest

from .shell import Shell

DOCS = Path(__file__).resolve().parents[3] / "docs"
_COMMAND = re.compile(
    r"^    (?:\.venv/bin/)?(aitp-playground (?!serve|COMMAND|control-plane|agent)[^|>\n]*)$", re.MULTILINE
)


def commands(page: str) -> list[str]:
    return [line.strip() for line in _COMMAND.findall((DOCS / page).read_text()) if "[OPTIONS]" not in line]


@pytest.mark.parametrize("command", commands("getting-started.md"))
def test_a_command_of_the_first_half_hour_works(shell: Shell, command: str) -> None:
    done = shell(*shlex.split(command)[1:])
    assert done.returncode == 0, done.stderr


def test_there_are_commands_to_try() -> None:
    assert len(commands("getting-started.md")) >= 3
