"""Chooses the launcher of each agent."""

from __future__ import annotations

import asyncio
import os
import shutil
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import structlog

from aitp_playground import resources
from aitp_playground.config import Settings
from aitp_playground.hosting.contract import LaunchSpec
from aitp_playground.hosting.exec_launcher import ExecLauncher
from aitp_playground.hosting.fork_launcher import ForkServerLauncher, fork_supported
from aitp_playground.hosting.worker_process import WorkerProcess
from aitp_playground.scenarios.entrypoints import THIS_PYTHON, absent_interpreter

_log = structlog.get_logger(__name__)

#: Variables that only a starting interpreter or dynamic linker heeds; a forked child would ignore them.
_START_ONLY = ("PYTHON", "LD_")


class AgentLauncher:
    """Forks agents that take the default interpreter, executes those with an interpreter of their own.

    Implements :class:`~aitp_playground.hosting.contract.Launcher`.
    """

    def __init__(self, *, python: str, agents_dir: Path, pool_size: int = 0, fork: bool = True) -> None:
        """``fork=False``: execute them all. Without Linux that is so anyway."""
        self._python = python
        self._exec = ExecLauncher(python=python, agents_dir=agents_dir)
        self._fork = None
        if fork and fork_supported():
            self._fork = ForkServerLauncher(python=python, agents_dir=agents_dir, pool_size=pool_size)

    @classmethod
    def from_settings(cls, settings: Settings) -> AgentLauncher:
        """The launcher that the settings ask for, with the shipped agents."""
        return cls(
            python=settings.python,
            agents_dir=resources.agents_dir(),
            pool_size=settings.agent_pool_size,
            fork=settings.agent_launcher == "fork",
        )

    @property
    def fork_server_pid(self) -> int | None:
        """The fork server's process id, None when there is none."""
        return self._fork.server_pid if self._fork is not None else None

    async def start(self) -> None:
        """See the contract."""
        try:
            await self._exec.start()
            if self._fork is not None:
                await self._fork.start()
        except BaseException:
            await self.close()
            raise

    async def launch(self, spec: LaunchSpec) -> WorkerProcess:
        """See the contract."""
        python, forked = self.choose(spec.agent_id, spec.python, spec.env)
        if forked and self._fork is not None:
            return await self._fork.launch(spec)
        return await self._exec.launch(replace(spec, python=python))

    def choose(self, agent_id: str, python: str | None, env: Mapping[str, str]) -> tuple[str | None, bool]:
        """For what a manifest's ``host`` asks: the agent's own interpreter (None: the default one), and whether it is
        forked. Starts nothing."""
        own = self._own_interpreter(agent_id, python)
        forked = own is None and self._fork is not None and not any(name.startswith(_START_ONLY) for name in env)
        return own, forked

    async def close(self) -> None:
        """See the contract. Both launchers are closed, whatever happens to one."""
        closing = [self._exec.close()]
        if self._fork is not None:
            closing.append(self._fork.close())
        failures = [end for end in await asyncio.gather(*closing, return_exceptions=True) if end is not None]
        if failures:
            raise failures[0]

    def _own_interpreter(self, agent_id: str, python: str | None) -> str | None:
        """The manifest's interpreter; None for the default one, also when an absolute path leads nowhere."""
        if python is None or python in THIS_PYTHON:
            return None
        if absent_interpreter(python):
            _log.warning("agent.python_missing", agent_id=agent_id, python=python, using=self._python)
            return None
        found = shutil.which(python) or python
        return None if same_interpreter(found, self._python) else found


def same_interpreter(one: str, other: str) -> bool:
    """Whether both are one installation: the same program, in the same virtual environment or in none.

    An environment's interpreter is a link to the one it was made with, which has other packages.
    """
    return one == other or (os.path.realpath(one), _environment(one)) == (os.path.realpath(other), _environment(other))


def _environment(python: str) -> Path | None:
    """Where its virtual environment lies, found as the interpreter itself does; None when it is of none."""
    for directory in (Path(python).parent, Path(python).parent.parent):
        if (directory / "pyvenv.cfg").is_file():
            return directory.resolve()
    return None
