"""The command as its users call it: a process of its own, with an environment that nothing of theirs leaks into."""

from __future__ import annotations

import json
import os
import select
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

TIMEOUT = 300.0

SCENARIO = """\
apiVersion: aitp.dev/v1
kind: ScenarioVersion
metadata: {pack: local, scenario: SCENARIO, version: 1.0.0, name: A test}
spec:
  inputs:
    schema:
      type: object
      properties:
        count: {type: integer, default: 1}
        deep: {type: boolean, default: false}
        words: {type: array, default: []}
        topic: {type: string, default: trust}
  agents:
    - {id: worker, ref: _shared/agents/AGENT}
  trust: {eager: false}
  workflow:
    steps:
      - id: work
        agent: worker
        capability: CAPABILITY
        expect: EXPECT
"""

SLEEPER = """\
apiVersion: aitp.dev/v1
kind: AgentManifest
metadata: {id: sleeper, name: Sleeper, framework: custom, version: 1.0.0}
spec:
  entrypoint: {type: python_module, value: sleeper.main}
  aitp: {offered_caps: [sleep.long], display_name: Sleeper}
"""

SLEEPER_CODE = """\
import asyncio
from base.worker import Worker

worker = Worker()


@worker.capability("sleep.long")
async def sleep(task):
    await asyncio.sleep(600)
    return {}


if __name__ == "__main__":
    worker.run()
"""


class Shell:
    """Runs the command below ``home``: its own state, its own ``scenarios``."""

    def __init__(self, home: Path) -> None:
        self.home = home
        self.scenarios = home / "scenarios"

    def environment(self, **extra: str) -> dict[str, str]:
        inherited = {name: os.environ[name] for name in ("PATH", "LANG", "TMPDIR") if name in os.environ}
        return inherited | {"HOME": str(self.home), "STATE_DIR": str(self.home / "state")} | extra

    def __call__(self, *args: str, env: Mapping[str, str] | None = None) -> subprocess.CompletedProcess[str]:
        """Run it to its end."""
        return subprocess.run(
            self.argv(*args),
            cwd=self.home,
            env=self.environment(**(env or {})),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=TIMEOUT,
            check=False,
        )

    def start(self, *args: str, **env: str) -> subprocess.Popen[str]:
        """Start it; whoever does so ends it and reads its pipes."""
        return subprocess.Popen(
            self.argv(*args),
            cwd=self.home,
            env=self.environment(**env),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    @staticmethod
    def argv(*args: str) -> list[str]:
        return [sys.executable, "-m", "aitp_playground", *args]

    def document(self, *args: str, env: Mapping[str, str] | None = None) -> Any:
        """What it prints as JSON, however it ends."""
        return json.loads(self(*args, env=env).stdout)

    def write_scenario(
        self, name: str, *, agent: str = "researcher", capability: str = "research.query", expect: str = "[]"
    ) -> str:
        """A one-step scenario of the pack ``local``; its ref."""
        text = SCENARIO.replace("SCENARIO", name).replace("AGENT", agent).replace("CAPABILITY", capability)
        file = self.scenarios / "local" / name / "1.0.0" / "scenario.yaml"
        file.parent.mkdir(parents=True)
        file.write_text(text.replace("EXPECT", expect), encoding="utf-8")
        return f"local/{name}@1.0.0"

    def write_sleeper(self, code_text: str = SLEEPER_CODE, *, host: str = "", expect: str = "[]") -> str:
        """A scenario whose only step never ends by itself; its ref. ``host``: the manifest's, as YAML."""
        manifest = self.scenarios / "_shared/agents/sleeper.yaml"
        code = self.home / "agents/sleeper/main.py"
        for file, text in ((manifest, SLEEPER + (f"  host: {host}\n" if host else "")), (code, code_text)):
            file.parent.mkdir(parents=True)
            file.write_text(text, encoding="utf-8")
        (code.parent / "__init__.py").touch()
        return self.write_scenario("sleep", agent="sleeper", capability="sleep.long", expect=expect)


def descendants(pid: int) -> set[int]:
    """The processes that ``pid`` started, and those that they did."""
    parents = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                stat = (entry / "stat").read_text()
            except OSError:
                continue
            parents[int(entry.name)] = int(stat.rpartition(")")[2].split()[1])
    found = {pid}
    while more := {child for child, parent in parents.items() if parent in found} - found:
        found |= more
    return found - {pid}


def alive(pids: set[int]) -> set[int]:
    """Those of ``pids`` that still run; a zombie that its new parent has yet to reap does not."""
    return {pid for pid in pids if _state(pid) not in {"", "Z", "X"}}


def _state(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return ""


def await_line(running: subprocess.Popen[str], said: str) -> None:
    """Read its standard error up to a line that holds ``said``."""
    assert running.stderr is not None
    while said not in (line := running.stderr.readline()):
        assert line, f"it ended without saying {said!r}"


def await_end(pid: int) -> None:
    """Wait for the end of a process that is not ours."""
    try:
        descriptor = os.pidfd_open(pid)
    except ProcessLookupError:
        return
    try:
        ended, _, _ = select.select([descriptor], [], [], TIMEOUT)
        assert ended or not alive({pid})
    finally:
        os.close(descriptor)
