"""Which launcher an agent gets."""

from __future__ import annotations

import json
import socket
import sys
import venv
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from aitp_playground.config import Settings
from aitp_playground.errors import LaunchError
from aitp_playground.hosting.launcher import AgentLauncher, same_interpreter
from tests.integration.hosting.staging import scripted


@pytest.fixture
async def launcher(tmp_path: Path) -> AsyncIterator[AgentLauncher]:
    launcher = AgentLauncher.from_settings(Settings(state_dir=tmp_path, agent_pool_size=1))
    await launcher.start()
    yield launcher
    await launcher.close()


async def command_line(launcher: AgentLauncher, listener: socket.socket, **spec: Any) -> list[str]:
    process = await launcher.launch(scripted(listener, "report", spec=spec))
    await process.ready()
    facts = json.loads(process.output().splitlines()[0])
    await process.stop(30)
    return str(facts["cmdline"]).split("\0")


async def test_an_agent_without_wishes_is_forked(launcher: AgentLauncher, listener: socket.socket) -> None:
    assert "base.process.forkserver" in await command_line(launcher, listener)
    assert "base.process.forkserver" in await command_line(launcher, listener, python=sys.executable)


async def test_an_interpreter_of_its_own_is_executed(
    launcher: AgentLauncher, listener: socket.socket, tmp_path: Path
) -> None:
    own = tmp_path / "python"
    own.symlink_to(sys.executable)
    assert (await command_line(launcher, listener, python=str(own)))[:3] == [str(own), "-m", "base.process.entrypoint"]


@pytest.mark.parametrize("name", ["python", "python3", "python{0}.{1}"])
async def test_a_bare_python_is_this_one_whatever_the_path_says(
    launcher: AgentLauncher, listener: socket.socket, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.setenv("PATH", "/usr/bin:/bin")
    python = name.format(*sys.version_info)
    assert "base.process.forkserver" in await command_line(launcher, listener, python=python)


async def test_this_interpreter_by_another_path_is_this_one(
    launcher: AgentLauncher, listener: socket.socket, tmp_path: Path
) -> None:
    linked = tmp_path / "env"
    linked.symlink_to(Path(sys.executable).parent.parent)
    python = str(linked / "bin" / Path(sys.executable).name)
    assert "base.process.forkserver" in await command_line(launcher, listener, python=python)


def test_an_environment_is_not_the_interpreter_it_was_made_with() -> None:
    assert same_interpreter(sys.executable, sys.executable)
    if sys.prefix != sys.base_prefix:
        assert not same_interpreter(sys.executable, str(Path(sys.executable).resolve()))


async def test_an_interpreter_without_what_an_agent_needs_is_named_with_its_manifest_and_the_module(
    launcher: AgentLauncher, listener: socket.socket, tmp_path: Path
) -> None:
    venv.create(tmp_path / "bare", with_pip=False, symlinks=True)
    python = str(tmp_path / "bare" / "bin" / "python")
    spec = {"entrypoint_type": "python_module", "entrypoint": "researcher.main", "python": python}
    process = await launcher.launch(scripted(listener, "report", spec={**spec, "manifest": "_shared/agents/odd"}))
    with pytest.raises(LaunchError) as failure:
        await process.ready()
    for said in (f"interpreter {python}", "_shared/agents/odd", "has no module 'aiohttp'", "host.python"):
        assert said in failure.value.message


async def test_an_absolute_interpreter_that_does_not_exist_falls_back_to_the_default(
    launcher: AgentLauncher, listener: socket.socket
) -> None:
    assert "base.process.forkserver" in await command_line(launcher, listener, python="/nowhere/bin/python")


async def test_a_named_interpreter_that_is_not_on_the_path_is_a_launch_error(
    launcher: AgentLauncher, listener: socket.socket
) -> None:
    with pytest.raises(LaunchError, match="scripted was not started") as failure:
        await launcher.launch(scripted(listener, "report", spec={"python": "python-of-nowhere"}))
    assert failure.value.details["agent_id"] == "scripted"


@pytest.mark.parametrize("kind", ["nowhere", "directory", "text"])
async def test_an_interpreter_that_cannot_be_executed_is_told_with_the_manifest_that_asks_for_it(
    launcher: AgentLauncher, listener: socket.socket, tmp_path: Path, kind: str
) -> None:
    odd = tmp_path / "odd"
    if kind == "text":
        odd.write_text("no program")
        odd.chmod(0o755)
    python = "python-of-nowhere" if kind == "nowhere" else str(tmp_path if kind == "directory" else odd)
    with pytest.raises(LaunchError, match="scripted was not started") as failure:
        await launcher.launch(scripted(listener, "report", spec={"python": python, "manifest": "_shared/agents/odd"}))
    for said in (python, "_shared/agents/odd", "host.python"):
        assert said in failure.value.message


async def test_variables_that_only_a_starting_interpreter_heeds_need_one(
    launcher: AgentLauncher, listener: socket.socket
) -> None:
    assert "base.process.entrypoint" in await command_line(launcher, listener, env={"PYTHONUTF8": "1"})


async def test_the_setting_exec_starts_no_fork_server(listener: socket.socket, tmp_path: Path) -> None:
    launcher = AgentLauncher.from_settings(Settings(state_dir=tmp_path, agent_launcher="exec"))
    await launcher.start()
    try:
        assert launcher.fork_server_pid is None
        assert "base.process.entrypoint" in await command_line(launcher, listener)
    finally:
        await launcher.close()
