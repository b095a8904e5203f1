"""Launching by exec: a new interpreter per agent, where a manifest names its own or there is no fork server."""

from __future__ import annotations

import json
import os
import signal
from pathlib import Path

from aitp_playground.hosting.child_process import Child
from aitp_playground.hosting.contract import LaunchSpec
from aitp_playground.hosting.handover import Lifeline, handover
from aitp_playground.hosting.job import worker_environment, worker_job
from aitp_playground.hosting.worker_process import WorkerProcess, not_launched


class ExecLauncher:
    """Implements :class:`~aitp_playground.hosting.contract.Launcher` with ``python -m base.process.entrypoint``.

    On Linux the kernel kills the workers when the thread that launched them ends: launch from the loop's main thread.
    """

    def __init__(self, *, python: str, agents_dir: Path) -> None:
        """``python``: for specs that name none."""
        self._python = python
        self._agents_dir = agents_dir
        self._lifeline: Lifeline | None = None
        self._processes: set[WorkerProcess] = set()

    async def start(self) -> None:
        """See the contract."""
        if self._lifeline is None:
            self._lifeline = Lifeline()

    async def launch(self, spec: LaunchSpec) -> WorkerProcess:
        """See the contract."""
        try:
            await self.start()
            process, child = self._spawn(spec)
        except OSError as failure:
            raise not_launched(spec, failure) from failure
        self._processes.add(process)
        child.exited.add_done_callback(lambda _: self._processes.discard(process))
        return process

    def _spawn(self, spec: LaunchSpec) -> tuple[WorkerProcess, Child]:
        assert self._lifeline is not None
        env, job = worker_environment(spec), worker_job(spec)
        with handover(spec, self._lifeline) as given:
            env |= {name: str(descriptor) for name, descriptor in given.contract.items()}
            document = json.dumps(job | {"parent": os.getpid(), "env": sorted(env)})
            child = Child(
                (spec.python or self._python, "-m", "base.process.entrypoint", document),
                env=env,
                cwd=self._agents_dir,
                stdout=given.stdout,
                stderr=given.stderr,
                pass_fds=tuple(given.contract.values()),
            )
            try:
                return WorkerProcess(spec, child.pid, child.exited, child.signal, *given.take_readers()), child
            except BaseException:
                child.signal(signal.SIGKILL)
                raise

    async def close(self) -> None:
        """See the contract."""
        processes = list(self._processes)
        for process in processes:
            process.kill()
        for process in processes:
            await process.wait()
        if self._lifeline is not None:
            self._lifeline.close()
            self._lifeline = None
