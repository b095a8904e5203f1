"""What a launcher tells a worker besides its secrets: what to run, and in which environment."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from aitp_playground.hosting.contract import LaunchSpec

_INHERITED = ("PATH", "HOME", "LANG", "TZ", "TMPDIR")


def worker_environment(spec: LaunchSpec) -> dict[str, str]:
    """The contract's environment, without the names of descriptors (their numbers are the launcher's)."""
    return {name: os.environ[name] for name in _INHERITED if name in os.environ} | dict(spec.env)


def worker_job(spec: LaunchSpec) -> dict[str, Any]:
    """The job of ``base/process/entrypoint.py``, without ``env``. Raises ``OSError`` when the file is not there."""
    value = spec.entrypoint if spec.entrypoint_type == "python_module" else str(_entrypoint_file(spec))
    return {
        "agent_id": spec.agent_id,
        "entrypoint": [spec.entrypoint_type, value],
        "path": [str(path) for path in spec.path],
        "cwd": str(spec.cwd),
    }


def _entrypoint_file(spec: LaunchSpec) -> Path:
    """A relative file is looked for below the agents directories, then below the working directory."""
    for root in (*spec.path, spec.cwd):
        found = root / spec.entrypoint
        if found.is_file():
            return found.resolve()
    raise FileNotFoundError(f"its entrypoint {spec.entrypoint} is in none of its agents directories")
