"""Every command that README.md and the pages show is run by a test, or there is a reason why not."""

from __future__ import annotations

import contextlib
import hashlib
import os
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.shown_commands import PAGES, ROOT, blocks, commands

from .serving import serving
from .shell import TIMEOUT, Shell

_DOCS = "tests/integration/cli/test_docs.py"
#: Run by another test: what the command looks like, and the test.
ELSEWHERE = {
    r"aitp-playground [\w-]+ \[OPTIONS\].*": (
        "tests/unit/test_docs_pages.py",
        "test_every_command_is_on_the_page_with_its_arguments_and_options",
    ),
    r"aitp-playground (lint --strict scenarios|run hello/greet@1\.0\.0 .*)": (
        _DOCS,
        "test_an_agent_of_ones_own_works_with_the_files_of_the_page",
    ),
    r"aitp-playground run my-pack/knock@1\.0\.0 .*": (_DOCS, "test_the_scenario_of_the_page_fails_where_the_page_says"),
    r"aitp-playground run my-pack/knock@1\.1\.0.*": (
        _DOCS,
        "test_a_claim_that_needs_a_control_plane_is_proven_with_one",
    ),
    r"aitp-playground run old/no-cache@1\.0\.0": (
        _DOCS,
        "test_a_worker_that_hides_a_name_of_the_sdk_from_itself_leaves_a_run_unproven",
    ),
    r"aitp-playground (new my-pack/first-contact|run my-pack/first-contact@.*|schema --output .*)": (
        _DOCS,
        "test_a_scenario_from_an_empty_directory_is_proven",
    ),
    r'SCENARIOS_DIR="my-scenarios:\$\(.*': (
        _DOCS,
        "test_the_shipped_packs_stay_with_the_directories_that_the_page_sets",
    ),
    r"aitp-playground agent analyzer --accept any-verified( --port 8200)?|python3 foreign\.py .*": (
        "tests/integration/cli/test_foreign_agents.py",
        "test_the_script_of_the_page_shakes_hands_with_a_lone_agent_and_calls_it",
    ),
    r"aitp-playground serve 2>&1 >/dev/null \| aitp-playground tail - .*": (
        "tests/integration/cli/test_tail.py",
        "test_a_log_is_read_from_standard_input_as_it_comes",
    ),
    r'eval "\$\(_AITP_PLAYGROUND_COMPLETE=bash_source aitp-playground\)"': (
        "tests/integration/cli/test_completion.py",
        "test_what_the_shell_is_given_is_a_script_that_it_takes",
    ),
    r"\(umask 077; python3 -c \"import sqlite3; .*|install -m 0600 state/identity\.secret .*": (
        "tests/integration/cli/test_operations.py",
        "test_a_copy_that_was_made_of_a_server_at_work_is_one_to_go_on_from",
    ),
    r"aitp-playground doctor": (
        "tests/integration/cli/test_doctor.py",
        "test_where_all_is_well_it_says_so_and_runs_two_agents",
    ),
    r"promtool (check config|test rules) .*": (
        "tests/unit/test_monitoring.py",
        "test_promtool_does_what_the_page_shows",
    ),
    r"aitp-playground tail --follow": (
        "tests/integration/cli/test_tail.py",
        "test_killed_and_started_again_the_server_costs_no_event_and_none_is_told_twice",
    ),
    r"OTEL_EXPORTER_OTLP_ENDPOINT=\S+ aitp-playground serve": (
        "tests/integration/test_tracing.py",
        "test_spans_are_nested_as_the_calls_were_across_processes",
    ),
    r"(aitp-playground openapi --output|openapi-python-client generate) .*": (
        "tests/integration/api/test_generated_client.py",
        "test_it_starts_a_run_and_reads_its_events_to_the_last",
    ),
    r"(\.venv/bin/python -m build|python3 -m venv|/opt/aitp-playground/bin/).*": (
        "tests/integration/test_wheel.py",
        "test_the_wheel_is_installed_as_the_page_says",
    ),
}
NOT_RUN = {
    r"make test": "this is one of the tests",
    r"make requirements": "it runs tests that are run anyway, and writes to the checkout",
    r"pip install 'aitp-playground\[otel\]'": "the tests have it already, and a wheel is tested with its own lock",
    r"make \.venv/\.dev": "what runs the tests was made so",
    r"\. \.venv/bin/activate": "the tests put .venv/bin before the commands, as the line says",
    r"(docker|cd deploy|export CONTROL_PLANE_IMAGE=|curl .*sudo cat).*": "needs a container engine",
    r"(sudo chown|install -m 0644|systemctl).*": "needs root and changes the machine",
}
#: Shown in the same form, and no command: what a run prints, an event, a file.
NO_COMMAND = r"\+0\.\d+s  .*|…|run success, .*|\{?\"\w+\": .*|# \.env|(CP_BASE_URL|CP_AID|SECRETS_DIR)=\S+"

#: Whole paragraphs, each one shell's.
SCRIPTS = [
    *[[line] for line in commands("README.md", "A tour")[1:7]],
    *[[line] for line in commands("docs/getting-started.md") if line.startswith(".venv/bin/aitp-playground ")],
    *[[line] for line in commands("docs/control-plane.md") if line.endswith("-via-cp@1.0.0 --with-control-plane")],
    *[block for page in ("README.md", "docs/getting-started.md") for block in blocks(page) if " new " in block[0]],
    next(block for block in blocks("docs/cli.md", "diff") if block[0].startswith("ONE=")),
    [line for line in commands("docs/docker.md") if line.startswith(("mkdir ", "python3 -c "))],
]
SERVER = next(block for block in blocks("README.md") if block[0].startswith("RUN="))
MAKE = sorted({line for page in PAGES for line in commands(page) if line.startswith("make run")})
THREE = [block for block in blocks("docs/control-plane.md", "Discovery") if block[0].startswith("export ")]
ALONE = [line for line in commands("docs/control-plane-dev.md") if "OPTIONS" not in line]
LOGGING = commands("docs/logging.md")
AGENT = commands("docs/control-plane.md", "Discovery")[0]
HERE = [line for block in (*SCRIPTS, SERVER, *THREE, ALONE, LOGGING, MAKE, [AGENT]) for line in block]
SERVE = ["aitp-playground serve", "aitp-playground serve --with-control-plane", "make serve", LOGGING[0]]
HERE += SERVE


def test_every_command_is_run_or_there_is_a_reason() -> None:
    forms = [*ELSEWHERE, *NOT_RUN, NO_COMMAND]
    shown = {line for page in PAGES for line in commands(page)}
    assert (
        sorted(line for line in shown if line not in HERE and not any(re.fullmatch(form, line) for form in forms)) == []
    )
    assert [form for form in forms if not any(re.fullmatch(form, line) for line in shown)] == [], "no longer shown"


@pytest.mark.parametrize("place", sorted(set(ELSEWHERE.values())))
def test_what_is_run_elsewhere_is(place: tuple[str, str]) -> None:
    file, name = place
    assert f"def {name}(" in (ROOT / file).read_text()


class Bash:
    """Runs what a page shows, with the project's programs first on the path."""

    def __init__(self, shell: Shell) -> None:
        self.shell = shell
        self.programs = Path(sys.executable).parent

    def environment(self, **extra: str) -> dict[str, str]:
        env = self.shell.environment(**extra)
        return env | {"PATH": f"{self.programs}{os.pathsep}{env['PATH']}"}

    def argv(self, lines: list[str]) -> list[str]:
        script = "\n".join(["set -eo pipefail", *lines]).replace(".venv/bin/", "")
        for tool in ("bash", "jq", "curl"):
            if not shutil.which(tool) and (tool == "bash" or f"{tool} " in script):
                pytest.skip(f"{tool} is not installed")
        return ["bash", "-c", script]

    def __call__(self, lines: list[str], cwd: Path | None = None, **env: str) -> str:
        """Run it to its end; what it printed."""
        done = subprocess.run(
            self.argv(lines),
            cwd=cwd or self.shell.home,
            env=self.environment(**env),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=TIMEOUT,
            check=False,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    @contextlib.contextmanager
    def started(self, lines: list[str], cwd: Path | None = None, **env: str) -> Iterator[subprocess.Popen[str]]:
        """Run it until the block is over, then end all of it as Ctrl-C does not: with SIGTERM."""
        process = subprocess.Popen(
            self.argv(lines),
            cwd=cwd or self.shell.home,
            env=self.environment(**env),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )
        try:
            yield process
        finally:
            os.killpg(process.pid, signal.SIGTERM)
            process.communicate(timeout=TIMEOUT)


@pytest.fixture
def bash(shell: Shell) -> Bash:
    return Bash(shell)


def line_of(process: subprocess.Popen[str]) -> str:
    assert process.stdout is not None
    return process.stdout.readline().strip()


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda script: script[-1][:60])
def test_a_shown_script_works(bash: Bash, script: list[str]) -> None:
    assert script
    bash(script)


def test_the_server_of_the_tour_is_asked_as_shown(bash: Bash) -> None:
    with serving(bash.shell) as (_, url):
        told = bash([line.replace("localhost:8000", url.removeprefix("http://")) for line in SERVER])
    assert 'data: {"type":"stream.end"}' in told
    assert "run success, proven" in told


def make(bash: Bash, line: str) -> list[str]:
    """With the environment that runs the tests, which is taken as installed."""
    installed = f"VENV={sys.prefix} -o {sys.prefix}/.run"
    return [line.replace("make", f"make {installed}", 1)]


@pytest.mark.parametrize("line", MAKE)
def test_make_runs_a_scenario(bash: Bash, line: str) -> None:
    assert "run success, proven" in bash(make(bash, line), cwd=ROOT)


@pytest.mark.parametrize("line", SERVE)
def test_a_server_starts(bash: Bash, line: str) -> None:
    started = make(bash, line) if line.startswith("make") else [line]
    with bash.started(started, cwd=ROOT, PORT="0") as server:
        while " listens on http://" not in (line := line_of(server)):
            assert line, "it ended early"


def test_the_mark_of_a_key_is_made_as_shown(bash: Bash) -> None:
    assert LOGGING[1:] == [LOGGING[-1]]
    assert bash([LOGGING[1]], KEY="a key").strip() == hashlib.sha256(b"a key").hexdigest()[:8]


def test_the_development_control_plane_is_started_and_asked_as_shown(bash: Bash) -> None:
    start, switch, suite = ALONE
    with bash.started([start.replace("4000", "0")], CP_API_KEY="change-me") as plane:
        line_of(plane)
        env = {"CP_BASE_URL": line_of(plane).partition("=")[2], "CP_API_KEY": "change-me"}
        assert '"status":503' in bash([switch], **env)
        bash(["curl -sf -X DELETE -H 'Authorization: Bearer change-me' $CP_BASE_URL/dev/switches"], **env)
        one = suite.replace("https://cp.example", env["CP_BASE_URL"]).replace("contract", "contract/test_health.py")
        bash([f"{one} -p no:cacheprovider"], cwd=ROOT, KEY="change-me")


def test_three_terminals_find_an_agent_of_another_playground(bash: Bash) -> None:
    plane_of, agent_of, run_of = THREE
    assert AGENT in agent_of
    with bash.started([line.replace("8090", "0") for line in plane_of]) as plane:
        port = line_of(plane).rpartition(":")[2]
        with bash.started([line.replace("8090", port) for line in agent_of]) as agent:
            assert line_of(agent).startswith("agent analyzer listens on ")
            told = bash([line.replace("8090", port) for line in run_of])
    assert "analyzer (cp_registry)" in told
