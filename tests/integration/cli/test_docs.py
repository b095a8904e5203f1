"""The commands that the pages show do what they are shown for, on the files that the pages show."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from .shell import TIMEOUT, Shell
from .test_agent import ControlPlane, agent, control_plane

__all__ = ["control_plane"]

DOCS = Path(__file__).resolve().parents[3] / "docs"
_COMMAND = re.compile(
    r"^    (?:\.venv/bin/)?(aitp-playground (?!serve|COMMAND|control-plane|agent)[^|>\n]*)$", re.MULTILINE
)
_FILE = re.compile(r"```(?:yaml|python)\n# ((?:scenarios|agents)/\S+)\n(.*?)```", re.DOTALL)


def part(page: str, title: str = "") -> str:
    """A page, or one section of it."""
    text = (DOCS / page).read_text()
    return text.partition(f"\n## {title}\n")[2].partition("\n## ")[0] if title else text


def commands(page: str, title: str = "") -> list[str]:
    found = [line.partition("#")[0].strip() for line in _COMMAND.findall(part(page, title))]
    return [line for line in found if "[OPTIONS]" not in line]


def lay_out(page: str, home: Path) -> None:
    """The files that a page shows, where it says."""
    for name, text in _FILE.findall(part(page)):
        path = home / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        if name.startswith("agents/"):
            (path.parent / "__init__.py").touch()


def run(shell: Shell, command: str, **env: str) -> subprocess.CompletedProcess[str]:
    return shell(*shlex.split(command)[1:], env=env)


@pytest.mark.parametrize("command", commands("getting-started.md"))
def test_a_command_of_the_first_half_hour_works(shell: Shell, command: str) -> None:
    done = run(shell, command)
    assert done.returncode == 0, done.stderr


def test_there_are_commands_to_try() -> None:
    assert len(commands("getting-started.md")) >= 4


def test_a_new_scenario_runs_where_the_page_puts_it(shell: Shell) -> None:
    (made,) = [command for command in commands("getting-started.md") if " new " in command]
    (given,) = re.findall(
        r"^    SCENARIOS_DIR=(\S+) (aitp-playground run .*)$", part("getting-started.md"), re.MULTILINE
    )
    assert run(shell, made).returncode == 0
    done = run(shell, given[1], SCENARIOS_DIR=given[0])
    assert done.returncode == 0, done.stderr


def test_an_agent_of_ones_own_works_with_the_files_of_the_page(shell: Shell) -> None:
    lay_out("agents.md", shell.home)
    shown = commands("agents.md", "Writing a worker")
    assert len(shown) == 2
    for command in shown:
        done = run(shell, command)
        assert done.returncode == 0, done.stdout + done.stderr
    assert "proven" in done.stdout


def test_a_worker_that_hides_a_name_of_the_sdk_from_itself_leaves_a_run_unproven(shell: Shell) -> None:
    lay_out("aitp-integration.md", shell.home)
    assert shell("lint", "--strict", "scenarios").returncode == 0
    (command,) = commands("aitp-integration.md", "An SDK that lacks something")
    done = run(shell, command)
    assert (done.returncode, "run success, unproven" in done.stdout) == (0, True), done.stdout
    assert "feature not available" in done.stdout
    assert "no tct_cache (TctStore)" in done.stdout


def test_the_scenario_of_the_page_fails_where_the_page_says(shell: Shell) -> None:
    lay_out("scenarios.md", shell.home)
    wrong = run(shell, "aitp-playground run my-pack/knock@1.0.0")
    assert wrong.returncode == 1
    assert "step enter failed: expected $.topic equals" in wrong.stdout
    (control,) = [line for line in commands("scenarios.md", "Proof and control") if " --template " in line]
    done = run(shell, control)
    assert done.returncode == 1
    assert "step knock failed" in done.stdout
    assert run(shell, "aitp-playground run my-pack/knock@1.0.0 --template open-house").returncode == 0


def test_a_scenario_from_an_empty_directory_is_proven(shell: Shell) -> None:
    made, run_it = commands("scenarios.md", "From an empty directory")
    assert run(shell, made).returncode == 0
    assert run(shell, run_it).returncode == 0
    (schema,) = [line for line in commands("scenarios.md", "In an editor") if " --output " in line]
    assert run(shell, schema).returncode == 0
    assert run(shell, "aitp-playground lint --strict scenarios").returncode == 0, "the schema is passed over"
    line = re.findall(r"^# yaml-language-server: \$schema=(\S+)$", part("scenarios.md"), re.MULTILINE)
    assert (shell.scenarios / "my-pack/first-contact/1.0.0" / line[0]).resolve().is_file()


def test_a_claim_that_needs_a_control_plane_is_proven_with_one(shell: Shell) -> None:
    lay_out("scenarios.md", shell.home)
    with_one, without = [line for line in commands("scenarios.md", "Proof and control") if "@1.1.0" in line]
    done = run(shell, with_one)
    assert done.returncode == 0, done.stdout
    done = run(shell, without)
    assert (done.returncode, "run success, unproven" in done.stdout) == (0, True), done.stdout
    assert run(shell, f"{without} --require-proof").returncode == 3


def test_without_its_wrong_check_the_scenario_of_the_page_is_proven(shell: Shell) -> None:
    lay_out("scenarios.md", shell.home)
    path = shell.home / "scenarios/my-pack/knock/1.0.0/scenario.yaml"
    text, checks = re.subn(r" +- path: \$\.topic\n +equals: .*\n +x-note: .*\n", "", path.read_text())
    assert checks == 1
    path.write_text(text)
    done = run(shell, "aitp-playground run my-pack/knock@1.0.0 --require-proof")
    assert done.returncode == 0, done.stdout


def test_the_shipped_packs_stay_with_the_directories_that_the_page_sets(shell: Shell) -> None:
    page = part("scenarios.md")
    (value,) = re.findall(r"^    SCENARIOS_DIR=\"my-scenarios:\$\(\.venv/bin/python -c '(.*)'\)\"$", page, re.MULTILINE)
    shipped = subprocess.run([sys.executable, "-c", value], capture_output=True, text=True, check=True, timeout=TIMEOUT)
    run(shell, "aitp-playground new demo/first-contact --dir my-scenarios")
    done = run(shell, "aitp-playground list", SCENARIOS_DIR=f"my-scenarios{os.pathsep}{shipped.stdout.strip()}")
    assert "demo/first-contact@1.0.0" in done.stdout
    assert "intra-org/trust-gate@1.0.0" in done.stdout


def test_an_agent_of_another_playground_is_found_as_the_page_says(shell: Shell, control_plane: ControlPlane) -> None:
    text = part("control-plane.md", "Discovery")
    (started,) = set(re.findall(r"^    aitp-playground agent (.*)$", text, re.MULTILINE))
    (asked,) = commands("control-plane.md", "Discovery")
    with agent(shell, *shlex.split(started), **control_plane.env) as found:
        done = run(shell, asked, **control_plane.env)
        assert done.returncode == 0, done.stdout + done.stderr
        assert "analyzer (cp_registry)" in done.stdout
        found.end()
    done = run(shell, asked, **control_plane.env)
    assert done.returncode == 3, "the registry has nobody, and that is told"
